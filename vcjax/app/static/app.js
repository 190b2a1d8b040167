// What the panels share: the catalogue, the document, what is looked at, uploads, errors and the clock.

import { framesAddress, upload, uploadInfo } from "./api.js";
import { slug } from "./dom.js";
import { Clock, Sheets } from "./player.js";
import { baseOf, clipOf, documentOf, emptyDocument, inputOf, isEmpty, isTable, maskOption, modelOf, setInput, setSetting, underName, UPLOAD, uploadsIn } from "./request.js";
import { Store } from "./store.js";

const VIEW = "vcjax.view";
const STATUS_SHOWN = 5000; // milliseconds
const UNUSED = { condition: null, selection: [], tool: null }; // view of an empty page, on which the first drawing tool is in use
const SETTINGS = ["model", "sampler", "spacing", "steps", "guidance", "guidance_rescale", "negative_text", "seeds", "frames", "size", "fps", "loop", "composite"];

/** State of the page. */
export class App {
  /** @param {object} catalogue of the server. */
  constructor(catalogue) {
    this.catalogue = catalogue;
    this.store = new Store(localStorage, emptyDocument());
    this.view = { ...UNUSED, tab: "edit", field: "arrows", open: {}, job: null, jobs: [], compare: [], newSeed: false, ...savedView() };
    if (isEmpty(this.doc)) Object.assign(this.view, UNUSED);
    this.errors = {}; // sentences about the request, by the part that they are about
    this.causes = {}; // what these parts were when the sentences came, as text
    this.fileErrors = {}; // sentences about files that were refused, until something else is done
    this.refused = null; // sentence about a file that was dropped beside all cards, until anything else is done
    this.banner = [];
    this.uploads = new Map(); // descriptions by id; null while one is on its way
    this.saving = Promise.resolve(); // until painted pictures are in the document
    this.clock = new Clock();
    this.sheets = new Sheets(() => this.refresh());
    this.renderers = new Set();
    this.store.subscribe(() => {
      this.fileErrors = {};
      this.refused = null;
      this.dropOldErrors();
      this.refresh();
    });
  }

  get doc() { return this.store.doc; }
  get model() { return modelOf(this.doc, this.catalogue); }
  get clip() { return clipOf(this.doc, this.model); }

  /** The condition that the canvas draws: the selected one, or else the first that can be drawn on it. */
  get active() {
    const drawable = this.model.conditions.filter(({ drawing }) => ["strokes", "mask", "picture"].includes(drawing));
    return drawable.find(({ name }) => name === this.view.condition) ?? drawable.find(({ drawing }) => drawing === "strokes") ?? drawable[0] ?? null;
  }

  /** Return the sentence about a part of the request; undefined without. */
  errorOf(field) {
    return this.fileErrors[field] ?? this.errors[field];
  }

