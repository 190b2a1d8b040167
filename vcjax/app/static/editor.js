// The canvas: it shows the scene, hands pointer and keys to the tool in use, and gives tools what they work on.

import { h, tidy } from "./dom.js";
import { exists, insertPoint, move, parse, remove } from "./objects.js";
import { beginTable, drawnTable, dropEmptyTable } from "./request.js";
import { drawField, drawMask, drawStrokes, drawUnderlay } from "./scene.js";
import { Motion, timeOf } from "./strokes.js";
import { pictureOf } from "./tools/picture.js";
import { Viewport } from "./viewport.js";

const REACH = 9; // CSS pixels within which the pointer hits
const TOUCH_REACH = 16;
const PASTED = 4; // pixels of the drawing by which a copy is shifted

/** The canvas editor. */
export class Editor {
  /** @param {App} app what it edits. */
  constructor(app) {
    this.app = app;
    this.store = app.store;
    this.tool = null;
    const side = Math.min(app.clip.height, app.clip.width);
    this.options = { mask: Math.round(side / 6), region: Math.round(side / 6), picture: Math.max(1, Math.round(side / 32)) }; // widths of brushes
    this.viewport = new Viewport(640, 480, app.clip, this.size); // until the canvas is shown
    this.cross = null; // crosshair of the keyboard, in pixels of the drawing
    this.byKeys = false;
    this.pressed = false;
    this.touchReach = REACH;
    this.canvas = h("canvas", {
      key: "canvas", class: "canvas", tabindex: 0, role: "application", "aria-label": "Canvas",
      "aria-describedby": "hint", opaque: true,
    });
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  get condition() { return this.app.active; }
  get clip() { return this.app.clip; }
  get table() { return drawnTable(this.app.doc, this.condition); }
  get size() { return this.table?.size ?? [this.clip.width, this.clip.height]; }
  get time() { return timeOf(this.app.clock.frame % this.clip.frames, this.clip.frames); }
  get reach() { return this.touchReach / this.viewport.drawingScale; }
  get selection() { return this.app.view.selection.filter((name) => exists(this.table, name)); }

  /** Index of the stroke that is selected, or of which a part is; null where none or several are. */
  get selectedStroke() {
    const indices = new Set(this.selection.map(parse).filter(({ kind }) => kind === "stroke").map(({ index }) => index));
    return indices.size === 1 ? [...indices][0] : null;
  }

  select(names) { this.app.setView({ selection: names }); }

  /** Return whether two points of the drawing are within some pixels of the screen. */
  near(a, b, distance = this.touchReach) {
    return Math.hypot(a[0] - b[0], a[1] - b[1]) * this.viewport.drawingScale <= distance;
  }

  /** Return a coordinate of the screen that lies on the canvas, so that a handle can be reached. */
  clamped(x, axis) {
    const side = axis === 0 ? this.canvas.clientWidth : this.canvas.clientHeight;
    return Math.min(side - 10, Math.max(10, x));
  }

  /** Change the drawing in one step of undo. */
  changeTable(mutate) {
    this.store.commit();
    this.editTable(mutate);
    this.store.commit();
  }

  /** Change the drawing as part of a drag. */
  editTable(mutate) {
    const { app, condition } = this;
    this.store.edit((doc) => {
      mutate(beginTable(doc, app.model, condition));
      dropEmptyTable(doc, condition);
    });
  }

  /** Use a tool, an instance of one of `toolsFor`. */
  use(tool) {
    this.tool?.cancel?.();
    this.tool = tool;
    this.canvas.dataset.tool = tool.constructor.info.id;
    this.invalidate();
  }

  /** End what the tool draws, and what is edited, such as before a request is sent. */
  end() {
    this.tool?.finish && this.tool.busy && this.tool.finish();
    this.store.commit();
  }

  invalidate() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.draw();
      this.app.showHint(this.tool?.hint ?? "");
    });
  }

  /** The table that is shown: with the line that is being drawn. */
  shownTable() {
    const { condition, tool } = this;
    if (condition?.drawing !== "strokes") return this.table;
    const table = this.table ? structuredClone(this.table) : { size: this.size, strokes: [] };
    return tool?.draft ? tool.draft(table) : table;
  }

  draw() {
    const { canvas, clip, app } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.viewport = new Viewport(width, height, clip, this.size);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.paint(context, this.scene(app, clip));
  }

  scene(app, clip) {
    const table = this.shownTable();
    const isStrokes = this.condition?.drawing === "strokes" && (table.strokes?.length || table.camera);
    const motion = isStrokes ? new Motion(table, clip.frames, clip.height, clip.width) : null;
    return {
      clip, table, motion, viewport: this.viewport, frame: app.clock.frame % clip.frames, base: app.baseSheet(),
      dark: matchMedia("(prefers-color-scheme: dark)").matches, field: app.view.field, selection: this.selection,
    };
  }

  paint(context, scene) {
    const { viewport, tool, condition, app } = this;
    viewport.inClip(context, (inner) => drawUnderlay(inner, scene));
    if (condition?.drawing === "picture") this.paintPicture(context, viewport);
    const plays = app.clock.playing;
    if (!plays || scene.base?.frames > 1) viewport.inClip(context, (inner) => drawField(inner, scene));
    if (condition?.drawing === "strokes" && !plays) drawStrokes(context, scene);
    if (condition?.drawing === "mask") drawMask(context, scene);
    if (!plays) tool?.draw?.(context, viewport);
    if (this.cross && document.activeElement === this.canvas) drawCross(context, viewport.screen(this.cross));
  }

  paintPicture(context, viewport) {
    const picture = pictureOf(this.app, this.condition);
    viewport.inClip(context, (inner) => {
      inner.globalCompositeOperation = this.app.baseSheet() ? "screen" : "source-over";
      inner.imageSmoothingEnabled = false;
      inner.drawImage(picture, 0, 0, this.clip.width, this.clip.height);
    });
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.pointer(event, "down"));
    canvas.addEventListener("pointermove", (event) => this.pointer(event, "move"));
    canvas.addEventListener("pointerup", (event) => this.pointer(event, "up"));
    canvas.addEventListener("pointercancel", (event) => this.pointer(event, "up"));
    canvas.addEventListener("pointerleave", () => this.tool && (this.tool.pointer = this.tool.busy ? this.tool.pointer : null));
    canvas.addEventListener("dblclick", (event) => this.tool?.double?.(this.at(event), event));
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.invalidate());
  }

  /** Return the point of the drawing under an event, no finer than the screen can show. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const digits = Math.max(0, Math.ceil(Math.log10(this.viewport.drawingScale)));
    return this.viewport.drawing([event.clientX - box.left, event.clientY - box.top]).map((x) => tidy(x, digits));
  }

  pointer(event, kind) {
    if (!this.tool || !this.viewport || (kind === "down" && event.button !== 0)) return;
    this.touchReach = event.pointerType === "touch" ? TOUCH_REACH : REACH;
    const p = this.at(event);
    this.byKeys = false;
    this.cross = kind === "move" && !event.movementX && !event.movementY ? this.cross : null;
    if (kind === "down") {
      this.canvas.setPointerCapture(event.pointerId);
      this.app.clock.pause();
      this.pressed = true;
      this.tool.down(p, event);
    } else if (kind === "move") this.tool.move?.(p, this.pressed, event);
    else if (this.pressed) {
      this.pressed = false;
      this.tool.up?.(p, event);
      if (this.app.welcomes) this.app.refresh();
    }
    this.invalidate();
  }

  key(event) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey || !this.tool) return;
    if (event.key in arrows) this.arrow(arrows[event.key], event.shiftKey ? 10 : 1);
    else if (event.key === "Enter") this.enter(event);
    else return;
    event.preventDefault();
    this.invalidate();
  }

  arrow([dx, dy], step) {
    if (this.tool.constructor.info.id === "select" && this.selection.length) {
      this.changeTable((table) => move(table, this.selection, dx * step, dy * step, this.time));
      return;
    }
    if (!this.cross) this.cross = this.tool.pointer ? [...this.tool.pointer] : this.size.map((side) => Math.round(side / 2));
    else this.cross = this.cross.map((x, axis) => Math.min(this.size[axis], Math.max(0, x + [dx, dy][axis] * step)));
    this.byKeys = true;
    this.app.speak(`x ${this.cross[0]}, y ${this.cross[1]}`);
    this.tool.move?.(this.cross, this.pressed, {});
  }

  /** Click at the crosshair; with brushes and the camera the first Enter presses, and the next one lets go. */
  enter(event) {
    if (!this.byKeys || !this.cross) {
      this.pressed = false;
      this.tool.finish?.();
      return;
    }
    const holds = this.tool.line !== undefined || this.tool.drag !== undefined;
    const { tool, cross, pressed } = this;
    if (!pressed) tool.down([...cross], event);
    this.pressed = holds && !pressed;
    if (!this.pressed) tool.up?.([...cross], event);
  }

  /** End what is drawn; where nothing is, select nothing. */
  escape() {
    if (this.pressed || this.tool?.busy || this.tool?.line) this.tool.cancel?.();
    else this.select([]);
    this.pressed = false;
    this.cross = null;
    this.invalidate();
  }

  deleteSelection() {
    const names = this.selection;
    if (!names.length) return;
    this.changeTable((table) => remove(table, names));
    this.select([]);
  }

  /** Select the next or the previous object, for the keyboard. */
  selectNext(step) {
    const table = this.table;
    const names = [...(table?.strokes ?? []).map((_, i) => `stroke:${i}`), ...(exists(table, "mask") ? ["mask"] : []), ...(table?.camera ? ["camera"] : [])];
    if (!names.length) return;
    const at = names.indexOf(this.selection[0]?.split(":").slice(0, 2).join(":"));
    const name = names[(at + step + names.length) % names.length];
    this.select([name]);
    this.app.speak(`${name.replace(/:(\d+)/, (_, index) => ` ${Number(index) + 1}`)} is selected`);
  }

  copy() {
    const indices = [...new Set(this.selection.map(parse).filter(({ kind }) => kind === "stroke").map(({ index }) => index))];
    if (indices.length) this.copied = structuredClone(indices.sort((a, b) => a - b).map((index) => this.table.strokes[index]));
    return indices.length > 0;
  }

  paste() {
    if (!this.copied || this.condition?.drawing !== "strokes") return;
    const copied = structuredClone(this.copied);
    let first = 0;
    this.changeTable((table) => {
      table.strokes ??= [];
      first = table.strokes.length;
      table.strokes.push(...copied);
      move(table, copied.map((_, i) => `stroke:${first + i}`), PASTED, PASTED, this.time);
    });
    this.copied = structuredClone(this.table.strokes.slice(first));
    this.select(copied.map((_, i) => `stroke:${first + i}`));
  }

  duplicate() {
    if (this.copy()) this.paste();
  }

  /** Add a point to the selected stroke, after the selected point or in its first line. */
  addPoint() {
    const index = this.selectedStroke;
    const stroke = index === null ? null : this.table.strokes[index];
    if (!stroke || stroke.points.length < 2) return;
    const chosen = this.selection.map(parse).find(({ part }) => part === "point")?.sub ?? 0;
    const after = Math.min(chosen, stroke.points.length - 2);
    const middle = [0, 1].map((axis) => tidy((stroke.points[after][axis] + stroke.points[after + 1][axis]) / 2));
    this.changeTable((table) => insertPoint(table.strokes[index], after, middle));
    this.select([`stroke:${index}:point:${after + 1}`]);
  }
}

function drawCross(context, [x, y]) {
  for (const [colour, width] of [["rgb(0 0 0 / 0.7)", 4], ["#fff", 1.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x - 14, y);
    context.lineTo(x + 14, y);
    context.moveTo(x, y - 14);
    context.lineTo(x, y + 14);
    context.stroke();
  }
}
