// A curve over frames: click to add a point, drag it, Delete or a double click removes it; arrow keys move it.

import { h, tidy } from "./dom.js";
import { button, numberField } from "./fields.js";

const [WIDTH, HEIGHT, PADDING] = [240, 84, 8];
const STEP = 0.05; // of the factor

/**
 * Return the editor of a curve.
 * @param {App} app
 * @param {object} options `label`, `points` ([frame, factor] pairs in the order of frames), `last` frame, `most` factor that
 *   is shown, `edit` (called with other points while they are dragged), `commit` (called when a change ends).
 */
export function curve(app, options) {
  const { label, points, last, edit, commit } = options;
  const put = (next) => {
    edit(next);
    commit();
  };
  return h("div", { class: "curve", key: "curve" },
    h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve-plot", role: "group", "aria-label": label, key: "plot",
      onpointerdown: (event) => event.target.dataset.index === undefined && begin(event, options, add(points, pointAt(event.currentTarget, event, options), last)) },
    [0, 1, 2].map((factor) => h("line", { class: "grid", x1: PADDING, x2: WIDTH - PADDING, y1: y(factor, options), y2: y(factor, options) })),
    h("polyline", { class: "curve-line", points: line(options) }),
    points.map((point, index) => marker(point, index, options, put))),
    h("div", { class: "row" },
      h("span", { class: "summary grow" }, points.length ? `${points.length} ${points.length === 1 ? "point" : "points"}` : "constant: click to add a point"),
      button("Add a point at this frame", "add", () => put(add(points, [app.clock.frame % (last + 1), valueAt(points, app.clock.frame)], last).points), { class: "quiet", key: "add" }),
      points.length > 0 && button("No curve", "close", () => put([]), { class: "quiet", key: "clear" })),
    points.map(([frame, factor], index) => h("div", { class: "row", key: `point ${index}` },
      numberField(app, { label: "frame", value: frame, min: 0, max: last, step: 1, input: (next) => Number.isFinite(next) && edit(moved(points, index, [next, factor], last)) }),
      numberField(app, { label: "factor", value: factor, step: STEP, input: (next) => Number.isFinite(next) && edit(moved(points, index, [frame, next], last)) }),
      button("Remove this point", "close", () => put(points.filter((_, i) => i !== index)), { class: "quiet", key: "remove" }))));
}

const x = (frame, { last }) => PADDING + (frame / Math.max(1, last)) * (WIDTH - 2 * PADDING);
const y = (factor, { most }) => HEIGHT - PADDING - (Math.min(most, Math.max(0, factor)) / most) * (HEIGHT - 2 * PADDING);

function line(options) {
  const { points, last } = options;
  const shown = points.length ? [[0, points[0][1]], ...points, [last, points.at(-1)[1]]] : [[0, 1], [last, 1]];
  return shown.map(([frame, factor]) => `${x(frame, options)},${y(factor, options)}`).join(" ");
}

function valueAt(points, frame) {
  if (!points.length) return 1;
  const next = points.findIndex((point) => point[0] >= frame);
  if (next <= 0) return next === 0 ? points[0][1] : points.at(-1)[1];
  const [[a, from], [b, to]] = [points[next - 1], points[next]];
  return tidy(from + ((to - from) * (frame - a)) / (b - a), 2);
}

/**
 * Return points with another one, in place of one at the same frame, and its index. The first one of a curve changes the
 * strength from there on: what frame 0 had is kept.
 */
function add(points, [frame, factor], last) {
  const at = Math.min(last, Math.max(0, Math.round(frame)));
  const others = points.length ? points.filter((point) => point[0] !== at) : [[0, 1]].filter(() => at > 0);
  const index = others.filter((point) => point[0] < at).length;
  return { points: [...others.slice(0, index), [at, factor], ...others.slice(index)], index };
}

/** Return points with one moved, but not past its neighbours. */
function moved(points, index, [frame, factor], last) {
  const low = index > 0 ? points[index - 1][0] + 1 : 0;
  const high = index + 1 < points.length ? points[index + 1][0] - 1 : Math.max(last, frame);
  return points.map((point, i) => (i === index ? [Math.min(high, Math.max(low, Math.round(frame))), factor] : point));
}

function pointAt(plot, event, { last, most }) {
  const box = plot.getBoundingClientRect();
  const across = (((event.clientX - box.left) / box.width) * WIDTH - PADDING) / (WIDTH - 2 * PADDING);
  const up = (HEIGHT - PADDING - ((event.clientY - box.top) / box.height) * HEIGHT) / (HEIGHT - 2 * PADDING);
  return [Math.min(last, Math.max(0, across * last)), tidy(Math.min(most, Math.max(0, Math.round((up * most) / STEP) * STEP)), 2)];
}

/** Drag a point until the pointer is let go. */
function begin(event, options, { points, index }) {
  event.preventDefault();
  const plot = event.target.closest("svg");
  let current = points;
  options.edit(current);
  const drag = (moving) => {
    current = moved(current, index, pointAt(plot, moving, options), options.last);
    options.edit(current);
  };
  const end = () => {
    window.removeEventListener("pointermove", drag);
    options.commit();
  };
  window.addEventListener("pointermove", drag);
  window.addEventListener("pointerup", end, { once: true });
}

function marker(point, index, options, put) {
  const { points, last } = options;
  const [frame, factor] = point;
  const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
  return h("circle", {
    class: "curve-point", key: index, r: 6, cx: x(frame, options), cy: y(factor, options), tabindex: 0, role: "slider", "data-index": index,
    "aria-label": `Factor at frame ${frame}`, "aria-valuenow": factor, "aria-valuemin": 0, "aria-valuemax": options.most,
    onpointerdown: (event) => begin(event, options, { points, index }),
    ondblclick: () => put(points.filter((_, i) => i !== index)),
    onkeydown: (event) => {
      if (event.key in keys) put(moved(points, index, [frame + keys[event.key][0], tidy(Math.max(0, factor + keys[event.key][1]), 2)], last));
      else if (event.key === "Delete" || event.key === "Backspace") put(points.filter((_, i) => i !== index));
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
  });
}
