// The camera: the frame that it sees at last, or at the canvas's time where it follows a path, with handles.

import { cameraView, handle } from "../scene.js";
import { cameraState, inside } from "../strokes.js";
import { insertKey, keyAt } from "../objects.js";
import { tidy } from "../dom.js";

const COLOUR = "#3d8bff";
const KNOB = 26; // CSS pixels between the frame and the knob that rolls it

/** Return the state of a camera that is edited: at the time of the canvas on a path, else at the end. */
export const editedTime = (camera, time) => (camera?.path?.length ? time : 1);

/** Change pan, zoom and roll of a drawing's camera at a time; what is the default is left out. */
export function setCamera(table, changed, time) {
  const camera = (table.camera ??= {});
  if (!camera.path?.length) {
    writeState(camera, changed);
    if (!Object.keys(camera).length) delete table.camera;
    return;
  }
  const key = keyAt(camera.path, time) ?? insertKey(camera.path, stateKey(camera, time));
  writeState(key, changed);
}

/** Return a key of a camera's path that holds where it is at a time. */
export function stateKey(camera, time) {
  const { x, y, zoom, roll } = cameraState(camera, time);
  const key = { time };
  writeState(key, { pan: [x, y], zoom, roll });
  return key;
}

function writeState(target, { pan, zoom, roll }) {
  if (pan) target.pan = pan.map((x) => tidy(x, 2));
  if (zoom !== undefined) target.zoom = Math.max(0.01, tidy(zoom, 3));
  if (roll !== undefined) target.roll = tidy(roll, 2);
  if (target.pan && !target.pan[0] && !target.pan[1]) delete target.pan;
  if (target.zoom === 1) delete target.zoom;
  if (target.roll === 0) delete target.roll;
}

/** Drag inside pans, a corner zooms, the knob rolls. */
export class CameraTool {
  static info = { id: "camera", title: "Camera", key: "c", icon: "camera", drawings: ["strokes"] };

  constructor(editor) {
    this.editor = editor;
    this.drag = null;
  }

  get hint() {
    const when = this.editor.table?.camera?.path?.length ? "at this frame" : "in the last frame";
    return `The blue frame is what the camera sees ${when}: drag it to pan, a corner to zoom, the knob to roll.`;
  }

  get time() {
    return editedTime(this.editor.table?.camera, this.editor.time);
  }

  view() {
    const { editor } = this;
    return cameraView(editor.table?.camera, editor.size, editor.clip, this.time);
  }

  knob(view) {
    const { viewport } = this.editor;
    const [top, centre] = [viewport.screen(view.top), viewport.screen(view.centre)];
    const length = Math.hypot(top[0] - centre[0], top[1] - centre[1]) || 1;
    return top.map((x, i) => this.editor.clamped(x + ((x - centre[i]) / length) * KNOB, i));
  }

  handles(view) {
    return view.corners.map((corner) => this.editor.viewport.screen(corner).map((x, i) => this.editor.clamped(x, i)));
  }

  down(p) {
    const { editor } = this;
    const view = this.view();
    const at = editor.viewport.screen(p);
    const near = ([x, y]) => Math.hypot(x - at[0], y - at[1]) <= editor.touchReach;
    let mode = inside(view.corners, ...p) ? "pan" : null;
    if (this.handles(view).some(near)) mode = "zoom";
    if (near(this.knob(view))) mode = "roll";
    const { x, y, zoom, roll } = cameraState(editor.table?.camera, this.time);
    this.drag = mode && { mode, from: p, state: { pan: [x, y], zoom, roll }, centre: view.centre };
    editor.select(mode ? ["camera"] : []);
  }

  move(p, pressed) {
    if (!pressed || !this.drag) return;
    const { mode, from, state, centre } = this.drag;
    const radius = ([x, y]) => Math.hypot(x - centre[0], y - centre[1]) || 1e-6;
    const angle = ([x, y]) => (Math.atan2(y - centre[1], x - centre[0]) * 180) / Math.PI;
    const changed = {};
    if (mode === "pan") changed.pan = [state.pan[0] + p[0] - from[0], state.pan[1] + p[1] - from[1]];
    if (mode === "zoom") changed.zoom = Math.min(20, Math.max(0.05, (state.zoom * radius(from)) / radius(p)));
    if (mode === "roll") changed.roll = state.roll + ((angle(p) - angle(from) + 540) % 360) - 180;
    this.editor.editTable((table) => setCamera(table, changed, this.editor.time));
  }

  up() {
    this.drag = null;
    this.editor.store.commit();
  }

  draw(context, viewport) {
    const view = this.view();
    const corners = view.corners.map((corner) => viewport.screen(corner));
    context.beginPath();
    corners.forEach((corner) => context.lineTo(...corner));
    context.closePath();
    context.moveTo(...viewport.screen(view.top));
    context.lineTo(...this.knob(view));
    for (const [colour, width] of [["rgb(0 0 0 / 0.5)", 4], [COLOUR, 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
    this.handles(view).forEach((corner) => handle(context, corner, false, COLOUR));
    context.beginPath();
    context.arc(...this.knob(view), 6, 0, Math.PI * 2);
    context.fillStyle = "#fff";
    context.fill();
    context.stroke();
  }
}
