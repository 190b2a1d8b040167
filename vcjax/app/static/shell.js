// The frame of the page: header with Generate, tabs, banner, the hint of an empty page, and the help sheet.

import { h } from "./dom.js";
import { button } from "./fields.js";
import { icon } from "./icons.js";
import { isEmpty } from "./request.js";
import { progressOf } from "./result.js";
import { toolLetters } from "./toolbar.js";

const TABS = [["edit", "Canvas", "stroke"], ["conditions", "Conditions", "region"], ["settings", "Settings", "polygon"], ["result", "Result", "play"], ["gallery", "Gallery", "grid"]];

const PANELS = { edit: "stage", conditions: "tray", settings: "settings", result: "result", gallery: "gallery" };

/** Return the header. */
export function header(app) {
  const { store, jobs } = app;
  const active = jobs.active();
  const own = active.find((job) => job.id === app.view.job) ?? active[0];
  return [
    h("h1", { class: "logo" }, "vcjax"),
    h("div", { class: "row" },
      button("Undo (Ctrl+Z)", "undo", () => store.undo(), { class: "quiet", disabled: !store.canUndo, key: "undo" }),
      button("Redo (Ctrl+Shift+Z)", "redo", () => store.redo(), { class: "quiet", disabled: !store.canRedo, key: "redo" }),
      button("Begin anew; undo brings this back", null, () => app.clear(), { text: "New", class: "quiet new", key: "new" })),
    h("span", { class: "grow health", key: "health" }, healthOf(app)),
    own && h("button", { type: "button", class: "progress-chip", key: "progress", title: "Show it", onclick: () => app.setView({ tab: "result", job: own.id, compare: [] }) },
      h("progress", { max: own.total || 1, ...(own.total ? { value: own.completed } : {}), "aria-hidden": "true", key: own.total ? "known" : "unknown" }),
      h("span", {}, progressOf(own), active.length > 1 && ` (${active.length} requests)`)),
    button("Help (?)", "help", () => showHelp(app), { class: "quiet", key: "help" }),
    h("button", { type: "button", class: "generate", key: "generate", title: "Generate (Ctrl+Enter)", "aria-keyshortcuts": "Control+Enter", onclick: () => jobs.generate() }, icon("spark"), h("span", {}, "Generate")),
  ];
}

function healthOf(app) {
  const { health } = app.jobs;
  if (health === null) return "The server cannot be reached; trying again …";
  if (health?.status === "starting") return "The model is being loaded; what you send waits for it.";
  if (health?.status === "failed") return "No worker can be started: see the server's log.";
  return "";
}

/** Return the tabs. */
export function tabs(app) {
  const select = (id) => {
    app.setView({ tab: id });
    if (id === "edit") requestAnimationFrame(() => app.editor.invalidate());
  };
  const rove = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const shown = [...event.currentTarget.querySelectorAll("[role=tab]")].filter((tab) => tab.offsetParent);
    const next = shown[(shown.indexOf(document.activeElement) + step + shown.length) % shown.length];
    next.focus();
    select(next.dataset.tab);
  };
  const running = app.jobs.active().length > 0;
  return h("div", { role: "tablist", class: "tablist", "aria-label": "Views", onkeydown: rove }, TABS.map(([id, title, name]) =>
    h("button", { type: "button", role: "tab", class: `tab ${id}`, key: id, "data-tab": id, "aria-selected": String(app.view.tab === id), "aria-controls": PANELS[id], tabindex: app.view.tab === id ? 0 : -1, onclick: () => select(id) },
      icon(name), h("span", {}, title), id === "result" && running && h("span", { class: "busy-dot", "aria-label": "running" }))));
}

/** Return the sentences that belong to no control. */
export function banner(app) {
  const line = (sentence, close) => h("div", { class: "row", key: sentence }, h("p", { class: "grow" }, sentence), button("Close", "close", close, { class: "quiet" }));
  return [
    app.refused !== null && line(app.refused, () => app.forgetRefused()),
    app.banner.map((sentence) => line(sentence, () => {
      app.banner = app.banner.filter((other) => other !== sentence);
      app.refresh();
    })),
  ];
}

/** Return the hint over the canvas of an empty document. */
export function welcome(app) {
  const { editor } = app;
  const isWanted = isEmpty(app.doc) && !editor.tool?.busy;
  // While the pointer is down its place is kept, so that the canvas does not change its size below the pointer.
  app.welcomes = isWanted || (app.welcomes && (editor.pressed || Boolean(editor.tool?.busy)));
  if (!app.welcomes) return null;
  return h("div", { class: isWanted ? "welcome" : "welcome unwanted", key: "welcome" },
    h("p", {}, "Drop a picture, or just draw an arrow, then press Generate"),
    button("Fill in an example of a text and a stroke", "spark", () => fillExample(app), { text: "Try an example", class: "button", key: "example" }));
}

/** Fill in words and a stroke, for the first conditions of the model that take them. */
function fillExample(app) {
  const { model, clip } = app;
  const find = (drawing) => model.conditions.find((condition) => condition.drawing === drawing);
  const [words, strokes] = [find("text"), find("strokes")];
  const at = (x, y) => [Math.round(x * clip.width), Math.round(y * clip.height)];
  app.store.change((doc) => {
    if (words) doc.request.conditions[words.name] = { value: "a red circle moving right" };
    if (strokes) doc.request.conditions[strokes.name] = { value: { size: [clip.width, clip.height], strokes: [{ points: [at(0.25, 0.5), at(0.75, 0.5)] }] } };
  });
  if (strokes) app.setView({ condition: strokes.name, selection: ["stroke:0"] });
}

const KEYS = [
  ["Ctrl+Enter", "generate"], ["Space", "play or pause"], [", and .", "previous and next frame"],
  ["Ctrl+Z, Ctrl+Shift+Z, Ctrl+Y", "undo, redo"], ["Ctrl+C, Ctrl+V, Ctrl+D", "copy, paste, duplicate strokes"],
  ["Delete", "delete what is selected"], ["Arrow keys", "move what is selected by a pixel, with Shift by 10; with a drawing tool, move the crosshair"],
  ["Enter", "click at the crosshair; after clicks of the pointer, end the line"], ["A", "add a point to the selected stroke"],
  ["N", "select the next object, with Shift the previous one"], ["Esc", "end what is drawn; then select nothing"], ["G", "go to the canvas"],
];

/** Show the help sheet. */
export function showHelp(app) {
  const row = ([key, text]) => h("div", { class: "help-row" }, h("dt", {}, h("kbd", {}, key)), h("dd", {}, text));
  openDialog("Keys", h("div", { class: "help-columns" },
    h("dl", { "aria-label": "Tools" }, toolLetters(app.model).map(row)),
    h("dl", { "aria-label": "Other keys" }, KEYS.map(row))));
}

/** Show the command line to be copied by hand. */
export function showCommand(app) {
  const text = app.view.command;
  app.setView({ command: null });
  openDialog("Command line", h("textarea", { class: "command", rows: 8, readonly: true, "aria-label": "Command line", value: text }));
}

function openDialog(title, content) {
  const dialog = document.getElementById("dialog");
  dialog.replaceChildren(h("div", { class: "row" }, h("h2", { class: "grow" }, title), button("Close (Esc)", "close", () => dialog.close(), { class: "quiet" })), content);
  dialog.showModal();
}
