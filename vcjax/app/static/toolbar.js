// The bar above the canvas: tools, their options, what the canvas is over, and how the motion field is shown.

import { h, shownName } from "./dom.js";
import { button, choice, fileButton, numberField } from "./fields.js";
import { icon } from "./icons.js";
import { baseOf, isTable, inputOf, setSetting } from "./request.js";
import { toolsFor } from "./tools/all.js";

const CAPTIONS = { strokes: "Motion", mask: "Mask", picture: "Lines" }; // of groups of tools, by what they draw
const WIDTH_OPTIONS = { "region-brush": "region", "mask-brush": "mask", "mask-erase": "mask", picture: "picture", "picture-erase": "picture" };

/** Use a tool, and select the condition that it draws where another one is selected. */
export function useTool(app, id) {
  const Tool = toolsFor(app.model).find(({ info }) => info.id === id);
  if (!Tool) return;
  const fits = (condition) => condition && Tool.info.drawings.includes(condition.drawing);
  const condition = fits(app.active) ? app.active : app.model.conditions.find(fits);
  const other = condition.name !== app.active?.name;
  app.setView({ tool: id, condition: condition.name, ...(other ? { selection: [] } : {}) });
  app.editor.use(new Tool(app.editor));
}

/** Keep the tool in use one of the selected condition, such as after another card was selected. */
export function fitTool(app) {
  const drawing = app.active?.drawing;
  const tools = toolsFor(app.model);
  const current = tools.find(({ info }) => info.id === app.view.tool);
  const wanted = current?.info.drawings.includes(drawing) ? current : tools.find(({ info }) => info.drawings.includes(drawing) && info.id !== "select");
  if (!wanted) return;
  const { id } = wanted.info;
  if (id !== app.editor.tool?.constructor.info.id || id !== app.view.tool) useTool(app, id);
}

/** Return the tool bar. */
export function toolbar(app) {
  const tools = toolsFor(app.model);
  const groups = ["strokes", "mask", "picture"].map((drawing) => tools.filter(({ info }) => info.drawings[0] === drawing)).filter((group) => group.length);
  return [
    h("div", { class: "tools", role: "toolbar", "aria-label": "Tools", onkeydown: rove }, groups.map((group) =>
      toolGroup(app, group))),
    baseChooser(app),
  ];
}

function toolGroup(app, group) {
  const caption = CAPTIONS[group[0].info.drawings[0]];
  return h("div", { class: "tool-group", role: "group", key: caption, "aria-label": caption, title: caption },
    h("span", { class: "tool-caption", "aria-hidden": "true" }, caption),
    h("div", { class: "tool-buttons" }, group.map((Tool) => toolButton(app, Tool))));
}

function toolButton(app, { info }) {
  const pressed = app.view.tool === info.id;
  return h("button", {
    type: "button", class: "tool", key: info.id, "data-tool": info.id, title: `${info.title} (${info.key.toUpperCase()})`,
    "aria-label": info.title, "aria-keyshortcuts": info.key.toUpperCase(), "aria-pressed": String(pressed), tabindex: pressed ? 0 : -1,
    onclick: () => useTool(app, info.id),
  }, icon(info.icon));
}

function rove(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const buttons = [...event.currentTarget.querySelectorAll("button")];
  const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
  next.focus();
  event.preventDefault();
}

/** Return the options of the tool in use, and of the canvas. */
export function toolOptions(app) {
  const width = WIDTH_OPTIONS[app.view.tool];
  const drawable = app.model.conditions.filter(({ drawing }) => drawing === app.active?.drawing);
  return [
    drawable.length > 1 && choice(app, { label: "Condition", key: "condition", value: app.active.name, options: drawable.map(({ name }) => [name, shownName(name)]), change: (name) => app.setView({ condition: name, selection: [] }) }),
    width && numberField(app, { label: "Width", key: "width", value: app.editor.options[width], min: 1, step: 1, input: (value) => {
      if (value > 0) app.editor.options[width] = value;
      app.editor.invalidate();
    } }),
    app.active?.drawing === "strokes" && choice(app, { label: "Field", key: "field", value: app.view.field, options: ["arrows", "colours", "off"], change: (field) => app.setView({ field }) }),
  ];
}

function baseChooser(app) {
  const id = baseOf(app.doc, app.model, app.active);
  const clear = () => app.store.change((doc) => {
    doc.base = null;
    if (doc.source === id) doc.source = null;
    for (const { drawn_over: name } of app.model.conditions) {
      if (name && isTable(inputOf(doc, name)) && inputOf(doc, name).value === `upload:${id}`) delete doc.request.conditions[name];
    }
  });
  return h("div", { class: "base", key: "base", role: "group", "aria-label": "Canvas is over" },
    h("span", { class: "label" }, "Over"),
    id && h("span", { class: "file-name", key: "name", title: app.nameOf(id) }, app.nameOf(id)),
    fileButton(id ? "Another picture or video under the canvas" : "Choose a picture or a video under the canvas", { text: id ? "" : "Picture or video", accept: "image/*,video/*", key: "choose", choose: (file) => app.giveBase(file) }),
    id && button("Nothing under the canvas", "close", clear, { class: "quiet", key: "clear" }));
}

/** Return fields of the size of the picture that is under the canvas, where the clip has another shape. */
export function sizeSuggestion(app) {
  const id = baseOf(app.doc, app.model, app.active);
  const info = id && app.upload(id);
  if (!info?.width) return null;
  const { clip, model } = app;
  if (Math.abs(Math.log((info.width / info.height) * (clip.height / clip.width))) < 0.12) return null;
  const multiple = model.size_multiple;
  const side = Math.sqrt(clip.height * clip.width * 1.0);
  const ratio = Math.sqrt(info.width / info.height);
  const size = [side / ratio, side * ratio].map((x) => Math.max(multiple, Math.round(x / multiple) * multiple));
  if (size[0] === clip.height && size[1] === clip.width) return null;
  return h("p", { class: "suggestion", key: "suggestion" }, `${info.name} is cropped to ${clip.width} × ${clip.height}. `,
    button(`Use ${size[1]} × ${size[0]}`, null, () => app.store.change((doc) => setSetting(doc, "size", size)), { text: `Use ${size[1]} × ${size[0]}`, class: "link" }));
}

/** Return the help sheet's table of the tools' letters. */
export const toolLetters = (model) => toolsFor(model).map(({ info }) => [info.key.toUpperCase(), info.title]);
