// Brushes: the region of a stroke, whose outline is traced, and the painted keys of a mask.

import { paintKey } from "../objects.js";
import { outline } from "../regions.js";
import { drawPainted } from "../scene.js";
import { inside } from "../strokes.js";
import { tidy } from "../dom.js";
import { setRegion } from "./polygon.js";

const RASTER = 512; // pixels of the longer side of the drawing, on which an outline is traced
const TOLERANCE = 1.2; // of the outline, in these pixels

/** A line of a round brush, from pressing to letting go. */
class BrushTool {
  constructor(editor) {
    this.editor = editor;
    this.line = null;
  }

  down(p, event) {
    this.line = { points: [[...p]], width: this.editor.options[this.constructor.widthOption], ...this.kind(event) };
    this.editor.invalidate();
  }

  move(p, pressed) {
    if (pressed && this.line && !this.editor.near(p, this.line.points.at(-1), 2)) this.line.points.push([...p]);
    this.pointer = p;
    this.editor.invalidate();
  }

  up() {
    const line = this.line;
    this.line = null;
    if (line) this.paint(line);
  }

  cancel() {
    this.line = null;
  }

  kind() {
    return {};
  }

  draw(context, viewport) {
    if (this.line) drawPainted(context, viewport, [{ ...this.line, erase: false }]);
    if (this.pointer) drawTip(context, viewport, this.pointer, this.editor.options[this.constructor.widthOption]);
  }
}

/** Draw the circle of a brush on the screen. */
export function drawTip(context, viewport, point, width) {
  context.beginPath();
  context.arc(...viewport.screen(point), (width / 2) * viewport.drawingScale, 0, Math.PI * 2);
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 0.5)";
  context.stroke();
  context.lineWidth = 1.2;
  context.strokeStyle = "#fff";
  context.stroke();
}

/** Paint the region of the selected stroke; what touches the region is added to it, Alt takes from it. */
export class RegionBrushTool extends BrushTool {
  static info = { id: "region-brush", title: "Region by brush", key: "b", icon: "brush", drawings: ["strokes"] };
  static widthOption = "region";

  get hint() {
    const target = this.editor.selectedStroke === null ? "a new pin" : `stroke ${this.editor.selectedStroke + 1}`;
    return `Paint the region of ${target}; paint over it to add, with Alt to take from it.`;
  }

  kind(event) {
    return event?.altKey ? { erase: true } : {};
  }

  paint(line) {
    const { editor } = this;
    const scale = RASTER / Math.max(...editor.size);
    const [width, height] = editor.size.map((side) => Math.ceil(side * scale));
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.scale(scale, scale);
    const region = editor.selectedStroke === null ? null : editor.table.strokes[editor.selectedStroke].region;
    const grows = region && (line.erase || line.points.some((p) => inside(region, ...p)));
    if (grows) {
      context.beginPath();
      region.forEach((p) => context.lineTo(...p));
      context.fill();
    }
    strokeLine(context, line);
    const { data } = context.getImageData(0, 0, width, height);
    const painted = Uint8Array.from({ length: width * height }, (_, i) => Number(data[i * 4 + 3] > 127));
    const corners = outline(painted, width, height, TOLERANCE).map((p) => p.map((x) => tidy(x / scale, 1)));
    if (corners.length > 2) setRegion(editor, corners);
  }
}

function strokeLine(context, line) {
  context.globalCompositeOperation = line.erase ? "destination-out" : "source-over";
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = line.width;
  context.beginPath();
  line.points.forEach((p) => context.lineTo(...p));
  if (line.points.length === 1) context.lineTo(line.points[0][0], line.points[0][1] + 1e-3);
  context.stroke();
}

/** Paint what is hidden, at the frame of the canvas and after it until the next key. */
export class MaskBrushTool extends BrushTool {
  static info = { id: "mask-brush", title: "Mask brush", key: "k", icon: "paint", drawings: ["mask"] };
  static widthOption = "mask";
  hint = "Paint what is hidden, from this frame until the next key.";

  paint(line) {
    const { editor } = this;
    editor.changeTable((table) => {
      if (table.keys[0]?.polygon) table.keys = [];
      paintKey(table, editor.time).lines.push(line);
    });
  }
}

/** Erase what is painted, at the frame of the canvas and after it until the next key. */
export class MaskEraseTool extends MaskBrushTool {
  static info = { id: "mask-erase", title: "Mask eraser", key: "e", icon: "erase", drawings: ["mask"] };
  hint = "Show again what is painted over, from this frame until the next key.";

  kind() {
    return { erase: true };
  }

  paint(line) {
    if (this.editor.table?.keys[0]?.lines) super.paint(line);
  }
}
