// Controls that all panels share: fields, buttons, choices of files, and the server's sentences beside them.

import { h, slug, tidy } from "./dom.js";
import { icon } from "./icons.js";

/** Return the server's sentence about a part of the request, to stand beside its control. */
export function errorLine(app, field) {
  const sentence = app.errorOf(field);
  return sentence && h("p", { class: "error", id: `error-${slug(field)}`, key: `error ${field}`, role: "alert" }, sentence);
}

const described = (app, field) =>
  field && app.errorOf(field) ? { "aria-invalid": "true", "aria-describedby": `error-${slug(field)}` } : {};

/** Return a button with an icon, and with words where `text` has some. */
export function button(title, iconName, onclick, { text = "", ...props } = {}) {
  return h("button", { type: "button", title, ...(text ? {} : { "aria-label": title }), ...props, onclick }, iconName && icon(iconName), text && h("span", {}, text));
}

/** Return the number of the frame that the canvas shows, which follows it everywhere. */
export function frameNow(app) {
  const { frames } = app.clip;
  return h("span", { class: "frame-now", key: "frame", style: { minWidth: `${String(frames - 1).length}ch` } }, app.clock.frame % frames);
}

/**
 * Return a number field with a label.
 * @param {App} app
 * @param {object} options `label`, `value`, `input` (called with a number, or undefined where the field is empty; it edits
 *   the document), and optionally `field`, `placeholder`, `min`, `max`, `step`, `hideLabel`, `key`.
 */
export function numberField(app, { label, value, input, field, hideLabel, key, ...rest }) {
  const shown = typeof value === "number" ? tidy(value, 6) : value ?? "";
  const typed = (event) => {
    if (event.target.value === "" && !event.target.validity.badInput) input(undefined);
    else if (Number.isFinite(event.target.valueAsNumber)) input(event.target.valueAsNumber);
  };
  const props = { type: "number", step: "any", inputmode: "decimal", autocomplete: "off", ...rest, value: shown, oninput: typed, onchange: () => app.store.commit() };
  return labelled(label, h("input", { ...props, ...described(app, field), "aria-label": label, key: "input" }), { hideLabel, key: key ?? label });
}

/** Return a control with a label before it. */
export function labelled(label, control, { hideLabel = false, key = label } = {}) {
  return h("label", { class: hideLabel ? "field bare" : "field", key }, !hideLabel && h("span", { class: "label", "aria-hidden": "true" }, label), control);
}

/** Return a text field with a label. */
export function textField(app, { label, value, input, field, key, hideLabel, rows, ...rest }) {
  const props = { ...rest, value: value ?? "", "aria-label": label, oninput: (event) => input(event.target.value), onchange: () => app.store.commit(), key: "input", ...described(app, field) };
  const control = rows ? h("textarea", { rows, ...props }) : h("input", { type: "text", autocomplete: "off", ...props });
  return labelled(label, control, { hideLabel, key: key ?? label });
}

/** Return a choice with a label; `options` are values, or pairs of value and text. */
export function choice(app, { label, value, options, change, field, key, hideLabel }) {
  const items = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  const select = h("select", { value: value ?? "", "aria-label": label, key: "input", onchange: (event) => change(event.target.value), ...described(app, field) },
    items.map(([each, text]) => h("option", { value: each, key: each, selected: each === (value ?? "") }, text)));
  return labelled(label, select, { hideLabel, key: key ?? label });
}

/** Return a check box with its text. */
export function check(text, checked, change, props = {}) {
  return h("label", { class: "check", key: props.key ?? text, title: props.title },
    h("input", { type: "checkbox", checked, onchange: (event) => change(event.target.checked), key: "input", ...props }), h("span", {}, text));
}

/** Return a button that chooses a file, on which files can be dropped too. */
export function fileButton(title, { text, iconName = "file", accept, choose, key, primary = false }) {
  const input = h("input", { type: "file", accept, class: "hidden-file", key: "file", "aria-label": title, title, onchange: (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) choose(file);
  } });
  return h("label", { class: primary ? "file-button primary" : "file-button", title, key: key ?? title, ...dropTarget(choose) }, input, icon(iconName), text && h("span", {}, text));
}

/** Return handlers that make an element take dropped files. */
export function dropTarget(choose) {
  const over = (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    event.currentTarget.classList.add("over");
  };
  return {
    ondragenter: over,
    ondragover: over,
    ondragleave: (event) => event.currentTarget.classList.remove("over"),
    ondrop: (event) => {
      const [file] = event.dataTransfer.files;
      event.currentTarget.classList.remove("over");
      if (!file) return;
      event.preventDefault();
      event.stopPropagation();
      choose(file);
    },
  };
}
