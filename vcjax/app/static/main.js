// Start of the page: the catalogue is awaited, panels are made from it, and everything is wired together.

import { ApiError, getCatalogue, replay } from "./api.js";
import { App } from "./app.js";
import { h, patch } from "./dom.js";
import { dropTarget } from "./fields.js";
import { Editor } from "./editor.js";
import { gallery } from "./gallery.js";
import { inspector } from "./inspector.js";
import { Jobs } from "./jobs.js";
import { listenToKeys } from "./keys.js";
import { drawCell } from "./player.js";
import { configureClock, result } from "./result.js";
import { settings } from "./settings.js";
import { banner, header, showCommand, tabs, welcome } from "./shell.js";
import { timeline } from "./timeline.js";
import { fitTool, toolbar, toolOptions } from "./toolbar.js";
import { tray } from "./tray.js";

const POLL = 500; // milliseconds between requests for the catalogue while the model is loaded
const at = (id) => document.getElementById(id);

async function catalogue() {
  for (;;) {
    try {
      return await getCatalogue();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      patch(at("status"), error.message);
      await new Promise((resolve) => setTimeout(resolve, POLL));
    }
  }
}

function render(app) {
  fitTool(app);
  configureClock(app);
  at("main").dataset.tab = app.view.tab;
  patch(at("header"), header(app));
  patch(at("tabs"), tabs(app));
  patch(at("banner"), banner(app));
  patch(at("tray"), tray(app));
  patch(at("toolbar"), toolbar(app));
  patch(at("options"), toolOptions(app));
  patch(at("canvas-holder"), app.editor.canvas, welcome(app));
  patch(at("hint"), app.hint ?? "");
  patch(at("timeline"), timeline(app));
  patch(at("inspector"), inspector(app));
  patch(at("settings"), settings(app));
  patch(at("result"), result(app));
  patch(at("gallery"), gallery(app));
  patch(at("status"), app.status ?? "");
  if (app.view.command) showCommand(app);
  app.editor.invalidate();
}

/** Show a frame everywhere: on the canvas, on the cards, and in the result. */
function showFrame(app, frame) {
  for (const canvas of document.querySelectorAll("canvas.sheet")) if (canvas.offsetParent) drawCell(canvas, canvas.sheet, frame);
  for (const node of document.querySelectorAll(".frame-now")) patch(node, String(frame % app.clip.frames));
  patch(at("timeline"), timeline(app));
  if (app.view.tab === "result") patch(at("result"), result(app));
  if (!app.clock.playing) patch(at("inspector"), inspector(app));
  app.editor.invalidate();
}

/** Take videos and requests that are dropped anywhere, and restore what they were made from. */
function listenToDrops(app) {
  const { ondragover, ondrop } = dropTarget((file) => restore(app, file));
  document.body.addEventListener("dragover", ondragover);
  document.body.addEventListener("drop", ondrop);
  Object.assign(at("canvas-holder"), dropTarget((file) => app.giveBase(file)));
}

async function restore(app, file) {
  app.announce(`Reading ${file.name} …`);
  try {
    const { request, missing } = await replay(file);
    app.load(request, missing);
    app.announce(`The request of ${file.name} is in the editor.`);
  } catch (error) {
    app.refuse(error.message);
  }
}

async function start() {
  const app = new App(await catalogue());
  app.jobs = new Jobs(app);
  app.editor = new Editor(app);
  app.status = "";
  app.renderers.add(() => render(app));
  app.clock.subscribe((frame) => showFrame(app, frame));
  for (const name of ["pagehide", "beforeunload"]) window.addEventListener(name, () => app.store.commit());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.refresh());
  // A handler sees what the event before it changed, however fast they follow each other.
  for (const name of ["keydown", "pointerdown", "click"]) window.addEventListener(name, () => app.flush(), true);
  for (const name of ["keydown", "pointerdown", "drop"]) window.addEventListener(name, () => app.forgetRefused(), true);
  listenToKeys(app);
  listenToDrops(app);
  render(app);
  app.jobs.start();
  document.documentElement.dataset.ready = "true";
  window.vcjax = { app, h }; // for the console and for tests
}

start();
