// The picture on the canvas: what the drawing is over, moved along by it, the motion field, and the drawn objects.

import { drawArrows, drawColours } from "./field_view.js";
import { maskPolygon, paintedKey } from "./objects.js";
import { cellOf } from "./player.js";
import { cameraState, positionOf, timeOf, turn, widthOf } from "./strokes.js";

const COLOURS = ["#ff4d8d", "#22b8ff", "#ffb020", "#4fd06a", "#b78bff", "#ff7d45"];
const MASK_COLOUR = "#ff3b6b";
const HANDLE = 5; // CSS pixels, half of a handle's side

/** Return the colour of a stroke. */
export const colourOf = (index) => COLOURS[index % COLOURS.length];

/** Draw checks of the size of a clip, which stand for no picture. */
function drawChecks(context, { width, height }, dark) {
  const side = Math.max(1, Math.min(width, height) / 8);
  context.fillStyle = dark ? "#2b2f36" : "#e6e9ee";
  context.fillRect(0, 0, width, height);
  context.fillStyle = dark ? "#23272d" : "#d9dde4";
  for (let y = 0; y < height / side; y++) {
    for (let x = y % 2; x < width / side; x += 2) {
      context.fillRect(x * side, y * side, Math.min(side, width - x * side), Math.min(side, height - y * side));
    }
  }
}

function drawBase(context, scene, frame) {
  const { clip, base } = scene;
  if (base?.image) {
    context.imageSmoothingEnabled = base.image.naturalWidth > 256;
    context.drawImage(base.image, ...cellOf(base, frame), 0, 0, clip.width, clip.height);
  } else drawChecks(context, clip, scene.dark);
}

/**
 * Draw what the canvas is over. A picture moves with the drawing: it follows the camera, and the cut-outs of regions
 * follow their strokes; what they uncover is hatched. A video shows its frames.
 */
export function drawUnderlay(context, scene) {
  const { clip, motion, frame, base } = scene;
  context.beginPath();
  context.rect(0, 0, clip.width, clip.height);
  context.clip();
  if (!motion || (base && base.frames > 1)) return drawBase(context, scene, frame);
  const time = timeOf(frame, clip.frames);
  context.fillStyle = scene.dark ? "#15181c" : "#c3c8d0";
  context.fillRect(0, 0, clip.width, clip.height);
  context.save();
  applyCamera(context, motion, time);
  drawBase(context, scene, 0);
  if (time > 0) hatchUncovered(context, motion);
  context.restore();
  motion.strokes.forEach((_, index) => drawCutOut(context, scene, index, time));
}

function applyCamera(context, motion, time) {
  const { x, y, zoom, roll } = cameraState(motion.table.camera, time);
  const [cx, cy] = [motion.width / 2, motion.height / 2];
  context.translate(cx, cy);
  context.scale(zoom, zoom);
  context.rotate((-roll * Math.PI) / 180);
  context.translate(-cx - x * motion.scale, -cy - y * motion.scale);
}

function regionPath(context, { region, anchor, radius }) {
  context.beginPath();
  if (region) region.forEach(([x, y]) => context.lineTo(x + 0.5, y + 0.5));
  else context.arc(anchor[0] + 0.5, anchor[1] + 0.5, radius, 0, Math.PI * 2);
  context.closePath();
}

/** Hatch where regions were in the first frame, with lines that are seen on bright and on dark pictures. */
function hatchUncovered(context, motion) {
  const { width, height } = motion;
  const step = Math.min(width, height) / 24;
  for (const placed of motion.strokes) {
    context.save();
    regionPath(context, placed);
    context.clip();
    for (const [colour, offset] of [["rgb(0 0 0 / 0.25)", 0], ["rgb(255 255 255 / 0.4)", step / 8]]) {
      context.beginPath();
      for (let x = -height; x < width; x += step) {
        context.moveTo(x + offset, 0);
        context.lineTo(x + offset + height, height);
      }
      context.lineWidth = step / 8;
      context.strokeStyle = colour;
      context.stroke();
    }
    context.restore();
  }
}

