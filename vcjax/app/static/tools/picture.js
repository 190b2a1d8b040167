// White lines on black, for conditions that are drawn as a picture: each line is saved as a PNG of the clip's size.

import { framesAddress, upload } from "../api.js";
import { inputOf, UPLOAD, uploadId } from "../request.js";
import { drawTip } from "./brush.js";

/** The picture of a condition as it is painted, which an undo replaces by the one before. */
class Raster {
  constructor(app) {
    this.app = app;
    this.canvas = document.createElement("canvas");
    this.shows = null; // what the canvas holds: condition, upload and size
    this.pending = 0;
  }

  /** Return the canvas with the picture of the selected condition; the upload is loaded where it is another one. */
  of(condition) {
    const { app } = this;
    const id = uploadId(inputOf(app.doc, condition.name)?.value);
    const { width, height } = app.clip;
    const wanted = `${condition.name} ${id} ${width}x${height}`;
    if (wanted === this.shows || this.pending) return this.canvas;
    const sheet = id && /\.(npy|json|svg)$/.test(id) === false ? app.sheets.get(framesAddress(id, { ...app.clip, frames: 1 }), 1) : null;
    if (sheet && !sheet.image) return this.canvas;
    Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    context.fillRect(0, 0, width, height);
    if (sheet) context.drawImage(sheet.image, 0, 0, width, height);
    this.shows = wanted;
    return this.canvas;
  }

  /** Save the picture, and make it the value of a condition. */
  save(condition) {
    this.pending += 1;
    const blob = new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
    this.app.saving = this.app.saving.then(async () => {
      try {
        const info = await upload(await blob, `${condition.name}.png`);
        this.app.keepUpload(info);
        this.shows = `${condition.name} ${info.id} ${this.canvas.width}x${this.canvas.height}`;
        this.app.give(condition.name, { value: UPLOAD + info.id });
      } catch (error) {
        this.shows = null;
        this.app.fileErrors = { ...this.app.fileErrors, [`conditions.${condition.name}`]: error.message };
      } finally {
        this.pending -= 1;
        this.app.refresh();
      }
    });
  }
}

const rasters = new Map(); // by condition

/** Return the canvas with the painted picture of a condition. */
export function pictureOf(app, condition) {
  if (!rasters.has(condition.name)) rasters.set(condition.name, new Raster(app));
  return rasters.get(condition.name).of(condition);
}

/** Paint white lines. */
export class PictureTool {
  static info = { id: "picture", title: "Draw lines", key: "d", icon: "picture", drawings: ["picture"] };
  static colour = "#fff";
  hint = "Draw white lines; the picture is saved after each.";

  constructor(editor) {
    this.editor = editor;
    this.last = null;
  }

  down(p) {
    this.last = p;
    this.line(p);
  }

  move(p, pressed) {
    this.pointer = p;
    if (pressed && this.last) this.line(p);
    this.editor.invalidate();
  }

  line(p) {
    const context = pictureOf(this.editor.app, this.editor.condition).getContext("2d");
    context.strokeStyle = this.constructor.colour;
    context.lineCap = "round";
    context.lineWidth = this.editor.options.picture;
    context.beginPath();
    context.moveTo(...this.last);
    context.lineTo(p[0], p[1] + (p === this.last ? 1e-3 : 0));
    context.stroke();
    this.last = p;
    this.editor.invalidate();
  }

  up() {
    if (!this.last) return;
    this.last = null;
    rasters.get(this.editor.condition.name).save(this.editor.condition);
  }

  draw(context, viewport) {
    if (this.pointer) drawTip(context, viewport, this.pointer, this.editor.options.picture);
  }
}

/** Paint black over lines. */
export class PictureEraseTool extends PictureTool {
  static info = { id: "picture-erase", title: "Erase lines", key: "w", icon: "wipe", drawings: ["picture"] };
  static colour = "#000";
  hint = "Paint black over lines.";
}
