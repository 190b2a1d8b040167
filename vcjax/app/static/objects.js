// Drawn objects of the selected condition: their names in a selection, what lies under the pointer, and moving, copying and
// deleting them. A name is `stroke:2`, `stroke:2:point:1`, `stroke:2:region`, `stroke:2:corner:3`, `camera`, `mask` or
// `mask:corner:1`.

import { inside, interpolate, timesOf, widthOf } from "./strokes.js";
import { tidy } from "./dom.js";

const SAME_TIME = 1e-6;

/** Return the parts of an object's name. */
export function parse(name) {
  const [kind, a, part, b] = name.split(":");
  if (kind === "stroke") return { kind, index: Number(a), part: part ?? null, sub: b === undefined ? null : Number(b) };
  if (kind === "mask") return { kind, part: a ?? null, sub: part === undefined ? null : Number(part) };
  return { kind };
}

/** Return whether a drawing has an object of a name. */
export function exists(table, name) {
  const { kind, index, part, sub } = parse(name);
  if (kind === "camera") return Boolean(table?.camera);
  if (kind === "mask") {
    const corners = table?.keys?.[0]?.polygon?.length ?? 0;
    return sub === null ? table?.keys?.length > 0 : sub < corners;
  }
  const stroke = table?.strokes?.[index];
  if (!stroke) return false;
  if (part === "point") return sub < stroke.points.length;
  if (part === "region") return Boolean(stroke.region);
  return part !== "corner" || sub < (stroke.region?.length ?? 0);
}

/** Return the corners of a mask at a time, moved linearly between its keys; null where it has none. */
export function maskPolygon(table, time) {
  const keys = table?.keys ?? [];
  if (!keys[0]?.polygon) return null;
  const times = keys.map((key) => key.time);
  return keys[0].polygon.map((_, corner) => [0, 1].map((axis) => interpolate(time, times, keys.map((key) => key.polygon[corner][axis]))));
}

/** Return the key of a list at a time, or undefined. */
export const keyAt = (keys, time) => keys.find((key) => Math.abs(key.time - time) < SAME_TIME);

/** Put a key into a list in the order of time. */
export function insertKey(keys, key) {
  const index = keys.findIndex((other) => other.time > key.time);
  keys.splice(index < 0 ? keys.length : index, 0, key);
  return key;
}

/** Return the polygon key of a mask at a time; it is made from those around it where there is none. */
export function maskKey(table, time) {
  return keyAt(table.keys, time) ?? insertKey(table.keys, { time, polygon: maskPolygon(table, time).map(([x, y]) => [tidy(x), tidy(y)]) });
}

/** Return the painted key that holds at a time; undefined where nothing is painted. */
export function paintedKey(table, time) {
  const keys = table?.keys ?? [];
  if (!keys[0]?.lines) return undefined;
  return keys.findLast((key) => key.time <= time + SAME_TIME) ?? keys[0];
}

/** Return the painted key at a time; a new one begins with what held there. */
export function paintKey(table, time) {
  const there = keyAt(table.keys, time);
  if (there) return there;
  const before = table.keys.length ? structuredClone(paintedKey(table, time).lines) : [];
  return insertKey(table.keys, { time, lines: before });
}

/** Return whether painted lines hide a point: the last one over it says so. */
function isPainted(lines, point) {
  const last = lines.findLast(({ points, width }) => distanceTo(points, point) <= width / 2);
  return last !== undefined && !last.erase;
}

const distanceTo = (points, point) => Math.min(...points.map((from, i) => segmentDistance(point, from, points[i + 1] ?? from)));

const shift = (points, dx, dy) => points.map(([x, y]) => [tidy(x + dx), tidy(y + dy)]);

/**
 * Move objects of a drawing.
 * @param {object} table
 * @param {string[]} names
 * @param {number} dx in pixels of the drawing.
 * @param {number} dy
 * @param {number} time of the canvas, at which a mask has or gets a key.
 */
export function move(table, names, dx, dy, time) {
  for (const name of names) {
    const { kind, index, part, sub } = parse(name);
    const whole = kind === "stroke" ? `stroke:${index}` : kind;
    if (name !== whole && names.includes(whole)) continue; // it moves with the whole
    if (kind === "mask" && table.keys[0].lines) {
      for (const line of paintKey(table, time).lines) line.points = shift(line.points, dx, dy);
    } else if (kind === "mask") {
      const key = maskKey(table, time);
      key.polygon = key.polygon.map((corner, i) => (sub === null || sub === i ? shift([corner], dx, dy)[0] : corner));
    } else if (kind === "stroke") {
      const stroke = table.strokes[index];
      if (part === null) stroke.points = shift(stroke.points, dx, dy);
      if (stroke.region && (part === null || part === "region")) stroke.region = shift(stroke.region, dx, dy);
      if (part === "point") [stroke.points[sub]] = shift([stroke.points[sub]], dx, dy);
      if (part === "corner") [stroke.region[sub]] = shift([stroke.region[sub]], dx, dy);
    } else if (kind === "camera" && !table.camera.path) {
      table.camera.pan = shift([table.camera.pan ?? [0, 0]], dx, dy)[0];
    }
  }
}