/** Move the context so that what is drawn where a region is in the first frame appears where it is at a time. */
function followStroke(context, motion, index, time) {
  const { centre, scale, rotation } = motion.placeOf(index, time);
  const { anchor } = motion.strokes[index];
  context.translate(centre[0] + 0.5, centre[1] + 0.5);
  context.rotate((rotation * Math.PI) / 180);
  context.scale(scale, scale);
  context.translate(-anchor[0] - 0.5, -anchor[1] - 0.5);
}

function drawCutOut(context, scene, index, time) {
  context.save();
  followStroke(context, scene.motion, index, time);
  regionPath(context, scene.motion.strokes[index]);
  context.save();
  context.clip();
  drawBase(context, scene, 0);
  context.restore();
  if (!scene.base) {
    context.globalAlpha = 0.3;
    context.fillStyle = colourOf(index);
    context.fill();
  }
  context.restore();
}

/** Draw the motion field as the scene asks for: `arrows`, `colours` or `off`. */
export function drawField(context, scene) {
  if (!scene.motion || scene.field === "off" || scene.clip.frames < 2) return;
  const frame = Math.max(1, scene.frame);
  if (scene.field === "colours") drawColours(context, scene.motion, frame);
  else drawArrows(context, scene.motion, frame, 1 / scene.viewport.scale);
}

/** Draw lines, regions and handles of strokes, on the screen. */
export function drawStrokes(context, scene) {
  const { viewport, motion, table, clip, selection } = scene;
  const time = timeOf(scene.frame, clip.frames);
  (table?.strokes ?? []).forEach((stroke, index) => {
    const colour = colourOf(index);
    const own = selection.filter((name) => name === `stroke:${index}` || name.startsWith(`stroke:${index}:`));
    context.lineWidth = own.length ? 2 : 1.25;
    context.strokeStyle = colour;
    context.setLineDash([4, 3]);
    strokeRegion(context, viewport, stroke, table.size);
    context.setLineDash([]);
    context.save();
    viewport.inClip(context, (inner) => {
      followStroke(inner, motion, index, time);
      regionPath(inner, motion.strokes[index]);
    });
    context.stroke();
    context.restore();
    drawLine(context, stroke.points.map((p) => viewport.screen(p)), colour, own.length > 0);
    drawHandles(context, viewport, stroke, index, own);
    dot(context, viewport.screen(positionOf(stroke, time)), 4, "#fff", colour);
  });
}

function strokeRegion(context, viewport, stroke, size) {
  context.beginPath();
  if (stroke.region) stroke.region.forEach((p) => context.lineTo(...viewport.screen(p)));
  else context.arc(...viewport.screen(stroke.points[0]), (widthOf(stroke, size) / 2) * viewport.drawingScale, 0, Math.PI * 2);
  context.closePath();
  context.stroke();
}

/** Draw a line with an arrow head on the screen. */
export function drawLine(context, points, colour, strong = false) {
  const path = () => {
    context.beginPath();
    points.forEach(([x, y]) => context.lineTo(x, y));
    const [end, before] = [points.at(-1), points.at(-2)];
    if (before) {
      const angle = Math.atan2(end[1] - before[1], end[0] - before[0]);
      for (const side of [-2.6, 2.6]) {
        context.moveTo(...end);
        context.lineTo(end[0] + 11 * Math.cos(angle + side), end[1] + 11 * Math.sin(angle + side));
      }
    }
    context.stroke();
  };
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "rgb(0 0 0 / 0.6)";
  context.lineWidth = strong ? 6 : 5;
  path();
  context.strokeStyle = colour;
  context.lineWidth = strong ? 3.5 : 2.5;
  path();
}

