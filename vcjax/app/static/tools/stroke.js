// Draw strokes and pins, and add points to strokes that are there.

import { appendPoint, hit, move, parse } from "../objects.js";
import { drawLine, colourOf } from "../scene.js";
import { insertAt } from "./select.js";

const DRAG = 6; // CSS pixels, from which a press is a drag

/** Drag draws an arrow; clicks draw a line of points; on a line that is there, a click adds a point to it. */
export class StrokeTool {
  static info = { id: "stroke", title: "Stroke", key: "s", icon: "stroke", drawings: ["strokes"] };

  constructor(editor) {
    this.editor = editor;
    this.reset();
  }

  get hint() {
    if (this.points) return "Click to add points; a double click, Enter or Esc ends the line.";
    return "Drag an arrow, or click points. Click a line to add a point, its end to continue it.";
  }

  get busy() {
    return this.points !== null;
  }

  reset() {
    this.points = null; // of the line in progress
    this.continued = null; // index of the stroke that it continues
    this.pointer = null;
    this.pressed = null;
    this.moving = null; // name of a point that is dragged
  }

  down(p) {
    const { editor } = this;
    this.pressed = p;
    this.dragged = false;
    if (this.points) {
      if (editor.near(p, this.points.at(-1))) this.finish();
      else this.points.push([...p]);
      return;
    }
    const name = hit(editor.table, p, editor.reach, editor.time, editor.selection);
    const onPoint = name && (parse(name).part === "point" || editor.near(p, editor.table.strokes?.[parse(name).index]?.points[0] ?? [-1e9, 0]));
    this.moving = onPoint ? name : name && insertAt(editor, p);
    if (this.moving) editor.select([this.moving]);
    else {
      this.points = [[...p]];
      editor.select([]);
    }
  }

  move(p, pressed) {
    const { editor } = this;
    this.pointer = p;
    if (pressed && !editor.near(p, this.pressed, DRAG)) this.dragged = true;
    if (pressed && this.moving && this.dragged) {
      editor.editTable((table) => move(table, [this.moving], p[0] - this.pressed[0], p[1] - this.pressed[1], editor.time));
      this.pressed = p;
    }
    editor.invalidate();
  }

  up(p) {
    const { editor } = this;
    if (this.moving) {
      if (this.dragged) editor.store.commit();
      else this.continueFrom(this.moving);
      this.moving = null;
    } else if (this.points?.length === 1 && this.dragged && this.continued === null) {
      this.points.push([...p]);
      this.finish();
    }
    this.pressed = null;
  }

  /** Go on with the stroke whose last point was clicked. */
  continueFrom(name) {
    const { index, sub } = parse(name);
    const stroke = this.editor.table?.strokes?.[index];
    if (!stroke || (sub ?? 0) !== stroke.points.length - 1) return;
    this.continued = index;
    this.points = [stroke.points.at(-1)];
  }

  double() {
    this.finish();
  }

  /** Put the line in progress into the document. */
  finish() {
    const { editor, points, continued } = this;
    this.reset();
    if (!points || points.length < 2) return;
    editor.changeTable((table) => add(table, points, continued));
    editor.select([`stroke:${continued ?? editor.table.strokes.length - 1}`]);
  }

  cancel() {
    this.finish();
  }

  /** Return the drawing with the line in progress, so that its motion is seen before it ends. */
  draft(table) {
    const points = this.points && [...this.points, ...(this.pointer && !this.editor.near(this.pointer, this.points.at(-1)) ? [this.pointer] : [])];
    if (!points || points.length < 2) return table;
    add(table, points, this.continued);
    return table;
  }

  draw(context, viewport) {
    if (!this.points) return;
    const index = this.continued ?? this.editor.table?.strokes?.length ?? 0;
    drawLine(context, [...this.points, this.pointer ?? this.points.at(-1)].map((p) => viewport.screen(p)), colourOf(index));
  }
}

function add(table, points, continued) {
  table.strokes ??= [];
  if (continued === null) table.strokes.push({ points });
  else for (const point of points.slice(1)) appendPoint(table.strokes[continued], point);
}

/** A click pins the disc around it to its place on the screen. */
export class PinTool {
  static info = { id: "pin", title: "Pin", key: "p", icon: "pin", drawings: ["strokes"] };
  hint = "Click to pin what is there to its place, whatever the camera does.";

  constructor(editor) {
    this.editor = editor;
  }

  down(p) {
    this.editor.changeTable((table) => (table.strokes ??= []).push({ points: [[...p]] }));
    this.editor.select([`stroke:${this.editor.table.strokes.length - 1}`]);
  }
}
