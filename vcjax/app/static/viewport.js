// The map between the canvas on the screen, the clip, and the drawing that covers the clip.

import { drawingScale } from "./strokes.js";

const MARGIN = 30; // CSS pixels around the clip, in which handles outside of it can be reached

/** Where the clip is on the canvas. */
export class Viewport {
  /**
   * @param {number} canvasWidth in CSS pixels, as all that is on the screen.
   * @param {number} canvasHeight
   * @param {{height: number, width: number}} clip
   * @param {number[]} size width and height of the drawing.
   */
  constructor(canvasWidth, canvasHeight, clip, size) {
    const margin = Math.min(MARGIN, canvasWidth / 16);
    this.scale = Math.max(0.01, Math.min((canvasWidth - 2 * margin) / clip.width, (canvasHeight - 2 * margin) / clip.height));
    this.left = Math.round((canvasWidth - clip.width * this.scale) / 2);
    this.top = Math.round((canvasHeight - clip.height * this.scale) / 2);
    this.clip = clip;
    this.size = size;
    this.drawingScale = drawingScale(size, clip.height, clip.width) * this.scale;
  }

  /** Convert a point of the drawing to the screen. */
  screen([x, y]) {
    return [
      (x - this.size[0] / 2) * this.drawingScale + this.left + (this.clip.width * this.scale) / 2,
      (y - this.size[1] / 2) * this.drawingScale + this.top + (this.clip.height * this.scale) / 2,
    ];
  }

  /** Convert a point on the screen to the drawing. */
  drawing([x, y]) {
    return [
      (x - this.left - (this.clip.width * this.scale) / 2) / this.drawingScale + this.size[0] / 2,
      (y - this.top - (this.clip.height * this.scale) / 2) / this.drawingScale + this.size[1] / 2,
    ];
  }

  /** Draw on the screen, but only where the clip is. */
  clipped(context, draw) {
    context.save();
    context.beginPath();
    context.rect(this.left, this.top, this.clip.width * this.scale, this.clip.height * this.scale);
    context.clip();
    draw();
    context.restore();
  }

  /** Draw with coordinates of the clip, in which a pixel is a unit and (0, 0) the corner of the first. */
  inClip(context, draw) {
    context.save();
    context.translate(this.left, this.top);
    context.scale(this.scale, this.scale);
    draw(context);
    context.restore();
  }
}
