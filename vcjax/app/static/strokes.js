// The motion of a drawing, computed as `vcjax.strokes(...).field` does: where strokes and camera are at a time, and how far
// each pixel moves between two frames. Positions are pixels of the clip; (0, 0) is the centre of the top left pixel.

const DEFAULT_WIDTH = 0.25; // of a stroke, relative to the shorter side of the drawing

/** Progress from 0 to 1 as a function of time from 0 to 1. */
export const EASINGS = {
  linear: (t) => t,
  "ease-in": (t) => t ** 2,
  "ease-out": (t) => 1 - (1 - t) ** 2,
  "ease-in-out": (t) => t ** 2 * (3 - 2 * t),
};

/** Return the value at x of a curve through points, constant outside; like numpy.interp. */
export function interpolate(x, xs, ys) {
  const last = xs.length - 1;
  if (x < xs[0]) return ys[0];
  if (x >= xs[last]) return ys[last];
  let low = 0;
  while (xs[low + 1] <= x) low += 1;
  if (xs[low] === x) return ys[low];
  return ((ys[low + 1] - ys[low]) / (xs[low + 1] - xs[low])) * (x - xs[low]) + ys[low];
}

function eased(name, time, first, last) {
  if (!name || name === "linear" || time < first || time > last) return time;
  const inner = Math.min(1, Math.max(0, (time - first) / (last - first)));
  return first + EASINGS[name](inner) * (last - first);
}

/** Return the time, from 0 to 1, of a frame of a clip; a frame may be a fraction. */
export function timeOf(frame, frames) {
  if (frames < 2) return 0;
  return frame === frames - 1 ? 1 : frame * (1 / (frames - 1));
}

/** Return the frame of a clip at a time, which may lie between two, as people read it. */
export const frameOf = (time, frames) => Math.round(time * (frames - 1) * 1000) / 1000;

/** Return pixels of a clip for each pixel of a drawing, which covers the clip. */
export function drawingScale(size, height, width) {
  return Math.max(width / size[0], height / size[1]);
}

/** Return the diameter of the disc that a stroke without a region moves, in pixels of the drawing. */
export function widthOf(stroke, size) {
  return stroke.width ?? DEFAULT_WIDTH * Math.min(size[0], size[1]);
}

/** Return the times of a stroke's points: its own, or those of constant speed along the line. */
export function timesOf(stroke) {
  if (stroke.times) return stroke.times;
  const steps = stroke.points.slice(1).map((p, i) => Math.sqrt((p[0] - stroke.points[i][0]) ** 2 + (p[1] - stroke.points[i][1]) ** 2));
  const along = [0];
  for (const step of steps) along.push(along[along.length - 1] + step);
  const total = steps.reduce((sum, step) => sum + step, 0) || 1;
  return along.map((length) => length / total);
}

/** Return the position of a stroke at a time, in pixels of the drawing. */
export function positionOf(stroke, time) {
  const times = timesOf(stroke);
  const [first, last] = [times[0], times[times.length - 1]];
  const at = last > first ? eased(stroke.easing, time, first, last) : time;
  return [0, 1].map((axis) => interpolate(at, times, stroke.points.map((p) => p[axis])));
}

function keyed(keys, time, otherwise) {
  if (!keys?.length) return otherwise;
  return interpolate(time, keys.map((key) => key[0]), keys.map((key) => key[1]));
}

/** Return the size of a stroke's region at a time, relative to the first frame. */
export const scaleOf = (stroke, time) => keyed(stroke.scale, time, 1) / keyed(stroke.scale, 0, 1);

/** Return the rotation of a stroke's region since the first frame, in degrees clockwise. */
export const rotationOf = (stroke, time) => keyed(stroke.rotation, time, 0) - keyed(stroke.rotation, 0, 0);

/** Return pan x, pan y, zoom and roll of a camera at a time. */
export function cameraState(camera, time) {
  const { pan = [0, 0], zoom = 1, roll = 0, easing = "linear", path = [] } = camera ?? {};
  const keys = path.length ? path : [{ time: 0 }, { time: 1, pan, zoom, roll }];
  const at = keys.map((key) => key.time);
  let now = time;
  for (let i = 0; i + 1 < at.length; i++) {
    if (at[i] <= now && now <= at[i + 1]) now = eased(easing, now, at[i], at[i + 1]);
  }
  const along = (value) => interpolate(now, at, keys.map(value));
  return {
    x: along((key) => key.pan?.[0] ?? 0),
    y: along((key) => key.pan?.[1] ?? 0),
    zoom: Math.exp(along((key) => Math.log(key.zoom ?? 1))),
    roll: along((key) => key.roll ?? 0),
  };
}

/** Return cosine and sine of degrees. */
export function turn(degrees) {
  const angle = degrees * (Math.PI / 180);
  return [Math.cos(angle), Math.sin(angle)];
}

/** Return whether a point lies in a polygon: a ray to the right crosses its border an odd number of times. */
export function inside(polygon, x, y) {
  let result = false;
  for (let i = 0; i < polygon.length; i++) {
    const [ax, ay] = polygon[i];
    const [bx, by] = polygon[(i + 1) % polygon.length];
    if (ay > y !== by > y && x < ax + ((y - ay) * (bx - ax)) / (by - ay)) result = !result;
  }
  return result;
}

