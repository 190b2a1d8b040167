// All results of the server: open, again, change, compare, download, delete.

import { resultAddress } from "./api.js";
import { h } from "./dom.js";
import { button, check } from "./fields.js";
import { drawCell } from "./player.js";
import { actions, factsOf, player, progressOf, summaryOf } from "./result.js";
import { isFinished } from "./jobs.js";

/** Return the gallery. */
export function gallery(app) {
  const jobs = app.jobs.list();
  const ready = app.view.compare.length === 2;
  return [
    h("div", { class: "row gallery-head" }, h("h2", { class: "panel-title grow" }, "Gallery"),
      h("span", { class: "summary" }, ready ? "" : "Tick two videos to compare them"),
      button("Play both side by side, in step", "play", () => show(app), { text: "Compare", class: "button", disabled: !ready })),
    jobs.length ? h("ul", { class: "gallery-grid", key: "grid" }, jobs.map((job) => item(app, job))) : h("p", { class: "empty", key: "none" }, "No video yet."),
    app.jobs.hasMore && button("Older videos", null, () => app.jobs.more(), { text: "Older videos", class: "button", key: "older" }),
  ];
}

function show(app) {
  app.setView({ tab: "result" });
  app.clock.play();
}

function open(app, job) {
  app.setView({ job: job.id, tab: "result", compare: [] });
  if (job.state === "done" && !matchMedia("(prefers-reduced-motion: reduce)").matches) app.clock.play();
}

function item(app, job) {
  return h("li", { class: "gallery-item", key: job.id, "data-job": job.id, "data-state": job.state },
    h("button", { type: "button", class: "poster", key: "poster", title: "Open", "aria-label": `Open: ${summaryOf(app, job)}`, onclick: () => open(app, job), onpointerenter: (event) => hover(app, event.currentTarget, true), onpointerleave: (event) => hover(app, event.currentTarget, false) },
      job.state === "done" ? player(app, resultAddress(job.id, "frames.png"), job.frames, { key: "poster", label: "First frame", shape: job, hover: true }) : h("span", { class: "state" }, isFinished(job) ? job.state : progressOf(job))),
    h("p", { class: "gallery-text" }, summaryOf(app, job)),
    job.state === "done" && h("p", { class: "summary" }, factsOf(job)),
    job.state === "failed" && h("p", { class: "error" }, job.error),
    job.state === "done" && check("Compare", app.view.compare.includes(job.id), (on) => app.setView({ compare: on ? [...app.view.compare, job.id].slice(-2) : app.view.compare.filter((id) => id !== job.id) })),
    h("details", { class: "item-actions", key: "actions" }, h("summary", {}, "Actions"), h("div", { class: "row wrap" },
      isFinished(job) ? actions(app, job) : button("Stop this request", "close", () => app.jobs.cancel(job), { text: "Cancel", class: "button" }))));
}

/** Play a poster while the pointer is over it. */
function hover(app, poster, on) {
  const canvas = poster.querySelector("canvas");
  if (!canvas?.sheet?.image) return;
  clearInterval(canvas.timer);
  drawCell(canvas, canvas.sheet, 0);
  if (!on) return;
  let frame = 0;
  canvas.timer = setInterval(() => {
    if (canvas.isConnected) drawCell(canvas, canvas.sheet, (frame += 1));
    else clearInterval(canvas.timer);
  }, 1000 / app.clip.fps);
}