function drawHandles(context, viewport, stroke, index, own) {
  stroke.points.forEach((point, i) => {
    const chosen = own.includes(`stroke:${index}:point:${i}`) || own.includes(`stroke:${index}`);
    handle(context, viewport.screen(point), chosen, colourOf(index));
  });
  if (!own.length || !stroke.region) return;
  stroke.region.forEach((corner, i) => handle(context, viewport.screen(corner), own.includes(`stroke:${index}:corner:${i}`), colourOf(index), 0.75));
}

/** Draw a square handle on the screen. */
export function handle(context, [x, y], chosen, colour, size = 1) {
  const half = HANDLE * size;
  context.fillStyle = chosen ? colour : "#fff";
  context.strokeStyle = chosen ? "#fff" : colour;
  context.lineWidth = 1.5;
  context.beginPath();
  context.rect(x - half, y - half, 2 * half, 2 * half);
  context.fill();
  context.stroke();
}

function dot(context, [x, y], radius, fill, line) {
  context.beginPath();
  context.arc(x, y, radius, 0, Math.PI * 2);
  context.fillStyle = fill;
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = line;
  context.stroke();
}

/** Return the corners of what the camera sees at a time, in pixels of the drawing of the first frame. */
export function cameraView(camera, size, clip, time) {
  const { x, y, zoom, roll } = cameraState(camera, time);
  const scale = Math.max(clip.width / size[0], clip.height / size[1]);
  const [halfWidth, halfHeight] = [clip.width / scale / 2 / zoom, clip.height / scale / 2 / zoom];
  const [cos, sin] = turn(roll);
  const [cx, cy] = [size[0] / 2 + x, size[1] / 2 + y];
  const at = (dx, dy) => [cx + cos * dx - sin * dy, cy + sin * dx + cos * dy];
  return {
    centre: [cx, cy],
    corners: [at(-halfWidth, -halfHeight), at(halfWidth, -halfHeight), at(halfWidth, halfHeight), at(-halfWidth, halfHeight)],
    top: at(0, -halfHeight),
  };
}

/** Draw the hidden region of a mask at a time, on the screen. */
export function drawMask(context, scene) {
  const { viewport, table, clip, selection } = scene;
  const time = timeOf(scene.frame, clip.frames);
  const polygon = maskPolygon(table, time);
  const whole = selection.includes("mask");
  if (polygon) {
    viewport.clipped(context, () => {
      context.beginPath();
      polygon.forEach((corner) => context.lineTo(...viewport.screen(corner)));
      context.closePath();
      context.fillStyle = "rgb(255 59 107 / 0.35)";
      context.fill();
      context.lineWidth = 2;
      context.strokeStyle = MASK_COLOUR;
      context.stroke();
    });
    polygon.forEach((corner, i) => handle(context, viewport.screen(corner), whole || selection.includes(`mask:corner:${i}`), MASK_COLOUR));
  }
  const key = paintedKey(table, time);
  if (key) drawPainted(context, viewport, key.lines, whole);
}

let layer = null; // canvas on which lines hide and erase before they are laid over the picture

/** Draw painted lines of a mask, later ones over earlier ones, on the screen; stronger where they are selected. */
export function drawPainted(context, viewport, lines, selected = false) {
  layer ??= document.createElement("canvas");
  const ratio = context.getTransform().a;
  layer.width = context.canvas.width;
  layer.height = context.canvas.height;
  const inner = layer.getContext("2d");
  inner.scale(ratio, ratio);
  inner.lineCap = inner.lineJoin = "round";
  inner.strokeStyle = MASK_COLOUR;
  for (const line of lines) {
    inner.globalCompositeOperation = line.erase ? "destination-out" : "source-over";
    inner.lineWidth = line.width * viewport.drawingScale;
    inner.beginPath();
    line.points.forEach((p) => inner.lineTo(...viewport.screen(p)));
    if (line.points.length === 1) inner.lineTo(...viewport.screen([line.points[0][0], line.points[0][1] + 1e-3]));
    inner.stroke();
  }
  viewport.clipped(context, () => {
    context.globalAlpha = selected ? 0.65 : 0.45;
    context.drawImage(layer, 0, 0, layer.width / ratio, layer.height / ratio);
  });
}
