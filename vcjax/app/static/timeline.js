// The frames of the clip: scrubbing, playing, and the keys of the selected object as marks that can be dragged.

import { h, tidy } from "./dom.js";
import { button } from "./fields.js";
import { fixTimes } from "./objects.js";
import { frameOf, timeOf, timesOf } from "./strokes.js";

/** Return the timeline. */
export function timeline(app) {
  const { clock, clip } = app;
  const last = Math.max(1, clip.frames - 1);
  const frame = clock.frame % clip.frames;
  const go = (next) => clock.seek(next);
  return [
    h("div", { class: "row transport" },
      button("Previous frame (,)", "previous", () => go(frame - 1), { class: "quiet", "aria-keyshortcuts": "," }),
      button(clock.playing ? "Pause (Space)" : "Play (Space)", clock.playing ? "pause" : "play", () => clock.toggle(), { class: "play", key: "play", "aria-keyshortcuts": "Space" }),
      button("Next frame (.)", "next", () => go(frame + 1), { class: "quiet", "aria-keyshortcuts": "." }),
      h("output", { class: "frame-number", "aria-label": "Frame, and the last one", title: "Frame, and the last one; the first is 0" }, `${frame} / ${clip.frames - 1}`)),
    h("div", { class: "track", key: "track" },
      h("input", { type: "range", class: "scrub", key: "scrub", min: 0, max: clip.frames - 1, step: 1, value: frame, "aria-label": "Frame of the clip", "aria-valuetext": `frame ${frame}, the last is ${clip.frames - 1}`, oninput: (event) => go(event.target.valueAsNumber) }),
      h("div", { class: "marks", key: "marks" }, marks(app).map((mark, index) => markButton(app, mark, index, last)))),
  ];
}

/** Return the keys of what is selected: `time`, `title`, and `set` and `remove`, which change a drawing. */
function marks(app) {
  const { table, selectedStroke: index, tool } = app.editor;
  if (!table) return [];
  const drawing = app.active.drawing;
  if (drawing === "mask") return table.keys.map((key, i) => keyMark(key, `key ${i + 1} of the mask`, "mask", (drawn) => drawn.keys, i));
  if (index !== null) return strokeMarks(table.strokes[index], index);
  const showsCamera = tool?.constructor.info.id === "camera" || app.editor.selection.includes("camera");
  if (!showsCamera || !table.camera?.path) return [];
  return table.camera.path.map((key, i) => keyMark(key, `key ${i + 1} of the camera`, "camera", (drawn) => drawn.camera.path, i));
}

function keyMark(key, title, kind, listOf, i) {
  return {
    time: key.time, title, kind,
    set: (table, time) => (listOf(table)[i].time = time),
    remove: (table) => listOf(table).splice(i, 1),
    between: (table) => neighbours(listOf(table).map(({ time }) => time), i),
  };
}

function strokeMarks(stroke, index) {
  const points = stroke.points.length < 2 ? [] : timesOf(stroke).map((time, i) => ({
    time, title: `point ${i + 1}`, kind: "point",
    set: (table, next) => (fixTimes(table.strokes[index])[i] = next),
    remove: (table) => table.strokes[index].points.length > 1 && [table.strokes[index].points, table.strokes[index].times ?? []].forEach((list) => list.splice(i, 1)),
    between: (table) => neighbours(timesOf(table.strokes[index]), i),
  }));
  const keyed = ["scale", "rotation"].flatMap((kind) => (stroke[kind] ?? []).map((key, i) => ({
    time: key[0], title: `${kind} key ${i + 1}`, kind,
    set: (table, next) => (table.strokes[index][kind][i][0] = next),
    remove: (table) => {
      table.strokes[index][kind].splice(i, 1);
      if (!table.strokes[index][kind].length) delete table.strokes[index][kind];
    },
    between: (table) => neighbours(table.strokes[index][kind].map(([time]) => time), i),
  })));
  return [...points, ...keyed];
}

/** Return the times between which a key can be moved. */
function neighbours(times, i) {
  const gap = 1e-3;
  return [i > 0 ? times[i - 1] + gap : 0, i + 1 < times.length ? times[i + 1] - gap : 1];
}

function setTime(app, mark, time) {
  app.editor.editTable((table) => {
    const [low, high] = mark.between(table);
    mark.set(table, tidy(Math.min(high, Math.max(low, time)), 12));
  });
}

function markButton(app, mark, index, last) {
  const key = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      app.store.commit();
      setTime(app, mark, timeOf(Math.round(mark.time * last) + step, app.clip.frames));
      app.store.commit();
    } else if (event.key === "Delete" || event.key === "Backspace") app.editor.changeTable((table) => mark.remove(table));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const where = `${mark.title}, at frame ${frameOf(mark.time, app.clip.frames)}`;
  return h("button", {
    type: "button", class: `mark ${mark.kind}`, key: `${mark.kind} ${index}`, title: where, "aria-label": where,
    style: { left: `${mark.time * 100}%` }, onkeydown: key, onpointerdown: (event) => drag(event, app, mark, last),
    onclick: () => app.clock.show(Math.round(mark.time * last)),
  });
}

/** Drag a key along the track; it stays at frames unless Alt is held. */
function drag(event, app, mark, last) {
  event.preventDefault();
  const box = event.currentTarget.parentElement.getBoundingClientRect();
  event.currentTarget.focus();
  const move = (moving) => {
    const time = Math.min(1, Math.max(0, (moving.clientX - box.left) / box.width));
    setTime(app, mark, moving.altKey ? time : timeOf(Math.round(time * last), app.clip.frames));
  };
  const end = () => {
    window.removeEventListener("pointermove", move);
    app.store.commit();
  };
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", end, { once: true });
}
