// Keyframes of a condition that is drawn as a mask: pictures that frames show, and videos that the clip continues or leads to.

import { h } from "./dom.js";
import { button, fileButton, frameNow, numberField } from "./fields.js";
import { inputOf, isTable, removeInput, setInput, UPLOAD, uploadId } from "./request.js";

const OVERLAP = 4; // frames in common with a video, where a request does not say
const VIDEOS = [["after", "Continues", "the clip begins with its last frames"], ["before", "Leads to", "the clip ends with its first frames"]];

/** Return the keyframes of an input; null where it is something else. */
export function keyframesOf(input) {
  const value = input?.value;
  return isTable(value) && (value.pictures || value.after || value.before) ? value : null;
}

/** Describe keyframes in words. */
export function describeKeyframes(app, { pictures = [], after, before }) {
  const named = (title, value) => value && `${title.toLowerCase()} ${app.nameOf(uploadId(value))}`;
  const count = pictures.length > 0 && `${pictures.length} ${pictures.length === 1 ? "picture" : "pictures"} at frames`;
  return [count, named("continues", after), named("leads to", before)].filter(Boolean).join(", ");
}

/** Return the editor of keyframes. */
export function keyframesEditor(app, condition, input) {
  const table = keyframesOf(input);
  const change = (mutate) => write(app, condition, mutate);
  return h("div", { class: "keyframes", key: "keyframes" },
    table?.pictures?.map((picture, index) => h("div", { class: "row", key: index },
      numberField(app, { label: `Frame of picture ${index + 1}`, hideLabel: true, value: picture.frame, step: 1, key: "frame",
        input: (frame) => Number.isInteger(frame) && app.store.edit((doc) => (inputOf(doc, condition.name).value.pictures[index].frame = frame)) }),
      h("span", { class: "file-name grow" }, app.nameOf(uploadId(picture.image))),
      button(`Remove picture ${index + 1}`, "close", () => change((value) => value.pictures.splice(index, 1)), { class: "quiet", key: "remove" }))),
    VIDEOS.filter(([key]) => table?.[key]).map(([key, title]) => h("div", { class: "row", key },
      h("span", { class: "label" }, title), h("span", { class: "file-name grow" }, app.nameOf(uploadId(table[key]))),
      button(`${title} no video`, "close", () => change((value) => delete value[key]), { class: "quiet", key: "remove" }))),
    (table?.after || table?.before) && numberField(app, { label: "Overlap", value: table.overlap, placeholder: OVERLAP, min: 1, step: 1, input: (overlap) => app.store.edit((doc) => {
      const { value } = inputOf(doc, condition.name);
      if (overlap === undefined) delete value.overlap;
      else value.overlap = overlap;
    }) }),
    h("div", { class: "ways" },
      fileButton("A picture that the frame of the canvas shows", { text: ["Picture at frame ", frameNow(app)], accept: "image/*", key: "picture", choose: (file) => addPicture(app, condition, file) }),
      VIDEOS.map(([key, title, help]) => fileButton(`A video that the clip ${title.toLowerCase()}: ${help}`, { text: title, iconName: "video", accept: "video/*", key, choose: (file) => add(app, condition, file, (value, video) => (value[key] = video)) }))));
}

function addPicture(app, condition, file) {
  const frame = app.clock.frame % app.clip.frames; // at which the file was chosen
  return add(app, condition, file, (value, image) => putPicture(value, frame, image));
}

function putPicture(value, frame, image) {
  const others = (value.pictures ?? []).filter((picture) => picture.frame !== frame);
  value.pictures = [...others, { frame, image }].sort((a, b) => a.frame - b.frame);
}

async function add(app, condition, file, put) {
  const info = await app.send(file, `conditions.${condition.name}`);
  if (info) write(app, condition, (value) => put(value, UPLOAD + info.id));
}

/** Change the keyframes in one step of undo; what else the condition was is replaced, and without keyframes it goes. */
function write(app, condition, mutate) {
  app.store.change((doc) => {
    const value = structuredClone(keyframesOf(inputOf(doc, condition.name)) ?? {});
    mutate(value);
    if (!value.pictures?.length) delete value.pictures;
    if (value.pictures || value.after || value.before) setInput(doc, app.model, condition.name, { value });
    else removeInput(doc, condition.name);
  });
}
