// Properties of what is selected on the canvas, all as number fields.

import { h, tidy } from "./dom.js";
import { button, check, choice, frameNow, numberField } from "./fields.js";
import { icon } from "./icons.js";
import { fixTimes, insertKey, keyAt, maskKey, maskPolygon, paintKey, paintedKey, parse } from "./objects.js";
import { colourOf } from "./scene.js";
import { cameraState, frameOf, rotationOf, scaleOf, timeOf, timesOf, widthOf } from "./strokes.js";
import { editedTime, setCamera, stateKey } from "./tools/camera.js";

/** Return the inspector. */
export function inspector(app) {
  const { editor } = app;
  const { table } = editor;
  const index = editor.selectedStroke;
  const tool = editor.tool?.constructor.info.id;
  const isCamera = app.active?.drawing === "strokes" && (tool === "camera" || editor.selection.includes("camera"));
  const content = [
    index !== null && strokePanel(app, table.strokes[index], index),
    isCamera && cameraPanel(app, table?.camera),
    app.active?.drawing === "mask" && table && maskPanel(app, table),
    index === null && !isCamera && table?.strokes?.length > 0 && strokeList(app, table),
  ].filter(Boolean);
  return [
    h("h2", { class: "panel-title" }, "Properties"),
    content.length ? content : h("p", { class: "summary pad", key: "none" }, "Select something on the canvas to see its properties."),
  ];
}

const edit = (app, mutate) => app.editor.editTable(mutate);
const change = (app, mutate) => app.editor.changeTable(mutate);

/** Return a field of the frame of a time from 0 to 1; `set` gets a drawing and the time, only when somebody types. */
function frameField(app, { label, time, set, disabled = false }) {
  const { frames } = app.clip;
  return numberField(app, { label, hideLabel: true, value: frameOf(time, frames), min: 0, max: frames - 1, step: 1, key: "frame", disabled: disabled || frames < 2,
    input: (frame) => frame !== undefined && edit(app, (table) => set(table, timeOf(frame, frames))) });
}

function strokeList(app, table) {
  return h("ul", { class: "object-list", key: "strokes" }, table.strokes.map((stroke, index) =>
    h("li", { key: index }, button(`Select stroke ${index + 1}`, null, () => app.editor.select([`stroke:${index}`]), { text: `${nameOf(stroke)} ${index + 1}`, class: "link" }))));
}

const nameOf = (stroke) => (stroke.points.length === 1 ? "Pin" : "Stroke");

function strokePanel(app, stroke, index) {
  const of = (mutate) => edit(app, (table) => mutate(table.strokes[index]));
  const set = (key, value, usual) => of((target) => (value === undefined || value === usual ? delete target[key] : (target[key] = value)));
  return h("section", { class: "panel", key: `stroke ${index}`, "aria-label": `${nameOf(stroke)} ${index + 1}` },
    h("div", { class: "row" }, h("span", { class: "swatch", style: { background: colourOf(index) } }), h("strong", { class: "grow" }, `${nameOf(stroke)} ${index + 1}`), orderButtons(app, index),
      button("Delete (Del)", "trash", () => deleteStroke(app, index), { class: "quiet", key: "delete" })),
    stroke.region
      ? h("div", { class: "row", key: "region" }, h("span", { class: "label" }, "Region"), h("span", { class: "grow" }, `${stroke.region.length} corners`),
        button("Move a disc in place of the region", "close", () => change(app, (table) => delete table.strokes[index].region), { class: "quiet", key: "drop" }))
      : numberField(app, { label: "Width", value: stroke.width, placeholder: tidy(widthOf(stroke, app.editor.size), 2), min: 0, key: "width", input: (value) => (value === undefined || value > 0) && set("width", value) }),
    stroke.points.length > 1 && choice(app, { label: "Easing", value: stroke.easing ?? "linear", options: app.catalogue.easings, change: (value) => change(app, (table) => {
      table.strokes[index].easing = value;
      if (value === "linear") delete table.strokes[index].easing;
    }) }),
    pointsTable(app, stroke, index),
    keysTable(app, stroke, index, { key: "scale", title: "Scale keys", unit: "factor", now: scaleOf, first: 1, min: 0 }),
    keysTable(app, stroke, index, { key: "rotation", title: "Rotation keys", unit: "degrees", now: rotationOf, first: 0 }));
}

function deleteStroke(app, index) {
  change(app, (table) => table.strokes.splice(index, 1));
  app.editor.select([]);
}