  /** Show the page anew before the next frame. */
  refresh() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => this.flush());
  }

  /** Show the page anew at once, where something has changed. */
  flush() {
    if (!this.scheduled) return;
    this.scheduled = false;
    for (const render of this.renderers) render();
  }

  /** Change what is looked at, which is no step of undo. */
  setView(changed) {
    Object.assign(this.view, changed);
    localStorage.setItem(VIEW, JSON.stringify(this.view));
    this.refresh();
  }

  /** Say something to screen readers, and to all in the status line. */
  announce(sentence) {
    this.status = sentence;
    clearTimeout(this.silence);
    if (sentence) this.silence = setTimeout(() => this.announce(""), STATUS_SHOWN);
    this.refresh();
  }

  showHint(sentence) {
    if (sentence === this.hint) return;
    this.hint = sentence;
    this.refresh();
  }

  /** Show an error of the server beside its control, or in the banner. */
  report(error, otherwise = null) {
    const field = error.field ?? otherwise;
    const isCondition = this.model.conditions.some(({ name }) => field === `conditions.${name}`);
    if (isCondition || SETTINGS.includes(field)) {
      this.errors = { ...this.errors, [field]: error.message };
      this.causes[field] = partOf(this.doc.request, field);
    } else if (!this.banner.includes(error.message)) this.banner = [...this.banner, error.message];
    this.refresh();
  }

  /** Drop sentences about parts of the request that have changed since. */
  dropOldErrors() {
    const kept = Object.entries(this.errors).filter(([field]) => this.causes[field] === partOf(this.doc.request, field));
    this.errors = Object.fromEntries(kept);
  }

  /** Say in the banner why a file was refused that was dropped beside all cards. */
  refuse(sentence) {
    this.announce("");
    this.refused = sentence;
    this.refresh();
  }

  /** Take back what was said about a refused file, because something else is done. */
  forgetRefused() {
    if (this.refused === null) return;
    this.refused = null;
    this.refresh();
  }

  /** Bring a control with an error into view. */
  goToError(field) {
    if (!field) return;
    if (matchMedia("(max-width: 900px)").matches) this.setView({ tab: field.startsWith("conditions.") ? "conditions" : "settings" });
    this.flush();
    document.getElementById(`error-${slug(field)}`)?.scrollIntoView({ block: "center" });
  }

  /** Say something to screen readers alone. */
  speak(sentence) {
    document.getElementById("spoken").textContent = sentence;
  }

  /** Drop the sentences beside controls; those in the banner stay until somebody closes them. */
  clearErrors() {
    this.errors = {};
    this.refresh();
  }

  /** Give a condition an input, in one step of undo. */
  give(name, input) {
    this.store.change((doc) => setInput(doc, this.model, name, input));
  }

  /** Change one key of the request while it is typed. */
  editSetting(key, value) {
    this.store.edit((doc) => setSetting(doc, key, value));
  }

  keepUpload(info) {
    this.uploads.set(info.id, info);
  }

  /** Return the description of an upload; null until the server has given it. */
  upload(id) {
    if (!this.uploads.has(id)) {
      this.uploads.set(id, null);
      uploadInfo(id).then((info) => this.keepUpload(info), () => this.uploads.set(id, { id, name: `${id} (no longer on the server)`, kind: "missing" })).then(() => this.refresh());
    }
    return this.uploads.get(id);
  }

  /** Return the name that a file had when it was sent. */
  nameOf(id) {
    return this.upload(id)?.name ?? id;
  }

  /** Send a file to the server; null where that failed, which is said beside `field`, or else in the banner. */
  async send(file, field = null) {
    this.announce(`Sending ${file.name} …`);
    this.fileErrors = {};
    try {
      const info = await upload(file, file.name);
      this.keepUpload(info);
      this.announce("");
      this.speak(`${file.name} is there.`);
      return info;
    } catch (error) {
      if (!field) this.refuse(error.message);
      else this.fileErrors = { [field]: error.message };
      this.announce("");
      return null;
    }
  }

  /** Send a file and give it to a condition, as `value` or as `source`. */
  async giveFile(condition, file, as) {
    const field = `conditions.${condition.name}`;
    const info = await this.send(file, field);
    if (!info) return;
    const { extract_options: options } = inputOf(this.doc, condition.name) ?? {};
    const table = info.kind === "drawing" && isTable(info.table) ? info.table : null;
    if (as === "source") this.give(condition.name, { source: UPLOAD + info.id, ...(options ? { extract_options: options } : {}) });
    else if (table && condition.drawing === "strokes") this.give(condition.name, { value: table });
    else if (table?.keys && condition.drawing === "mask") this.giveHidden(condition, table);
    else this.give(condition.name, { value: UPLOAD + info.id });
    this.setView({ condition: condition.name });
  }

  giveHidden(condition, table) {
    const { source, extract_options: options } = inputOf(this.doc, condition.name) ?? {};
    const base = baseOf(this.doc, this.model, condition);
    const from = source ?? (base && UPLOAD + base);
    this.give(condition.name, { ...(from ? { source: from } : {}), extract_options: { ...options, [maskOption(condition)]: table } });
  }

  /** Put a picture or a video under the canvas: a picture is the first image too, a video the shared source. */
  async giveBase(file) {
    const info = await this.send(file);
    if (!info) return;
    const under = underName(this.model);
    this.store.change((doc) => {
      if (info.kind === "image" && under) {
        doc.base = null;
        setInput(doc, this.model, under, { value: UPLOAD + info.id });
      } else if (info.kind === "video" || info.kind === "image") {
        doc.base = info.id;
        if (info.kind === "video") doc.source = info.id;
      }
    });
    if (!["image", "video"].includes(info.kind)) this.refuse(`${file.name} is neither a picture nor a video: drop it on a condition.`);
  }

  /** Return the sheet of what the canvas is over; null without. */
  baseSheet() {
    const id = baseOf(this.doc, this.model, this.active);
    const info = id && this.upload(id);
    if (!info || !["image", "video"].includes(info.kind)) return null;
    const frames = info.kind === "video" ? this.clip.frames : 1;
    return this.sheets.get(framesAddress(id, { ...this.clip, frames }), frames);
  }

  /** Put a request into the editor in place of the document, in one step of undo. */
  load(request, sentences = []) {
    const doc = documentOf(request, this.catalogue);
    this.store.change((current) => {
      for (const key of Object.keys(current)) delete current[key];
      Object.assign(current, doc);
    });
    for (const id of uploadsIn(request)) this.upload(id);
    this.clearErrors();
    this.banner = [...sentences];
    this.setView({ tab: "edit", selection: [] });
  }

  /** Begin with an empty document, in one step of undo, and as on an empty page: its first frame, ready to draw. */
  clear() {
    this.editor.end(); // a line in progress belongs to what was there
    this.load({ conditions: {} });
    this.clock.seek(0);
    this.setView(UNUSED);
  }
}

/** Return a part of a request as text, such as of `steps` or of `conditions.motion`. */
const partOf = (request, field) => JSON.stringify(field.split(".").reduce((part, key) => part?.[key], request));

function savedView() {
  try {
    return JSON.parse(localStorage.getItem(VIEW)) ?? {};
  } catch {
    return {};
  }
}
