// Strength of a condition, and what else a card says: curve over frames, window over steps, area, branches, options.

import { curve } from "./curve.js";
import { h, shownName } from "./dom.js";
import { button, check, fileButton, labelled, numberField, textField } from "./fields.js";
import { drawnTable, inBranch, inputOf, isOn, maskOption, setBranch, setStrength, strengthOf, UPLOAD, uploadId } from "./request.js";

const MOST = 2; // of the slider; the number field takes any

/** Return the slider of a strength with its number field. */
export function strengthSlider(app, { name }, input) {
  const { value } = strengthOf(input);
  const edit = (next) => app.store.edit((doc) => setStrength(doc, name, { value: next ?? 1 }));
  return h("div", { class: "strength row", key: "strength" },
    h("span", { class: "label", "aria-hidden": "true" }, "Strength"),
    h("input", { type: "range", class: "grow", min: 0, max: MOST, step: 0.05, value, "aria-label": `Strength of ${shownName(name)}`, key: "slider",
      oninput: (event) => edit(event.target.valueAsNumber), onchange: () => app.store.commit() }),
    numberField(app, { label: `Strength of ${shownName(name)} as a number`, hideLabel: true, value, step: 0.05, key: "number", input: edit }));
}

/** Return what is below "More" on a card. */
export function strengthFields(app, condition, input) {
  return h("div", { class: "more-fields" },
    overFrames(app, condition, input),
    overSteps(app, condition, input),
    area(app, condition, input),
    branches(app, condition),
    input.source && extractOptions(app, condition, input));
}

function overFrames(app, { name }, input) {
  const points = strengthOf(input).frames;
  const set = (next) => app.store.edit((doc) => setStrength(doc, name, { frames: next?.length ? next : undefined }));
  return h("fieldset", { key: "frames" },
    h("legend", {}, "Strength over frames"),
    curve(app, { label: `Strength of ${shownName(name)} over frames`, points: points ?? [], last: app.clip.frames - 1, most: MOST, edit: set, commit: () => app.store.commit() }));
}

function overSteps(app, { name }, input) {
  const steps = strengthOf(input).steps;
  const [start, end] = steps ?? [0, 100];
  const set = (pair) => app.store.edit((doc) => setStrength(doc, name, { steps: pair[0] === 0 && pair[1] === 100 ? undefined : pair }));
  const handle = (label, value, change) => h("input", { type: "range", min: 0, max: 100, step: 1, value, "aria-label": label, "aria-valuetext": `${value} per cent`, key: label, oninput: (event) => change(event.target.valueAsNumber), onchange: () => app.store.commit() });
  return h("fieldset", { key: "steps" },
    h("legend", {}, "Window over steps, in %"),
    h("div", { class: "window", key: "handles" },
      h("span", { class: "window-range", style: { left: `${start}%`, width: `${end - start}%` } }),
      handle(`${shownName(name)} begins at`, start, (value) => set([Math.min(value, end - 1), end])),
      handle(`${shownName(name)} ends at`, end, (value) => set([start, Math.max(value, start + 1)]))),
    h("div", { class: "row" },
      numberField(app, { label: "from", value: start, min: 0, max: 100, input: (value) => set([value ?? 0, end]) }),
      numberField(app, { label: "to", value: end, min: 0, max: 100, input: (value) => set([start, value ?? 100]) })));
}

function area(app, condition, input) {
  const { name } = condition;
  const id = uploadId(strengthOf(input).area);
  const choose = async (file) => {
    const info = await app.send(file, `conditions.${name}`);
    if (info) app.store.change((doc) => setStrength(doc, name, { area: UPLOAD + info.id }));
  };
  return h("fieldset", { key: "area" },
    h("legend", {}, "Area: white is full strength"),
    h("div", { class: "row" },
      h("span", { class: "file-name grow" }, id ? app.nameOf(id) : "everywhere"),
      fileButton(`A picture of where ${shownName(name)} holds`, { text: "Picture", accept: "image/*,video/*,.npy", choose, key: "choose" }),
      id && button(`${shownName(name)} holds everywhere`, "close", () => app.store.change((doc) => setStrength(doc, name, { area: undefined })), { class: "quiet", key: "remove" })));
}

function branches(app, { name }) {
  if (!isOn(app.doc, name)) return null;
  if (app.doc.request.branches) return h("p", { class: "summary", key: "branches" }, `Branches of guidance: ${app.doc.request.branches.map((names) => names.join(" + ") || "none").join(" → ")}`);
  const box = (branch) => check(branch, inBranch(app.doc, app.model, branch, name), (member) => app.store.change((doc) => setBranch(doc, app.model, branch, name, member)), { key: branch, title: `${shownName(name)} is in the ${branch} branch of guidance` });
  return h("fieldset", { key: "branches" }, h("legend", {}, "Branches of guidance"), h("div", { class: "row" }, box("positive"), box("negative")));
}

function extractOptions(app, condition, input) {
  const options = Object.entries(condition.extract_options);
  if (!options.length) return null;
  return h("fieldset", { key: "options" }, h("legend", {}, "Extraction"), options.map(([option, help]) =>
    condition.words.includes(option) ? wordOption(app, condition, input, option, help) : fileOption(app, condition, input, option, help)));
}

/** Set an option of the extraction, or leave it out where the value is undefined. */
function setOption(doc, name, option, value) {
  const input = inputOf(doc, name);
  const options = { ...input.extract_options, [option]: value };
  if (value === undefined) delete options[option];
  if (Object.keys(options).length) input.extract_options = options;
  else delete input.extract_options;
}

function wordOption(app, { name }, input, option, help) {
  return h("div", { key: option },
    textField(app, { label: option, value: input.extract_options?.[option], input: (text) => app.store.edit((doc) => setOption(doc, name, option, text || undefined)) }),
    h("p", { class: "summary" }, help));
}

function fileOption(app, condition, input, option, help) {
  const { name } = condition;
  const value = input.extract_options?.[option];
  const drawn = option === maskOption(condition) && drawnTable(app.doc, condition);
  const choose = async (file) => {
    const info = await app.send(file, `conditions.${name}`);
    if (info) app.store.change((doc) => setOption(doc, name, option, info.kind === "drawing" && info.table ? info.table : UPLOAD + info.id));
  };
  return h("div", { key: option },
    labelled(option, h("div", { class: "row grow" },
      h("span", { class: "file-name grow" }, drawn ? "drawn" : uploadId(value) ? app.nameOf(uploadId(value)) : "none"),
      fileButton(`A file for ${option}`, { text: "File", choose, key: "choose" }),
      value !== undefined && button(`Remove ${option}`, "close", () => app.store.change((doc) => setOption(doc, name, option, undefined)), { class: "quiet", key: "remove" }))),
    h("p", { class: "summary" }, help));
}
