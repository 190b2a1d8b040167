// Keys of the whole page: they act where no field takes them.

import { showHelp } from "./shell.js";
import { useTool } from "./toolbar.js";
import { toolsFor } from "./tools/all.js";

const isField = (node) => node.matches?.("input:not([type=range], [type=checkbox], [type=file]), textarea, select, [contenteditable]");

/** Listen to the keys of the page. */
export function listenToKeys(app) {
  window.addEventListener("keydown", (event) => {
    if (document.getElementById("dialog").open) return;
    const handled = event.ctrlKey || event.metaKey ? withControl(app, event) : !isField(event.target) && plain(app, event);
    if (handled) event.preventDefault();
  });
}

function withControl(app, event) {
  const key = event.key.toLowerCase();
  const { editor, store } = app;
  if (key === "enter") app.jobs.generate();
  else if (key === "z" && event.shiftKey) store.redo();
  else if (key === "z") store.undo();
  else if (key === "y") store.redo();
  else if (isField(event.target)) return false;
  else if (key === "c" && !getSelection().toString()) return editor.copy();
  else if (key === "v" && editor.copied) editor.paste();
  else if (key === "d") editor.duplicate();
  else return false;
  return true;
}

function plain(app, event) {
  const { clock, editor } = app;
  const onCanvas = !event.target.closest?.(".tray, #settings, .gallery-view, .result-view");
  if (event.key === " ") {
    if (event.target.matches("button, a, summary, input[type=checkbox], label")) return false;
    clock.toggle();
  } else if (event.key === ",") clock.seek(clock.frame - 1);
  else if (event.key === ".") clock.seek(clock.frame + 1);
  else if (event.key === "?") showHelp(app);
  else if (event.key === "Escape") editor.escape();
  else if ((event.key === "Delete" || event.key === "Backspace") && onCanvas) editor.deleteSelection();
  else return !event.altKey && letter(app, event);
  return true;
}

function letter(app, event) {
  const { editor } = app;
  const key = event.key.toLowerCase();
  const tool = toolsFor(app.model).find(({ info }) => info.key === key);
  if (tool) {
    useTool(app, tool.info.id);
    goToCanvas(app);
  } else if (key === "a") editor.addPoint();
  else if (key === "n") editor.selectNext(event.shiftKey ? -1 : 1);
  else if (key === "g") goToCanvas(app);
  else return false;
  return true;
}

function goToCanvas(app) {
  app.setView({ tab: "edit" });
  requestAnimationFrame(() => app.editor.canvas.focus());
}