/** The motion of a drawing in a clip. */
export class Motion {
  /**
   * @param {{size: number[], strokes?: object[], camera?: object}} table drawing, see vcjax/conditions/strokes.py.
   * @param {number} frames
   * @param {number} height in pixels of the clip.
   * @param {number} width
   */
  constructor(table, frames, height, width) {
    Object.assign(this, { table, frames, height, width });
    this.scale = drawingScale(table.size, height, width);
    this.centre = [(width - 1) / 2, (height - 1) / 2];
    this.strokes = (table.strokes ?? []).map((stroke) => this.#placed(stroke));
    this.prepared = new Map();
  }

  /** Convert a point of the drawing to pixels of the clip. */
  toClip(point) {
    return [0, 1].map((axis) => (point[axis] - this.table.size[axis] / 2) * this.scale + this.centre[axis]);
  }

  /** Return where the region of a stroke is at a time: its centre, scale and rotation. */
  placeOf(index, time) {
    const { stroke, first, anchor, turns } = this.strokes[index];
    const position = this.toClip(positionOf(stroke, time));
    return {
      centre: [position[0] - first[0] + anchor[0], position[1] - first[1] + anchor[1]],
      scale: turns ? scaleOf(stroke, time) : 1,
      rotation: turns ? rotationOf(stroke, time) : 0,
    };
  }

  /** Return how far a pixel of a frame has moved since the previous one: [x, y] in pixels. */
  vector(now, x, y) {
    if (now < 1) return [0, 0];
    const frame = this.#frame(now);
    for (let i = this.strokes.length - 1; i >= 0; i--) {
      const moved = this.#ofStroke(this.strokes[i], frame.strokes[i], x, y);
      if (moved) return moved;
    }
    return ofCamera(frame.camera, x - this.centre[0], y - this.centre[1]);
  }

  /** Return the displacements of all pixels of all frames: [frames, height, width, 2]. */
  field() {
    const field = new Float32Array(this.frames * this.height * this.width * 2);
    let i = 0;
    for (let now = 0; now < this.frames; now++) {
      for (let y = 0; y < this.height; y++) {
        for (let x = 0; x < this.width; x++) {
          const [dx, dy] = this.vector(now, x, y);
          field[i++] = dx;
          field[i++] = dy;
        }
      }
    }
    return field;
  }

  #placed(stroke) {
    const first = this.toClip(positionOf(stroke, 0));
    const region = stroke.region?.map((corner) => this.toClip(corner));
    const anchor = region ? [0, 1].map((axis) => region.reduce((sum, corner) => sum + corner[axis], 0) / region.length) : first;
    const turns = Boolean(stroke.scale?.length || stroke.rotation?.length);
    const radius = (widthOf(stroke, this.table.size) * this.scale) / 2;
    return { stroke, first, region, anchor, turns, radius };
  }

  #frame(now) {
    if (!this.prepared.has(now)) {
      const times = [timeOf(now - 1, this.frames), timeOf(now, this.frames)];
      this.prepared.set(now, {
        camera: cameraStep(this.table.camera, times, this.scale),
        strokes: this.strokes.map((_, i) => strokeStep(...times.map((time) => this.placeOf(i, time)))),
      });
    }
    return this.prepared.get(now);
  }

  #ofStroke({ region, anchor, turns, radius }, step, x, y) {
    const [ox, oy] = [x - step.centre[0], y - step.centre[1]];
    let [tx, ty] = [ox, oy];
    if (turns) {
      const [cos, sin] = step.turn;
      tx = (ox * cos + oy * sin) / step.scale;
      ty = (oy * cos - ox * sin) / step.scale;
    }
    const [px, py] = [tx + anchor[0], ty + anchor[1]];
    const [qx, qy] = [px - anchor[0], py - anchor[1]];
    if (region ? !inside(region, px, py) : !(Math.sqrt(qx * qx + qy * qy) <= radius)) return null;
    if (!turns) return step.moved;
    const [cos, sin] = step.turnBefore;
    const before = step.scaleBefore;
    return [
      step.moved[0] + ox - before * (tx * cos - ty * sin),
      step.moved[1] + oy - before * (tx * sin + ty * cos),
    ];
  }
}

function strokeStep(before, now) {
  return {
    centre: now.centre,
    moved: [now.centre[0] - before.centre[0], now.centre[1] - before.centre[1]],
    scale: now.scale,
    turn: turn(now.rotation),
    scaleBefore: before.scale,
    turnBefore: turn(before.rotation),
  };
}

/** Return constants of the camera's motion between two times, in which a point of the scene is seen at z R (q - c). */
function cameraStep(camera, times, scale) {
  const [before, now] = times.map((time) => cameraState(camera, time));
  const [dx, dy] = [(now.x - before.x) * scale, (now.y - before.y) * scale];
  const [cos, sin] = turn(-before.roll);
  return {
    shift: [before.zoom * (cos * dx - sin * dy), before.zoom * (sin * dx + cos * dy)],
    turn: before.roll === now.roll ? null : turn(now.roll - before.roll),
    zoom: before.zoom / now.zoom,
  };
}

function ofCamera({ shift, turn: rolled, zoom }, x, y) {
  const rotated = rolled ? [rolled[0] * x - rolled[1] * y, rolled[1] * x + rolled[0] * y] : [x, y];
  return [x - rotated[0] * zoom - shift[0], y - rotated[1] * zoom - shift[1]];
}