function orderButtons(app, index) {
  const count = app.editor.table.strokes.length;
  const to = (next) => {
    change(app, (table) => table.strokes.splice(next, 0, ...table.strokes.splice(index, 1)));
    app.editor.select([`stroke:${next}`]);
  };
  return [
    index > 0 && button("Further back", "more", () => to(index - 1), { class: "quiet", key: "back" }),
    index + 1 < count && button("Further to the front", "less", () => to(index + 1), { class: "quiet", key: "front" }),
  ];
}

function pointsTable(app, stroke, index) {
  const times = timesOf(stroke);
  const selected = app.editor.selection.map(parse).filter(({ part }) => part === "point").map(({ sub }) => sub);
  const ofPoint = (i, axis) => (value) => value !== undefined && edit(app, (table) => (table.strokes[index].points[i][axis] = value));
  return h("fieldset", { key: "points" }, h("legend", {}, "Points"),
    h("div", { class: "table-head four" }, ["x", "y", "frame", ""].map((text) => h("span", {}, text))),
    stroke.points.map((point, i) => h("div", { class: selected.includes(i) ? "table-row four selected" : "table-row four", key: i },
      numberField(app, { label: `x of point ${i + 1}`, hideLabel: true, value: point[0], key: "x", input: ofPoint(i, 0) }),
      numberField(app, { label: `y of point ${i + 1}`, hideLabel: true, value: point[1], key: "y", input: ofPoint(i, 1) }),
      frameField(app, { label: `frame of point ${i + 1}`, time: times[i], disabled: stroke.points.length < 2, set: (table, time) => (fixTimes(table.strokes[index])[i] = time) }),
      button(`Remove point ${i + 1}`, "close", () => removePoint(app, index, i), { class: "quiet", key: "remove" }))),
    h("div", { class: "row" },
      stroke.points.length > 1 && button("Add a point after the selected one", "add", () => app.editor.addPoint(), { text: "Add point", class: "link", key: "add" }),
      stroke.times && button("Constant speed along the line", null, () => change(app, (table) => delete table.strokes[index].times), { text: "Constant speed", class: "link", key: "constant" })));
}

function removePoint(app, index, point) {
  app.editor.select([`stroke:${index}:point:${point}`]);
  app.editor.deleteSelection();
}

/** Return a table of (time, value) keys of a stroke. */
function keysTable(app, stroke, index, { key, title, unit, now, first, min }) {
  const keys = stroke[key] ?? [];
  const write = (table, next) => {
    if (next.length) table.strokes[index][key] = next.sort((a, b) => a[0] - b[0]);
    else delete table.strokes[index][key];
  };
  const add = () => change(app, (table) => {
    const { time } = app.editor;
    const others = keys.filter((each) => Math.abs(each[0] - time) > 1e-6);
    const begun = others.length || time === 0 ? others : [[0, first]];
    write(table, [...begun, [time, tidy(now(stroke, time), 3)]]);
  });
  const set = (i) => (value) => value !== undefined && !(min === 0 && value <= 0) && edit(app, (table) => (table.strokes[index][key][i][1] = value));
  return h("fieldset", { key }, h("legend", {}, title),
    keys.map((pair, i) => h("div", { class: "table-row three", key: i },
      frameField(app, { label: `frame of ${title} ${i + 1}`, time: pair[0], set: (table, time) => (table.strokes[index][key][i][0] = time) }),
      numberField(app, { label: `${unit} of ${title} ${i + 1}`, hideLabel: true, value: pair[1], min, step: key === "scale" ? 0.1 : 5, key: "v", input: set(i) }),
      button(`Remove this key`, "close", () => change(app, (table) => write(table, keys.filter((_, j) => j !== i))), { class: "quiet", key: "remove" }))),
    button(`Add a key at this frame (${unit})`, "add", add, { text: ["Key at frame ", frameNow(app)], class: "link", key: "add" }));
}

