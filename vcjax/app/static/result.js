// What comes of a request: its progress with the estimated frames, then the video beside its conditions, in step; or two
// videos side by side.

import { conditionAddress, getCommand, resultAddress } from "./api.js";
import { h, shownName } from "./dom.js";
import { button } from "./fields.js";
import { isFinished } from "./jobs.js";
import { drawCell } from "./player.js";

/** Return the result that is open, or the comparison of two. */
export function result(app) {
  const pair = app.view.compare.map((id) => app.jobs.all.get(id)).filter((job) => job?.state === "done");
  if (pair.length === 2) return comparison(app, pair);
  const job = app.jobs.open;
  if (!job) return h("p", { class: "empty", key: "none" }, "No video is open. Press Generate, or open one in the gallery.");
  if (!isFinished(job)) return running(app, job);
  if (job.state === "done") return finished(app, job);
  return h("div", { class: "result-panel", key: `ended ${job.id}` },
    h("p", { class: "empty" }, job.state === "cancelled" ? "This request was cancelled." : job.error),
    h("div", { class: "row centre" }, actions(app, job)));
}

/** Return a canvas that plays a sheet in step with all others. */
export function player(app, address, frames, { key, label, shape, hover = false, style = {} }) {
  const sheet = app.sheets.get(address, frames);
  return h("canvas", { class: hover ? "sheet-hover" : "sheet", key, style, opaque: true, role: "img", "aria-label": label, width: shape?.width ?? 64, height: shape?.height ?? 64, ref: (node) => {
    node.sheet = sheet;
    drawCell(node, sheet, hover ? 0 : app.clock.frame);
  } });
}

/** Return what a request is doing, in words. */
export function progressOf(job) {
  if (job.state === "queued") return job.position ? `in the queue, place ${job.position}` : "in the queue";
  if (job.total) return `${job.phase}, ${job.completed} of ${job.total}`;
  return job.phase || "running";
}

function running(app, job) {
  const estimate = app.jobs.estimates.get(job.id);
  const shape = app.clip;
  return h("div", { class: "result-panel", key: `running ${job.id}` },
    h("div", { class: "stage-video" }, estimate
      ? player(app, estimate.image, job.frames || frameCount(app, job), { key: "estimate", label: "Estimated frames", shape, style: fitted(shape) })
      : h("div", { class: "waiting", key: "waiting" }, h("span", { class: "spinner" }))),
    h("div", { class: "row centre" },
      h("progress", { max: job.total || 1, ...(job.total ? { value: job.completed } : {}), "aria-label": "Progress", key: job.total ? "known" : "unknown" }),
      h("span", { class: "phase" }, progressOf(job)),
      button("Stop this request", "close", () => app.jobs.cancel(job), { text: "Cancel", class: "button" })),
    conditionSheets(app, job));
}

/** Return the number of frames of a request that is not finished. */
function frameCount(app, job) {
  const model = app.catalogue.models.find(({ name }) => name === job.request.model) ?? app.model;
  return Number.isInteger(job.request.frames) ? job.request.frames : model.shape.frames;
}

function conditionSheets(app, job) {
  const names = Object.entries(job.images ?? {});
  return names.length > 0 && h("div", { class: "sheets", key: "conditions" }, names.map(([name, frames]) =>
    h("figure", { key: name }, player(app, conditionAddress(job.id, name), frames, { key: "sheet", label: `${shownName(name)} of the video`, shape: job }), h("figcaption", {}, shownName(name)))));
}

function video(app, job, key) {
  return player(app, resultAddress(job.id, "frames.png"), job.frames, { key, label: "Video", shape: job, style: fitted(job) });
}

/** Return the size of a video that fits its column and the height of the window. */
const fitted = ({ width, height }) => ({ width: `min(100%, calc(var(--video-height) * ${width / height}))` });

function transport(app) {
  const { clock } = app;
  return h("div", { class: "row centre transport", key: "transport" },
    button("Previous frame (,)", "previous", () => clock.seek(clock.frame - 1), { class: "quiet" }),
    button(clock.playing ? "Pause (Space)" : "Play (Space)", clock.playing ? "pause" : "play", () => clock.toggle(), { class: "play", key: "play" }),
    button("Next frame (.)", "next", () => clock.seek(clock.frame + 1), { class: "quiet" }),
    h("input", { type: "range", class: "scrub", key: "scrub", min: 0, max: clock.frames - 1, step: 1, value: clock.frame, "aria-label": "Frame of the video", oninput: (event) => clock.seek(event.target.valueAsNumber) }),
    h("output", { class: "frame-number" }, `${clock.frame} / ${clock.frames - 1}`));
}

