// Select and move objects, single points, and several at once.

import { exists, hit, insertPoint, maskKey, move, nearestSide, parse, within } from "../objects.js";
import { tidy } from "../dom.js";

/** Click selects, Shift adds, dragging moves; dragging over nothing selects what is inside the rectangle. */
export class SelectTool {
  static info = { id: "select", title: "Select and move", key: "v", icon: "select", drawings: ["strokes", "mask"] };
  hint = "Click selects, Shift adds, dragging moves. Double-click a line to add a point. Delete removes.";

  constructor(editor) {
    this.editor = editor;
    this.from = null;
    this.moving = false;
    this.rectangle = null;
  }

  down(p, event) {
    const { editor } = this;
    const name = hit(editor.table, p, editor.reach, editor.time, editor.selection);
    this.from = p;
    if (!name) {
      this.rectangle = [p, p];
      this.kept = event.shiftKey ? editor.selection : [];
      editor.select(this.kept);
    } else if (event.shiftKey) {
      const has = editor.selection.includes(name);
      editor.select(has ? editor.selection.filter((each) => each !== name) : [...editor.selection, name]);
    } else if (!editor.selection.includes(name)) editor.select([name]);
    this.moving = Boolean(name) && editor.selection.length > 0;
  }

  move(p) {
    const { editor } = this;
    if (this.rectangle) {
      this.rectangle[1] = p;
      editor.select([...new Set([...this.kept, ...within(editor.table, ...this.rectangle)])]);
    } else if (this.moving) {
      const [dx, dy] = [p[0] - this.from[0], p[1] - this.from[1]];
      if (!dx && !dy) return;
      this.from = p;
      editor.editTable((table) => move(table, editor.selection, dx, dy, editor.time));
    }
  }

  up() {
    this.rectangle = null;
    this.moving = false;
    this.from = null;
    this.editor.store.commit();
  }

  double(p) {
    const { editor } = this;
    const found = insertAt(editor, p);
    if (found) editor.select([found]);
  }

  draw(context, viewport) {
    if (!this.rectangle) return;
    const [[ax, ay], [bx, by]] = this.rectangle.map((p) => viewport.screen(p));
    context.setLineDash([4, 3]);
    context.lineWidth = 1;
    context.strokeStyle = "#3d8bff";
    context.strokeRect(ax, ay, bx - ax, by - ay);
    context.setLineDash([]);
  }

  finish() {
    this.editor.select([]);
  }
}

/** Insert a point where a line, a region or a mask polygon is under a point of the drawing; return its name or null. */
export function insertAt(editor, p) {
  const { table, reach } = editor;
  const name = hit(table, p, reach, editor.time, editor.selection);
  if (!name) return null;
  const { kind, index, part } = parse(name);
  if (part === "point" || part === "corner") return null;
  const point = [...p];
  if (kind === "mask" && table.keys[0].lines) return null;
  if (kind === "mask") return insertCorner(editor, p, point);
  const stroke = table.strokes[index];
  const side = nearestSide(stroke.points, p, reach);
  if (side >= 0 && stroke.points.length > 1) {
    editor.changeTable((changed) => insertPoint(changed.strokes[index], side, point));
    return `stroke:${index}:point:${side + 1}`;
  }
  const edge = stroke.region ? nearestSide(stroke.region, p, reach, true) : -1;
  if (edge < 0) return null;
  editor.changeTable((changed) => changed.strokes[index].region.splice(edge + 1, 0, point));
  return `stroke:${index}:corner:${edge + 1}`;
}

/** Add a corner to the polygon of each key of a mask, on the same side of each. */
function insertCorner(editor, p, point) {
  let side = -1;
  editor.changeTable((table) => {
    const key = maskKey(table, editor.time);
    side = nearestSide(key.polygon, p, editor.reach, true);
    if (side < 0) return;
    for (const each of table.keys) {
      const [a, b] = [each.polygon[side], each.polygon[(side + 1) % each.polygon.length]];
      const middle = [tidy((a[0] + b[0]) / 2), tidy((a[1] + b[1]) / 2)];
      each.polygon.splice(side + 1, 0, each === key ? point : middle);
    }
  });
  const name = `mask:corner:${side + 1}`;
  return side >= 0 && exists(editor.table, name) ? name : null;
}
