// One clock for everything that moves on the page, and sheets: pictures with a cell for each frame of a clip.

const MOST_SHEETS = 300; // kept in memory

/** A clock of frames; all that moves shows its frame, so that everything is in step. */
export class Clock {
  constructor() {
    this.frame = 0;
    this.frames = 1;
    this.fps = 8;
    this.playing = false;
    this.listeners = new Set();
  }

  /** Call a function with each frame that is shown, and when playing begins or ends. */
  subscribe(listener) {
    this.listeners.add(listener);
  }

  /** Set the length of what plays. */
  configure(frames, fps) {
    if (frames === this.frames && fps === this.fps) return;
    this.frames = frames;
    this.fps = fps;
    this.show(Math.min(this.frame, frames - 1));
  }

  /** Show a frame; before the first comes the last. */
  show(frame) {
    this.frame = ((frame % this.frames) + this.frames) % this.frames;
    this.#announce();
  }

  /** Stop at a frame, such as one that somebody seeks. */
  seek(frame) {
    this.playing = false;
    this.show(frame);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.playing) return;
    this.playing = true;
    const began = performance.now() - (this.frame / this.fps) * 1000;
    const tick = (now) => {
      if (!this.playing) return;
      const frame = Math.floor(((now - began) / 1000) * this.fps) % this.frames;
      if (frame !== this.frame && frame >= 0) this.show(frame);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
    this.#announce();
  }

  pause() {
    this.playing = false;
    this.#announce();
  }

  #announce() {
    for (const listener of this.listeners) listener(this.frame);
  }
}

/** Pictures with a cell for each frame, by address; each is loaded once. */
export class Sheets {
  /** @param {function()} loaded called when a sheet has arrived. */
  constructor(loaded) {
    this.loaded = loaded;
    this.sheets = new Map();
  }

  /**
   * Return a sheet; its `image` is null until it has arrived.
   * @param {string} address
   * @param {number} frames number of cells.
   */
  get(address, frames) {
    const known = this.sheets.get(address);
    if (known) {
      this.sheets.delete(address); // the last one that was used is the last one to go
      this.sheets.set(address, known);
    } else {
      const sheet = { image: null, frames, failed: false };
      this.sheets.set(address, sheet);
      const image = new Image();
      image.onload = () => {
        sheet.image = image;
        this.loaded();
      };
      image.onerror = () => (sheet.failed = true);
      image.src = address;
      if (this.sheets.size > MOST_SHEETS) this.sheets.delete(this.sheets.keys().next().value);
    }
    return this.sheets.get(address);
  }
}

/** Return the place of a frame in a sheet: x, y, width and height in pixels. */
export function cellOf(sheet, frame) {
  const columns = Math.ceil(Math.sqrt(sheet.frames));
  const rows = Math.ceil(sheet.frames / columns);
  const index = frame % sheet.frames;
  const [width, height] = [sheet.image.naturalWidth / columns, sheet.image.naturalHeight / rows];
  return [(index % columns) * width, Math.floor(index / columns) * height, width, height];
}

/** Draw a frame of a sheet over a canvas, which gets the size of a cell. */
export function drawCell(canvas, sheet, frame) {
  if (!sheet?.image) return;
  const [x, y, width, height] = cellOf(sheet, frame);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(sheet.image, x, y, width, height, 0, 0, width, height);
  canvas.dataset.frame = frame % sheet.frames;
}