function cameraPanel(app, camera) {
  const time = editedTime(camera, app.editor.time);
  const { x, y, zoom, roll } = cameraState(camera, time);
  const set = (changed) => edit(app, (table) => setCamera(table, changed, app.editor.time));
  const onPath = camera?.path?.length > 0;
  return h("section", { class: "panel", key: "camera", "aria-label": "Camera" },
    h("div", { class: "row" }, icon("camera"), h("strong", { class: "grow" }, "Camera"),
      camera && button("Remove the camera's motion", "trash", () => change(app, (table) => delete table.camera), { class: "quiet", key: "delete" })),
    h("p", { class: "summary" }, onPath ? ["At frame ", frameNow(app)] : "From the first frame to the last"),
    h("div", { class: "pair" },
      numberField(app, { label: "Pan x", value: x, input: (value) => set({ pan: [value ?? 0, y] }) }),
      numberField(app, { label: "Pan y", value: y, input: (value) => set({ pan: [x, value ?? 0] }) }),
      numberField(app, { label: "Zoom", value: zoom, min: 0.01, step: 0.05, input: (value) => (value === undefined || value > 0) && set({ zoom: value ?? 1 }) }),
      numberField(app, { label: "Roll", value: roll, step: 1, input: (value) => set({ roll: value ?? 0 }) })),
    camera && choice(app, { label: "Easing", value: camera.easing ?? "linear", options: app.catalogue.easings, change: (value) => change(app, (table) => {
      table.camera.easing = value;
      if (value === "linear") delete table.camera.easing;
    }) }),
    check("Path with keys", onPath, (on) => change(app, (table) => (on ? beginPath(table) : endPath(table)))),
    onPath && h("ul", { class: "object-list", key: "path" }, camera.path.map((key, i) => h("li", { class: "row", key: i },
      button("Show this frame", null, () => app.clock.show(Math.round(key.time * (app.clip.frames - 1))), { text: `Key at frame ${frameOf(key.time, app.clip.frames)}`, class: "link grow", key: "go" }),
      camera.path.length > 1 && button("Remove this key", "close", () => change(app, (table) => table.camera.path.splice(i, 1)), { class: "quiet", key: "remove" })))),
    onPath && !keyAt(camera.path, app.editor.time) && button("Add a key at this frame", "add", () => change(app, (table) => insertKey(table.camera.path, stateKey(table.camera, app.editor.time))), { text: ["Key at frame ", frameNow(app)], class: "link", key: "add key" }));
}

function beginPath(table) {
  const camera = (table.camera ??= {});
  camera.path = [{ time: 0 }, stateKey(camera, 1)];
  for (const key of ["pan", "zoom", "roll"]) delete camera[key];
}

/** Keep where a path ends, as a motion from the first frame to the last. */
function endPath(table) {
  const { time: _, ...state } = stateKey(table.camera, 1);
  delete table.camera.path;
  Object.assign(table.camera, state);
  if (!Object.keys(table.camera).length) delete table.camera;
}

function maskPanel(app, table) {
  const { time } = app.editor;
  const isPolygon = Boolean(table.keys[0]?.polygon);
  const polygon = maskPolygon(table, time);
  const lines = paintedKey(table, time)?.lines;
  const add = () => change(app, (drawn) => (isPolygon ? maskKey(drawn, time) : paintKey(drawn, time)));
  const ofCorner = (i, axis) => (value) => value !== undefined && edit(app, (drawn) => (maskKey(drawn, time).polygon[i][axis] = value));
  return h("section", { class: "panel", key: "mask", "aria-label": "Hidden region" },
    h("div", { class: "row" }, h("strong", { class: "grow" }, isPolygon ? "Hidden polygon" : "Painted, hidden"),
      button("Remove all keys", "trash", () => change(app, (drawn) => (drawn.keys = [])), { class: "quiet", key: "delete" })),
    h("p", { class: "summary", key: "holding" }, isPolygon ? "The polygon moves smoothly from one key to the next." : "What is painted holds until the next key; only polygons move smoothly from key to key."),
    h("ul", { class: "object-list" }, table.keys.map((key, i) => h("li", { class: "row", key: i },
      button("Show this frame", null, () => app.clock.show(Math.round(key.time * (app.clip.frames - 1))), { text: "Key at frame", class: "link", key: "go" }),
      frameField(app, { label: `frame of key ${i + 1}`, time: key.time, set: (drawn, time) => (drawn.keys[i].time = time) }),
      h("span", { class: "summary grow" }, key.lines ? `${key.lines.length} ${key.lines.length === 1 ? "line" : "lines"}` : `${key.polygon.length} corners`),
      button("Remove this key", "close", () => change(app, (drawn) => drawn.keys.splice(i, 1)), { class: "quiet", key: "remove" })))),
    !keyAt(table.keys, time) && button("Add a key at this frame", "add", add, { text: ["Key at frame ", frameNow(app)], class: "link", key: "add" }),
    polygon && h("fieldset", { key: "corners" }, h("legend", {}, ["Corners at frame ", frameNow(app)]), polygon.map((corner, i) => h("div", { class: "table-row two", key: i },
      [0, 1].map((axis) => numberField(app, { label: `${"xy"[axis]} of corner ${i + 1}`, hideLabel: true, value: corner[axis], key: axis, input: ofCorner(i, axis) }))))),
    lines?.length > 0 && button("Remove the last line of this key", "undo", () => change(app, (drawn) => paintKey(drawn, time).lines.pop()), { text: "Remove last line", class: "link", key: "pop" }));
}
