// From a painted region to a polygon: a contour follower around the largest painted piece, and a simplification of its line.

const NEIGHBOURS = [[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]];

/**
 * Return the outline of the largest piece of a painted region.
 * @param {Uint8Array} painted 1 where painted, row by row.
 * @param {number} width
 * @param {number} height
 * @param {number} tolerance largest distance, in pixels, between the outline and its simplification.
 * @returns {number[][]} corners x, y, where (0, 0) is the corner of the first pixel; empty where next to nothing is painted.
 */
export function outline(painted, width, height, tolerance = 1) {
  const piece = largestPiece(painted, width, height);
  if (!piece) return [];
  const contour = follow(piece, width, height);
  const centres = contour.map(([x, y]) => [x + 0.5, y + 0.5]);
  return contour.length < 3 ? [] : simplify(centres, tolerance);
}

/** Return a mask of the largest connected piece; null where nothing is painted. */
function largestPiece(painted, width, height) {
  const labels = new Int32Array(painted.length);
  let [best, most] = [0, 0];
  let label = 0;
  for (let start = 0; start < painted.length; start++) {
    if (!painted[start] || labels[start]) continue;
    label += 1;
    const size = flood(painted, labels, label, start, width, height);
    if (size > most) [best, most] = [label, size];
  }
  return best ? labels.map((each) => Number(each === best)) : null;
}

function flood(painted, labels, label, start, width, height) {
  const stack = [start];
  labels[start] = label;
  let size = 0;
  while (stack.length) {
    const at = stack.pop();
    size += 1;
    const [x, y] = [at % width, Math.floor(at / width)];
    for (const [dx, dy] of NEIGHBOURS) {
      const [nx, ny] = [x + dx, y + dy];
      const next = ny * width + nx;
      if (nx < 0 || ny < 0 || nx >= width || ny >= height || !painted[next] || labels[next]) continue;
      labels[next] = label;
      stack.push(next);
    }
  }
  return size;
}

/** Follow the contour of a piece clockwise (Moore neighbours) until the first step is taken again. */
function follow(piece, width, height) {
  const start = piece.indexOf(1);
  const isIn = (x, y) => x >= 0 && y >= 0 && x < width && y < height && piece[y * width + x];
  let [x, y] = [start % width, Math.floor(start / width)];
  const contour = [[x, y]];
  let direction = 6; // the pixel above the first one is not painted
  let first = null;
  for (;;) {
    const found = [...Array(8).keys()].map((k) => (direction + k) % 8).find((d) => isIn(x + NEIGHBOURS[d][0], y + NEIGHBOURS[d][1]));
    if (found === undefined) return contour;
    const step = `${x},${y},${found}`;
    if (step === first) return contour.slice(0, -1);
    first ??= step;
    x += NEIGHBOURS[found][0];
    y += NEIGHBOURS[found][1];
    contour.push([x, y]);
    direction = (found + 5) % 8; // the last pixel outside that was seen
  }
}

/** Return a closed line with fewer points, none farther than a tolerance from it (Douglas and Peucker). */
export function simplify(points, tolerance) {
  if (points.length < 4) return points;
  const far = farthest(points, points[0]);
  const halves = [points.slice(0, far + 1), [...points.slice(far), points[0]]].map((half) => simplifyLine(half, tolerance));
  return [...halves[0].slice(0, -1), ...halves[1].slice(0, -1)];
}

function farthest(points, [x, y]) {
  const distances = points.map(([px, py]) => Math.hypot(px - x, py - y));
  return distances.indexOf(Math.max(...distances));
}

function simplifyLine(points, tolerance) {
  const [ax, ay] = points[0];
  const [bx, by] = points[points.length - 1];
  const length = Math.hypot(bx - ax, by - ay) || 1;
  let [worst, at] = [0, 0];
  for (let i = 1; i < points.length - 1; i++) {
    const distance = Math.abs((bx - ax) * (points[i][1] - ay) - (by - ay) * (points[i][0] - ax)) / length;
    if (distance > worst) [worst, at] = [distance, i];
  }
  if (worst <= tolerance) return [points[0], points[points.length - 1]];
  return [...simplifyLine(points.slice(0, at + 1), tolerance).slice(0, -1), ...simplifyLine(points.slice(at), tolerance)];
}
