// Settings of the request. An empty field means the model's default, which is shown as its placeholder.

import { h } from "./dom.js";
import { button, check, choice, errorLine, labelled, numberField, textField } from "./fields.js";
import { randomSeed } from "./jobs.js";
import { sizeSuggestion } from "./toolbar.js";

const SHOWN = ["model", "conditions", "positive", "negative", "branches", "negative_text", "guidance", "guidance_rescale", "sampler", "spacing", "steps", "seeds", "frames", "size", "fps", "loop", "composite"];

/** Return the settings. */
export function settings(app) {
  const { request } = app.doc;
  const { model } = app;
  const field = (label, key, rest = {}) => numberField(app, { label, field: key, key, value: request[key], input: (value) => app.editSetting(key, value), ...rest });
  const number = (label, key, rest) => withError(app, key, field(label, key, rest));
  const option = (label, key, options, usual) => withError(app, key, choice(app, { label, field: key, key, value: request[key] ?? "", options: [["", `default${usual ? ` (${usual})` : ""}`], ...options], change: (value) => {
    app.editSetting(key, value);
    app.store.commit();
  } }));
  return [
    h("h2", { class: "panel-title" }, "Settings"),
    h("div", { class: "panel", key: "fields" },
      app.catalogue.models.length > 1 && withError(app, "model", choice(app, { label: "Model", field: "model", value: model.name, options: app.catalogue.models.map(({ name }) => name), change: (value) => {
        app.editSetting("model", value);
        app.store.commit();
      } })),
      seedField(app),
      number("Steps", "steps", { placeholder: model.defaults.steps, min: 1, step: 1 }),
      guidanceField(app),
      withError(app, "frames", [
        h("div", { class: "pair", key: "frames" },
          field("Frames", "frames", { placeholder: model.shape.frames, min: 1, step: 1, ...(request.frames === "all" ? { placeholder: "all", value: "" } : {}) }),
          field("Frames/s", "fps", { placeholder: model.shape.fps, min: 0 })),
        errorLine(app, "fps"),
      ]),
      sizeFields(app),
      negativeText(app),
      advanced(app, number, option)),
  ];
}

const withError = (app, field, control) => h("div", { class: "with-error", key: `with ${field}` }, control, errorLine(app, field));

function seedField(app) {
  const { seeds } = app.doc.request;
  const { newSeed } = app.view;
  const set = (seed) => app.editSetting("seeds", seed === undefined ? undefined : [seed]);
  return withError(app, "seeds", [
    h("div", { class: "row", key: "seed row" },
      numberField(app, { label: "Seed", field: "seeds", key: "seed", value: newSeed ? "" : seeds?.[0], placeholder: newSeed ? "new" : 0, min: 0, step: 1, disabled: newSeed, input: set }),
      button("A seed by chance", "die", () => {
        set(randomSeed());
        app.store.commit();
        app.setView({ newSeed: false });
      }, { class: "quiet", key: "die" })),
    check("New seed each time", newSeed, (on) => app.setView({ newSeed: on })),
  ]);
}

/** Return the field of the guidance weight, or of the weights of a chain. */
function guidanceField(app) {
  const { guidance } = app.doc.request;
  const set = (text) => {
    const weights = text.split(",").map((part) => part.trim()).filter(Boolean).map(Number);
    if (weights.every(Number.isFinite)) app.editSetting("guidance", weights.length ? weights : undefined);
  };
  const [first, ...rest] = [guidance ?? []].flat();
  const control = rest.length
    ? textField(app, { label: "Guidance", field: "guidance", key: "guidance chain", value: [first, ...rest].join(", "), input: set })
    : numberField(app, { label: "Guidance", field: "guidance", key: "guidance", value: first, placeholder: app.model.defaults.guidance, step: 0.5, input: (value) => app.editSetting("guidance", value === undefined ? undefined : [value]) });
  return withError(app, "guidance", control);
}

function sizeFields(app) {
  const { size } = app.doc.request;
  const { shape, size_multiple: multiple } = app.model;
  const set = (axis) => (value) => {
    const next = [size?.[0] ?? shape.height, size?.[1] ?? shape.width];
    next[axis] = value ?? [shape.height, shape.width][axis];
    app.editSetting("size", next[0] === shape.height && next[1] === shape.width ? undefined : next);
  };
  return withError(app, "size", [
    h("div", { class: "pair", key: "size" },
      numberField(app, { label: "Width", field: "size", key: "width", value: size?.[1], placeholder: shape.width, min: multiple, step: multiple, input: set(1) }),
      numberField(app, { label: "Height", field: "size", key: "height", value: size?.[0], placeholder: shape.height, min: multiple, step: multiple, input: set(0) })),
    sizeSuggestion(app),
  ]);
}

function negativeText(app) {
  if (!app.model.conditions.some(({ words }) => words.includes("value"))) return null;
  return withError(app, "negative_text", textField(app, { label: "Negative text", field: "negative_text", key: "negative text", value: app.doc.request.negative_text, placeholder: "what the video is not", input: (text) => app.editSetting("negative_text", text) }));
}

function advanced(app, number, option) {
  const { request } = app.doc;
  const open = Boolean(app.view.open["settings of the sampler"]);
  const toggle = (event) => event.currentTarget.open !== open && app.setView({ open: { ...app.view.open, "settings of the sampler": event.currentTarget.open } });
  const set = (key) => (on) => {
    app.editSetting(key, on || undefined);
    app.store.commit();
  };
  const has = ["sampler", "spacing", "guidance_rescale", "loop", "composite"].some((key) => app.errors[key]);
  return h("details", { open: open || has, ontoggle: toggle, key: "advanced" },
    h("summary", {}, "Sampler, loop and more"),
    option("Sampler", "sampler", app.catalogue.samplers, app.model.defaults.sampler),
    option("Spacing", "spacing", app.catalogue.spacings),
    number("Guidance rescale", "guidance_rescale", { placeholder: 0, min: 0, max: 1, step: 0.1 }),
    withError(app, "loop", check("Loop", Boolean(request.loop), set("loop"), { title: "The first frame follows the last one" })),
    app.model.conditions.some(({ composites }) => composites) && withError(app, "composite", check("Composite", Boolean(request.composite), set("composite"), { title: "What the mask shows is copied to the video, pixel by pixel" })),
    others(app));
}

/** Return what else the request says, such as one that was loaded, so that nothing acts unseen. */
function others(app) {
  const keys = Object.keys(app.doc.request).filter((key) => !SHOWN.includes(key) && !isUsual(key, app.doc.request[key]));
  return keys.length > 0 && h("ul", { class: "object-list", key: "others" }, keys.map((key) => h("li", { class: "row", key },
    labelled(key, h("code", { class: "grow file-name", title: JSON.stringify(app.doc.request[key]) }, JSON.stringify(app.doc.request[key]))),
    button(`Use the default of ${key}`, "close", () => {
      app.editSetting(key, undefined);
      app.store.commit();
    }, { class: "quiet", key: "remove" }))));
}

const USUAL = { eta: 0, guidance_every: 1, reuse_every: 1 };
const isUsual = (key, value) => value === USUAL[key];
