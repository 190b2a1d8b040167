// The words of a condition: one text, or several, each from a frame on.

import { h, shownName } from "./dom.js";
import { button, numberField, textField } from "./fields.js";
import { isTable, removeInput, setInput } from "./request.js";

/** Return the editor of a condition whose value is words. */
export function textEditor(app, condition, input) {
  const { name } = condition;
  const value = input?.value;
  const edit = (next) => app.store.edit((doc) => (next === "" && !isTable(input?.strength) ? removeInput(doc, name) : setInput(doc, app.model, name, { value: next })));
  if (isTable(value)) return timedTexts(app, name, value, edit);
  return h("div", { class: "texts" },
    textField(app, { label: shownName(name), key: "text", hideLabel: true, rows: 2, value, placeholder: condition.summary, input: edit }),
    value && button("Another text from a frame on", "add", () => {
      edit({ 0: value, [Math.max(1, Math.floor(app.clip.frames / 2))]: value });
      app.store.commit();
    }, { text: "Change at a frame", class: "link", key: "add" }));
}

function timedTexts(app, name, value, edit) {
  const rows = Object.entries(value).sort(([a], [b]) => a - b);
  const set = (changed) => edit(Object.fromEntries(changed));
  return h("div", { class: "texts" },
    rows.map(([frame, text], index) => h("div", { class: "row text-row", key: index },
      numberField(app, { label: `First frame of text ${index + 1}`, hideLabel: true, value: Number(frame), min: 0, step: 1, key: "frame", disabled: index === 0,
        input: (next) => Number.isInteger(next) && next > 0 && !(String(next) in value) && set(rows.map((row, i) => (i === index ? [next, text] : row))) }),
      textField(app, { label: `${shownName(name)} from frame ${frame}`, hideLabel: true, value: text, key: "text", input: (next) => set(rows.map((row, i) => (i === index ? [frame, next] : row))) }),
      index > 0 && button(`Remove the text from frame ${frame}`, "close", () => {
        const left = rows.filter((_, i) => i !== index);
        if (left.length === 1) edit(left[0][1]);
        else set(left);
        app.store.commit();
      }, { class: "quiet", key: "remove" }))),
    button("Another text from a frame on", "add", () => {
      const next = Math.min(app.clip.frames - 1, Number(rows.at(-1)[0]) + 1);
      if (String(next) in value) return;
      set([...rows, [next, rows.at(-1)[1]]]);
      app.store.commit();
    }, { text: "Another text", class: "link", key: "add" }));
}