function finished(app, job) {
  return h("div", { class: "result-panel", key: `done ${job.id}` },
    h("div", { class: "stage-video" }, video(app, job, "video")),
    transport(app),
    h("div", { class: "row centre", key: "actions" }, actions(app, job)),
    h("p", { class: "summary centre" }, factsOf(job)),
    job.warnings.map((sentence) => h("p", { class: "summary centre", key: sentence }, sentence)),
    conditionSheets(app, job));
}

/** Return the facts of a video in a line. */
export function factsOf(job) {
  const { seeds = [0], steps, sampler } = job.request;
  const parts = [`${job.width} × ${job.height}`, `${job.frames} frames at ${job.fps}/s`, `seed ${seeds[0]}`, steps && `${steps} steps`, sampler, `${job.seconds.toFixed(1)} s`];
  return parts.filter(Boolean).join(" · ");
}

/** Return the buttons of a finished request. */
export function actions(app, job) {
  const done = job.state === "done";
  const download = (file, text) => h("a", { class: "button", key: file, href: resultAddress(job.id, file), download: `${job.id}.${file.split(".").pop()}`, title: `Download ${file}` }, text);
  return [
    button("The same request with another seed", "die", () => app.jobs.again(job), { text: "Another seed", class: "button", key: "again" }),
    button("Load this request into the editor", "picture", () => app.load(job.request), { text: "Change it", class: "button", key: "change" }),
    done && download("video.mp4", "mp4"),
    done && download("video.webp", "webp"),
    done && download("request.json", "json"),
    button("Copy the command line that makes the same video", null, () => copyCommand(app, job), { text: "Command", class: "button", key: "command" }),
    deleteButton(app, job),
  ];
}

async function copyCommand(app, job) {
  const text = await app.jobs.attempt(() => getCommand(job.id));
  if (text === null) return;
  try {
    await navigator.clipboard.writeText(text.trim());
    app.announce("The command line is in the clipboard.");
  } catch {
    app.setView({ command: text.trim() }); // the browser keeps the clipboard to itself: show it to be copied by hand
  }
}

function deleteButton(app, job) {
  const asked = app.asked === job.id;
  const act = () => {
    app.asked = asked ? null : job.id;
    if (asked) app.jobs.remove(job);
    app.refresh();
  };
  return button(asked ? "Delete this video for good" : "Delete this video", "trash", act, { text: asked ? "Really delete" : "Delete", class: asked ? "button danger" : "button", key: "delete", onblur: () => {
    app.asked = null;
  } });
}

function comparison(app, pair) {
  return h("div", { class: "result-panel", key: "comparison" },
    h("div", { class: "row" }, h("strong", { class: "grow" }, "Two videos in step"), button("End the comparison", "close", () => app.setView({ compare: [] }), { text: "Close", class: "button" })),
    h("div", { class: "compared" }, pair.map((job) => h("figure", { key: job.id }, video(app, job, "video"), h("figcaption", {}, factsOf(job), h("br"), summaryOf(app, job))))),
    transport(app));
}

/** Return what a video was composed from, in words. */
export function summaryOf(app, job) {
  const { conditions = {} } = job.request;
  const words = Object.entries(conditions).map(([name, input]) => (typeof input.value === "string" && !input.value.startsWith("upload:") ? `“${input.value}”` : shownName(name)));
  return words.join(", ") || "no condition";
}

/** Set the clock to what is shown. */
export function configureClock(app) {
  const jobs = app.view.compare.length === 2 ? app.view.compare.map((id) => app.jobs.all.get(id)).filter(Boolean) : [app.jobs.open].filter(Boolean);
  const shows = app.view.tab === "result" && jobs.length > 0;
  if (!shows) return app.clock.configure(app.clip.frames, app.clip.fps);
  const frames = Math.max(...jobs.map((job) => job.frames || frameCount(app, job)));
  return app.clock.configure(frames, jobs[0].fps || app.clip.fps);
}
