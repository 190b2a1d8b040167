// The tray: the shared source video, and a card for each condition of the model's catalogue.

import { conditionAddress } from "./api.js";
import { h, shownName } from "./dom.js";
import { button, check, dropTarget, errorLine, fileButton } from "./fields.js";
import { icon } from "./icons.js";
import { describeKeyframes, keyframesEditor, keyframesOf } from "./keyframes.js";
import { drawCell } from "./player.js";
import { drawnTable, inputOf, isOn, isTable, maskOption, removeInput, setInput, switchInput, UPLOAD, uploadId } from "./request.js";
import { strengthFields, strengthSlider } from "./strength.js";
import { textEditor } from "./text_editor.js";
import { useTool } from "./toolbar.js";
import { toolsFor } from "./tools/all.js";

const THUMB = { width: 72, height: 96 }; // CSS pixels at most of the picture of a condition
const SOURCE = "source"; // the shared source video, as the part that a sentence is about
const VIDEOS = "video/*,image/gif,image/webp";

/** Return the tray. */
export function tray(app) {
  return [
    h("h2", { class: "panel-title" }, "Conditions"),
    sharedSource(app),
    app.model.conditions.map((condition) => card(app, condition)),
  ];
}

const canExtract = (condition) => condition.extractable && condition.lacks.length === 0;

function sharedSource(app) {
  const { source } = app.doc;
  const conditions = app.model.conditions.filter(canExtract);
  if (!conditions.length) return null;
  const choose = async (file) => {
    const info = await app.send(file, SOURCE);
    if (info) app.store.change((doc) => shareSource(doc, info.id));
  };
  return h("section", { class: "shared", key: "shared source", "aria-label": "Source video", ...dropTarget(choose) },
    h("div", { class: "row" }, icon("video"), h("strong", {}, "Source video"),
      h("span", { class: "summary grow" }, source ? "" : "drop it here"),
      fileButton("Choose a source video", { accept: VIDEOS, choose, key: "choose" }),
      source && button("Remove the source video", "close", () => app.store.change((doc) => (doc.source = null)), { class: "quiet", key: "remove" })),
    source && h("p", { class: "file-name", key: "name", title: app.nameOf(source) }, app.nameOf(source)),
    errorLine(app, SOURCE),
    source && h("div", { class: "ticks", role: "group", "aria-label": "Extract from the source video" }, conditions.map((condition) => tick(app, condition, source))));
}

/** Make a video the shared source; conditions that were extracted from the one before are extracted from it. */
function shareSource(doc, id) {
  for (const inputs of [doc.request.conditions, doc.off]) {
    for (const input of Object.values(inputs)) if (doc.source && uploadId(input.source) === doc.source) input.source = UPLOAD + id;
  }
  doc.source = id;
}

function tick(app, condition, source) {
  const { name } = condition;
  const extracted = isOn(app.doc, name) && uploadId(inputOf(app.doc, name).source) === source;
  const change = (on) => app.store.change((doc) => {
    const { extract_options: options } = inputOf(doc, name) ?? {};
    if (on) setInput(doc, app.model, name, { source: UPLOAD + source, ...(options ? { extract_options: options } : {}) });
    else removeInput(doc, name);
  });
  return check(shownName(name), extracted, change, { key: name, title: `Extract ${shownName(name)} from ${app.nameOf(source)}` });
}

function card(app, condition) {
  const { name } = condition;
  const input = inputOf(app.doc, name);
  const on = isOn(app.doc, name);
  const field = `conditions.${name}`;
  const chosen = app.active?.name === name;
  const choose = (file) => app.giveFile(condition, file, file.type.startsWith("video/") && canExtract(condition) ? "source" : "value");
  const classes = ["card", input && on && "on", input && !on && "off", chosen && "chosen", app.errorOf(field) && "wrong"];
  return h("section", {
    class: classes.filter(Boolean).join(" "), key: name, "data-condition": name, title: condition.accepts, "aria-label": shownName(name), ...dropTarget(choose),
    onfocusin: () => condition.drawing && condition.drawing !== "text" && !chosen && app.setView({ condition: name, selection: [] }),
  },
    cardHead(app, condition, input, on),
    h("div", { class: "card-body" },
      on && previewOf(app, condition),
      condition.words.includes("value") ? textEditor(app, condition, input) : input && h("p", { class: "what grow" }, describe(app, condition, input))),
    hidesByChance(app, condition, input) && h("p", { class: "summary", key: "by chance" }, "random holes until a mask is drawn"),
    ways(app, condition, input),
    condition.drawing === "mask" && (chosen || keyframesOf(input)) && keyframesEditor(app, condition, input),
    errorLine(app, field),
    input && strengthSlider(app, condition, input),
    input && more(app, condition, input));
}

