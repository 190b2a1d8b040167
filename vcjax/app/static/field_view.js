// Pictures of a motion field: arrows on a grid, and colours whose hue is the direction and whose strength is the speed.

const ARROWS_ACROSS = 16;
const CELLS_ACROSS = 64;
const STANDING = 0.02; // pixels per frame, below which nothing is drawn
const LEAST_RANGE = 2; // pixels per frame that are a full colour at least

/**
 * Draw arrows of the motion since the previous frame; their length is exaggerated where motions are small.
 * @param {CanvasRenderingContext2D} context in pixels of the clip.
 * @param {Motion} motion
 * @param {number} frame
 * @param {number} unit length of a pixel on the screen, in pixels of the clip.
 */
export function drawArrows(context, motion, frame, unit) {
  const step = Math.max(1, Math.max(motion.width, motion.height) / ARROWS_ACROSS);
  const found = sample(motion, frame, step);
  const longest = Math.max(...found.map(({ length }) => length), STANDING);
  const factor = (step * 0.85) / Math.max(longest, step * 0.15);
  for (const dark of [true, false]) {
    context.strokeStyle = dark ? "rgb(0 0 0 / 0.55)" : "rgb(255 255 255 / 0.95)";
    context.lineWidth = unit * (dark ? 3 : 1.3);
    context.lineCap = "round";
    context.beginPath();
    for (const { x, y, dx, dy, length } of found) {
      if (length > STANDING) arrow(context, x, y, dx * factor, dy * factor, unit * 4);
    }
    context.stroke();
  }
}

function sample(motion, frame, step) {
  const found = [];
  for (let y = step / 2; y < motion.height; y += step) {
    for (let x = step / 2; x < motion.width; x += step) {
      const [dx, dy] = motion.vector(frame, x - 0.5, y - 0.5);
      found.push({ x, y, dx, dy, length: Math.sqrt(dx * dx + dy * dy) });
    }
  }
  return found;
}

function arrow(context, x, y, dx, dy, head) {
  const [ex, ey] = [x + dx / 2, y + dy / 2];
  const angle = Math.atan2(dy, dx);
  const size = Math.min(head, Math.hypot(dx, dy) / 2);
  context.moveTo(x - dx / 2, y - dy / 2);
  context.lineTo(ex, ey);
  for (const side of [-2.6, 2.6]) {
    context.moveTo(ex, ey);
    context.lineTo(ex + size * Math.cos(angle + side), ey + size * Math.sin(angle + side));
  }
}

let cells = null; // canvas, kept between frames

/** Draw the motion since the previous frame as colours over the clip. */
export function drawColours(context, motion, frame) {
  const step = Math.max(1, Math.max(motion.width, motion.height) / CELLS_ACROSS);
  const [columns, rows] = [Math.ceil(motion.width / step), Math.ceil(motion.height / step)];
  cells ??= document.createElement("canvas");
  cells.width = columns;
  cells.height = rows;
  const image = new ImageData(columns, rows);
  const vectors = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) vectors.push(motion.vector(frame, (column + 0.5) * step - 0.5, (row + 0.5) * step - 0.5));
  }
  const range = Math.max(LEAST_RANGE, ...vectors.map(([x, y]) => Math.sqrt(x * x + y * y)));
  vectors.forEach(([x, y], i) => {
    const speed = Math.sqrt(x * x + y * y) / range;
    image.data.set([...colourOf(Math.atan2(y, x)), speed * Math.sqrt(x * x + y * y) > STANDING / 4 ? 90 + 140 * speed : 0], i * 4);
  });
  cells.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(cells, 0, 0, columns * step, rows * step);
  context.imageSmoothingEnabled = true;
}

/** Return red, green and blue of a direction, evenly around the circle of hues. */
function colourOf(angle) {
  return [0, 2, 4].map((shift) => {
    const at = ((angle / (Math.PI * 2)) * 6 + 6 + shift) % 6;
    return Math.round(255 * Math.min(1, Math.max(0, Math.abs(at - 3) - 1)));
  });
}