/** Delete objects of a drawing; a stroke goes with its last point, a polygon with its last but two corners. */
export function remove(table, names) {
  const parsed = names.map(parse).sort((a, b) => (b.sub ?? -1) - (a.sub ?? -1));
  const strokes = new Set();
  for (const { kind, index, part, sub } of parsed) {
    if (kind === "camera") delete table.camera;
    else if (kind === "mask" && (sub === null || table.keys[0]?.polygon.length <= 3)) table.keys = [];
    else if (kind === "mask") for (const key of table.keys) key.polygon.splice(sub, 1);
    else if (part === null) strokes.add(index);
    else removePart(table.strokes[index], part, sub);
  }
  table.strokes?.forEach((stroke, index) => !stroke.points.length && strokes.add(index));
  if (table.strokes) table.strokes = table.strokes.filter((_, index) => !strokes.has(index));
}

function removePart(stroke, part, sub) {
  if (part === "point") {
    stroke.points.splice(sub, 1);
    stroke.times?.splice(sub, 1);
    if (stroke.times?.length === 0) delete stroke.times;
  } else if (part === "region" || stroke.region?.length <= 3) delete stroke.region;
  else stroke.region?.splice(sub, 1);
}

/** Insert a point into a line of a stroke, after one of its points. */
export function insertPoint(stroke, after, point) {
  if (stroke.times) stroke.times.splice(after + 1, 0, tidy((stroke.times[after] + stroke.times[after + 1]) / 2, 6));
  stroke.points.splice(after + 1, 0, point);
}

/** Append points to a stroke; the times of its points are those of constant speed again. */
export function appendPoint(stroke, point) {
  delete stroke.times;
  stroke.points.push(point);
}

/** Give each point of a stroke its time, which can be changed then. */
export function fixTimes(stroke) {
  stroke.times ??= timesOf(stroke).map((time) => tidy(time, 6));
  return stroke.times;
}

function segmentDistance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

/** Return the side of a line that lies within a distance of a point, or -1. */
export function nearestSide(points, point, distance, closed = false) {
  let best = -1;
  let least = distance;
  for (let i = 0; i + (closed ? 0 : 1) < points.length; i++) {
    const found = segmentDistance(point, points[i], points[(i + 1) % points.length]);
    if (found <= least) [best, least] = [i, found];
  }
  return best;
}

function nearestPoint(points, [x, y], distance) {
  return points.findIndex(([px, py]) => Math.hypot(px - x, py - y) <= distance);
}

/**
 * Return the name of the object under a point of the drawing; null without.
 * @param {object} table
 * @param {number[]} point
 * @param {number} reach distance in pixels of the drawing within which a point or a line is hit.
 * @param {number} time of the canvas.
 * @param {string[]} selection what is selected: its corners can be hit.
 */
export function hit(table, point, reach, time, selection) {
  const polygon = maskPolygon(table, time);
  if (polygon) {
    const corner = nearestPoint(polygon, point, reach);
    if (corner >= 0) return `mask:corner:${corner}`;
    if (inside(polygon, ...point) || nearestSide(polygon, point, reach, true) >= 0) return "mask";
  }
  const painted = paintedKey(table, time);
  if (painted && isPainted(painted.lines, point)) return "mask";
  const strokes = [...(table?.strokes ?? [])].map((stroke, index) => ({ stroke, index })).reverse();
  const isSelected = (index) => selection.some((name) => name === `stroke:${index}` || name.startsWith(`stroke:${index}:`));
  for (const { stroke, index } of strokes) {
    const found = nearestPoint(stroke.points, point, reach);
    if (found >= 0) return stroke.points.length === 1 ? `stroke:${index}` : `stroke:${index}:point:${found}`;
    const corner = isSelected(index) && stroke.region ? nearestPoint(stroke.region, point, reach) : -1;
    if (corner >= 0) return `stroke:${index}:corner:${corner}`;
  }
  for (const { stroke, index } of strokes) if (nearestSide(stroke.points, point, reach) >= 0) return `stroke:${index}`;
  for (const { stroke, index } of strokes) {
    const disc = Math.hypot(point[0] - stroke.points[0][0], point[1] - stroke.points[0][1]) <= widthOf(stroke, table.size) / 2;
    if (stroke.region ? inside(stroke.region, ...point) : disc) return `stroke:${index}`;
  }
  return null;
}

/** Return the names of the objects that lie in a rectangle of the drawing. */
export function within(table, [ax, ay], [bx, by]) {
  const isIn = ([x, y]) => x >= Math.min(ax, bx) && x <= Math.max(ax, bx) && y >= Math.min(ay, by) && y <= Math.max(ay, by);
  return (table?.strokes ?? []).flatMap((stroke, index) => {
    const points = stroke.points.flatMap((point, i) => (isIn(point) ? [`stroke:${index}:point:${i}`] : []));
    return points.length === stroke.points.length ? [`stroke:${index}`] : points;
  });
}
