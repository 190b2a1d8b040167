// Icons of the page, as paths on a grid of 20 units, drawn with the colour of the text around them.

import { h } from "./dom.js";

const PATHS = {
  select: "M5 3l10 7-4.6.8L13 16l-2 1-2.5-5.2L5 15z",
  stroke: "M3 15c4-1 4-9 8-9 2 0 3 2 6 2M13.5 4.5L17 8l-4 2.5",
  region: "M4 7l6-4 6 5-2 8H6z",
  brush: "M16 3c1 1 0 3-6 9l-2-2c6-6 7-8 8-7zM7 11l2 2c0 3-3 4-6 4 1.500-1 1-2 1.500-3.500C5 12 6 11 7 11z",
  pin: "M10 18v-6M6 12h8M7 3h6l-1 5 2 4H6l2-4z",
  camera: "M2 6h11v8H2zM13 9l5-3v8l-5-3",
  polygon: "M3 5h14v10H3zM3 5l14 10",
  paint: "M3 4h14v12H3zM7 10a3 3 0 1 0 6 0 3 3 0 1 0-6 0",
  erase: "M8 16l-4-4 8-8 5 5-7 7zM8 16h9M7.500 8.500l5 5",
  picture: "M4 16l1-4 8-8 3 3-8 8zM11.500 5.500l3 3",
  wipe: "M7 16l-4-4 7-7 6 6-5 5zM7 16h9",
  play: "M6 4l10 6-10 6z",
  pause: "M6 4v12M14 4v12",
  previous: "M14 4l-8 6 8 6M5 4v12",
  next: "M6 4l8 6-8 6M15 4v12",
  undo: "M4 8h8a4 4 0 0 1 0 8H8M4 8l4-4M4 8l4 4",
  redo: "M16 8H8a4 4 0 0 0 0 8h4M16 8l-4-4M16 8l-4 4",
  die: "M4 4h12v12H4zM7.500 7.500h.01M12.500 7.500h.01M10 10h.01M7.500 12.500h.01M12.500 12.500h.01",
  close: "M5 5l10 10M15 5L5 15",
  add: "M10 4v12M4 10h12",
  more: "M5 8l5 5 5-5",
  less: "M5 12l5-5 5 5",
  file: "M10 13V4M6 8l4-4 4 4M4 13v3h12v-3",
  video: "M3 5h14v10H3zM8 8l4 2-4 2z",
  grid: "M3 3h6v6H3zM11 3h6v6h-6zM3 11h6v6H3zM11 11h6v6h-6z",
  trash: "M4 6h12M8 6V4h4v2M6 6l1 11h6l1-11",
  download: "M10 4v9M6 9l4 4 4-4M4 16h12",
  help: "M7.500 7.500a2.500 2.500 0 1 1 3.500 2.300c-.7.400-1 .8-1 1.700M10 14.500h.01",
  spark: "M10 3l1.800 5.200L17 10l-5.200 1.800L10 17l-1.800-5.200L3 10l5.200-1.800z",
};

/** Return an icon, which is hidden from screen readers. */
export function icon(name) {
  return h("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true", focusable: "false" }, h("path", { d: PATHS[name] }));
}
