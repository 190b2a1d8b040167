// Polygons by clicks: the region of a stroke, and the hidden region of a mask.

import { hit, move, parse } from "../objects.js";
import { tidy } from "../dom.js";
import { insertAt } from "./select.js";

/** Clicks set corners; a click on the first one, a double click or Enter closes the polygon. */
class PolygonTool {
  constructor(editor) {
    this.editor = editor;
    this.corners = null;
    this.pointer = null;
  }

  get busy() {
    return this.corners !== null;
  }

  down(p) {
    const corner = [...p];
    if (!this.corners) this.corners = [corner];
    else if (this.corners.length > 2 && this.editor.near(p, this.corners[0])) this.finish();
    else if (this.editor.near(p, this.corners.at(-1))) this.finish();
    else this.corners.push(corner);
    this.editor.invalidate();
  }

  move(p) {
    this.pointer = p;
    this.editor.invalidate();
  }

  double() {
    this.finish();
  }

  cancel() {
    this.corners = null;
  }

  finish() {
    const corners = this.corners;
    this.corners = null;
    if (corners?.length > 2) this.close(corners);
  }

  draw(context, viewport) {
    if (!this.corners) return;
    context.beginPath();
    for (const p of [...this.corners, this.pointer ?? this.corners.at(-1)]) context.lineTo(...viewport.screen(p));
    context.lineTo(...viewport.screen(this.corners[0]));
    context.setLineDash([5, 4]);
    for (const [colour, width] of [["rgb(0 0 0 / 0.6)", 4], ["#fff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
    context.setLineDash([]);
  }
}

/** Give the selected stroke a region in place of its disc; where none is selected, pin the region. */
export function setRegion(editor, region) {
  const index = editor.selectedStroke;
  editor.changeTable((table) => {
    table.strokes ??= [];
    const centre = [0, 1].map((axis) => tidy(region.reduce((sum, p) => sum + p[axis], 0) / region.length, 1));
    if (index === null) table.strokes.push({ points: [centre] });
    const stroke = table.strokes[index ?? table.strokes.length - 1];
    delete stroke.width;
    stroke.region = region;
  });
  editor.select([`stroke:${index ?? editor.table.strokes.length - 1}`]);
}

export class RegionPolygonTool extends PolygonTool {
  static info = { id: "region", title: "Region by polygon", key: "r", icon: "region", drawings: ["strokes"] };

  get hint() {
    const target = this.editor.selectedStroke === null ? "a new pin" : `stroke ${this.editor.selectedStroke + 1}`;
    return `Click the corners of the region of ${target}; click the first one, double-click or press Enter to close it.`;
  }

  close(corners) {
    setRegion(this.editor, corners);
  }
}

export class MaskPolygonTool extends PolygonTool {
  static info = { id: "mask-polygon", title: "Mask polygon", key: "m", icon: "polygon", drawings: ["mask"] };

  get hint() {
    if (this.editor.table?.keys?.[0]?.polygon) return "Drag corners or the polygon: a key is set at this frame. Click an edge to add a corner, outside to begin again.";
    return "Click the corners of what is hidden; click the first one, double-click or press Enter to close it.";
  }

  down(p, event) {
    const { editor } = this;
    const isPolygon = Boolean(editor.table?.keys[0]?.polygon);
    const name = this.corners || !isPolygon ? null : hit(editor.table, p, editor.reach, editor.time, editor.selection);
    if (!name || parse(name).kind !== "mask") return super.down(p, event);
    this.moving = (name === "mask" && insertAt(editor, p)) || name;
    this.from = p;
    editor.select([this.moving]);
  }

  move(p, pressed) {
    if (!pressed || !this.moving) return super.move(p);
    const { editor } = this;
    editor.editTable((table) => move(table, [this.moving], p[0] - this.from[0], p[1] - this.from[1], editor.time));
    this.from = p;
  }

  up() {
    this.moving = null;
    this.editor.store.commit();
  }

  close(corners) {
    const { editor } = this;
    editor.changeTable((table) => (table.keys = [{ time: editor.time, polygon: corners }]));
    editor.select(["mask"]);
  }
}