function cardHead(app, condition, input, on) {
  const { name } = condition;
  return h("div", { class: "row card-head" },
    input && h("input", { type: "checkbox", role: "switch", class: "switch", key: "switch", checked: on, "aria-label": `${shownName(name)} is on`, title: on ? "Switch off; it is kept" : "Switch on",
      onchange: (event) => app.store.change((doc) => switchInput(doc, app.model, name, event.target.checked)) }),
    h("strong", { title: condition.summary }, shownName(name)),
    h("span", { class: "summary grow" }, condition.summary),
    input && button(`Remove ${shownName(name)}`, "close", () => app.store.change((doc) => removeInput(doc, name)), { class: "quiet", key: "remove" }));
}

/**
 * Return the picture of a condition as the model takes it, which plays in step with all others. Its box is there before
 * the picture is, so that nothing moves when it comes.
 */
function previewOf(app, condition) {
  const { name, words } = condition;
  const { preview, reads } = app.jobs;
  const frames = preview?.images?.[name];
  if (!frames && words.includes("value")) return null; // words have no picture
  const sheet = frames ? app.sheets.get(conditionAddress(preview.id, name), frames) : null;
  const { width, height } = app.clip;
  const scale = Math.min(THUMB.width / width, THUMB.height / height);
  return h("div", { class: "thumb", key: "preview", style: { width: `${THUMB.width}px`, height: `${Math.round(scale * height)}px` } },
    frames && h("canvas", { class: "sheet", key: "picture", opaque: true, role: "img", "aria-label": `${shownName(name)} as the model takes it`, width, height, ref: (node) => {
      node.sheet = sheet;
      drawCell(node, sheet, app.clock.frame);
    } }),
    !sheet?.image && h("span", { class: "thumb-state", key: "state" }, reads || sheet ? "reading…" : "no picture"));
}

/** Return whether a mask is extracted from a video without saying what is hidden. */
function hidesByChance(app, condition, input) {
  return condition.drawing === "mask" && Boolean(input?.source) && !input.extract_options?.[maskOption(condition)];
}

function describe(app, condition, input) {
  const table = drawnTable(app.doc, condition);
  const parts = [];
  if (uploadId(input.source)) parts.push(`extracted from ${app.nameOf(uploadId(input.source))}`);
  if (uploadId(input.value)) parts.push(app.nameOf(uploadId(input.value)));
  if (table?.strokes?.length) parts.push(`${table.strokes.length} ${table.strokes.length === 1 ? "stroke" : "strokes"}`);
  if (table?.camera) parts.push("camera");
  if (table?.keys) parts.push(`${table.keys.length} ${table.keys.length === 1 ? "key" : "keys"} of what is hidden`);
  const keyframes = keyframesOf(input);
  if (keyframes) parts.push(describeKeyframes(app, keyframes));
  else if (isTable(input.value) && !table) parts.push(Object.keys(input.value).join(", "));
  return parts.join(", ") || condition.accepts;
}

/** Return the ways to give a condition: a file, a video that it is extracted from, a drawing. */
function ways(app, condition, input) {
  const { name, drawing } = condition;
  const draw = toolsFor(app.model).find(({ info }) => info.drawings.includes(drawing) && info.id !== "select");
  const isWords = condition.words.includes("value");
  return h("div", { class: "ways" },
    !isWords && fileButton(`A file for ${shownName(name)}: ${condition.accepts}`, { text: "File", key: "file", choose: (file) => app.giveFile(condition, file, "value") }),
    canExtract(condition) && fileButton(`A video that ${shownName(name)} is extracted from`, { text: "From video", iconName: "video", accept: `${VIDEOS},image/*`, key: "video", choose: (file) => app.giveFile(condition, file, "source") }),
    condition.extractable && condition.lacks.length > 0 && h("span", { class: "summary", key: "lacks" }, `cannot be extracted: the model has no ${condition.lacks.join(", ")}`),
    draw && button(`Draw ${shownName(name)} on the canvas`, draw.info.icon, () => drawOn(app, condition, draw), { text: "Draw", class: "way", key: "draw" }));
}

function drawOn(app, condition, Tool) {
  app.setView({ condition: condition.name, selection: [], tab: "edit" });
  useTool(app, Tool.info.id);
  app.editor.canvas.focus();
}

function more(app, condition, input) {
  const open = Boolean(app.view.open[condition.name]);
  const toggle = () => app.setView({ open: { ...app.view.open, [condition.name]: !open } });
  return h("div", { key: "more" },
    h("button", { type: "button", class: "more", "aria-expanded": String(open), "aria-label": `More of ${shownName(condition.name)}`, onclick: toggle }, icon(open ? "less" : "more"), "More"),
    open && strengthFields(app, condition, input));
}
