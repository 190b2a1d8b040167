// Reading and changing a document: `{request, off, base, source}`, where `request` is exactly what is sent, `off` holds
// conditions that are switched off but kept, `base` is what the canvas is over, and `source` the shared source video.

export const UPLOAD = "upload:";

/** Return a document without anything. */
export const emptyDocument = () => ({ request: { conditions: {} }, off: {}, base: null, source: null });

/** Return whether a document holds nothing that could be seen on the canvas. */
export const isEmpty = (doc) => !Object.keys(doc.request.conditions).length && !doc.base && !doc.source;

/** Return whether something is a table, not a list and not null. */
export const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Return the id in `upload:ID`, or null. */
export const uploadId = (value) => (typeof value === "string" && value.startsWith(UPLOAD) ? value.slice(UPLOAD.length) : null);

/** Return the model of the document. */
export function modelOf(doc, catalogue) {
  return catalogue.models.find((model) => model.name === doc.request.model) ?? catalogue.models[0];
}

/** Return frames, height, width and fps of the clip of a document. */
export function clipOf(doc, model) {
  const { frames, size, fps } = doc.request;
  const whole = (value, otherwise) => (Number.isInteger(value) && value > 0 ? value : otherwise);
  return {
    frames: whole(frames, model.shape.frames),
    height: whole(size?.[0], model.shape.height),
    width: whole(size?.[1], model.shape.width),
    fps: fps > 0 ? fps : model.shape.fps,
  };
}

/** Return the input of a condition, whether it is on or off; null without. */
export const inputOf = (doc, name) => doc.request.conditions[name] ?? doc.off[name] ?? null;
export const isOn = (doc, name) => name in doc.request.conditions;

/** Give a condition an input; strength stays, and a condition that was off is on. */
export function setInput(doc, model, name, input) {
  const old = inputOf(doc, name);
  const kept = old?.strength === undefined ? {} : { strength: old.strength };
  delete doc.off[name];
  const isNew = !isOn(doc, name);
  doc.request.conditions[name] = { ...kept, ...input };
  if (isNew) joinBranches(doc, model, name);
}

/** Take a condition out of the document. */
export function removeInput(doc, name) {
  delete doc.request.conditions[name];
  delete doc.off[name];
  leaveBranches(doc, name);
}

/** Switch a condition on or off; what it holds is kept. */
export function switchInput(doc, model, name, on) {
  const input = inputOf(doc, name);
  if (!input || on === isOn(doc, name)) return;
  if (on) setInput(doc, model, name, input);
  else {
    delete doc.request.conditions[name];
    doc.off[name] = input;
    leaveBranches(doc, name);
  }
}

const BRANCHES = ["positive", "negative"];

function inDefault(model, branch, name) {
  const condition = model.conditions.find((each) => each.name === name);
  return branch === "positive" || condition?.kind !== "tokens";
}

/** Return whether a condition is in the positive or in the negative branch of guidance. */
export function inBranch(doc, model, branch, name) {
  const names = doc.request[branch];
  return names ? names.includes(name) : inDefault(model, branch, name);
}

/** Put a condition into a branch, or take it out; a list that equals the default is left out. */
export function setBranch(doc, model, branch, name, member) {
  const present = Object.keys(doc.request.conditions);
  const names = present.filter((each) => (each === name ? member : inBranch(doc, model, branch, each)));
  const usual = present.filter((each) => inDefault(model, branch, each));
  if (names.join() === usual.join()) delete doc.request[branch];
  else doc.request[branch] = names;
}

function joinBranches(doc, model, name) {
  for (const branch of BRANCHES) {
    const names = doc.request[branch];
    if (names && !names.includes(name) && inDefault(model, branch, name)) names.push(name);
  }
  doc.request.branches?.at(-1).push(name);
}

function leaveBranches(doc, name) {
  for (const branch of BRANCHES) {
    if (doc.request[branch]) doc.request[branch] = doc.request[branch].filter((each) => each !== name);
  }
  if (doc.request.branches) doc.request.branches = doc.request.branches.map((names) => names.filter((each) => each !== name));
}

/** Return the strength of an input as a table. */
export function strengthOf(input) {
  const given = input?.strength ?? 1;
  return isTable(given) ? { value: 1, ...given } : { value: given };
}

/** Change attributes of a strength; those that are undefined are left out, and a strength of 1 is too. */
export function setStrength(doc, name, changed) {
  const input = inputOf(doc, name);
  if (!input) return;
  const table = { ...strengthOf(input), ...changed };
  for (const key of Object.keys(table)) if (table[key] === undefined) delete table[key];
  const { value = 1, ...others } = table;
  if (Object.keys(others).length) input.strength = value === 1 ? others : { value, ...others };
  else if (value === 1) delete input.strength;
  else input.strength = value;
}

/** Set a key of the request; undefined, null and "" leave it to the model's default. */
export function setSetting(doc, key, value) {
  if (value === undefined || value === null || value === "") delete doc.request[key];
  else doc.request[key] = value;
}

/** Return the option of extraction that a drawn mask is given as: the first that is a file. */
export function maskOption(condition) {
  return Object.keys(condition.extract_options).find((name) => !condition.words.includes(name)) ?? null;
}

/** Return the drawn table of a condition, of strokes or of a mask; null without. */
export function drawnTable(doc, condition) {
  const input = condition && inputOf(doc, condition.name);
  if (!input) return null;
  if (condition.drawing === "mask") {
    const table = input.extract_options?.[maskOption(condition)];
    return isTable(table) ? table : null;
  }
  return condition.drawing === "strokes" && isTable(input.value) && Array.isArray(input.value.size) ? input.value : null;
}

/** Return the drawn table of a condition, which is begun where there is none. */
export function beginTable(doc, model, condition) {
  const there = drawnTable(doc, condition);
  if (there && isOn(doc, condition.name)) return there;
  if (there) {
    switchInput(doc, model, condition.name, true);
    return there;
  }
  const clip = clipOf(doc, model);
  const size = [clip.width, clip.height];
  if (condition.drawing === "mask") {
    const input = inputOf(doc, condition.name);
    const { value, ...rest } = input ?? {};
    const source = rest.source ?? sourceFor(doc, model, condition);
    const options = { ...rest.extract_options, [maskOption(condition)]: { size, keys: [] } };
    setInput(doc, model, condition.name, { ...rest, ...(source ? { source } : {}), extract_options: options });
  } else {
    setInput(doc, model, condition.name, { value: { size, strokes: [] } });
  }
  return drawnTable(doc, condition);
}

/** Return the source that a mask which is drawn over the canvas hides a part of. */
function sourceFor(doc, model, condition) {
  const id = baseOf(doc, model, condition);
  return id ? UPLOAD + id : null;
}

/** Take a drawing that has nothing left out of the document. */
export function dropEmptyTable(doc, condition) {
  const table = drawnTable(doc, condition);
  if (!table) return;
  if (condition.drawing === "strokes" && !table.strokes?.length && !table.camera) removeInput(doc, condition.name);
  if (condition.drawing === "mask" && !table.keys.length) {
    const input = inputOf(doc, condition.name);
    delete input.extract_options[maskOption(condition)];
    if (!Object.keys(input.extract_options).length) delete input.extract_options;
    if (!input.source) removeInput(doc, condition.name);
  }
}

/**
 * Return the id of the upload that the canvas is over: the source of the mask that is drawn, what was chosen, or the
 * condition that strokes are drawn over.
 */
export function baseOf(doc, model, condition) {
  if (condition?.drawing === "mask") {
    const own = uploadId(inputOf(doc, condition.name)?.source);
    if (own) return own;
  }
  if (doc.base) return doc.base;
  for (const { drawn_over: name } of model.conditions) {
    const input = name && inputOf(doc, name);
    const id = input && (uploadId(input.value) ?? uploadId(input.source));
    if (id && !/\.(npy|json|svg)$/.test(id)) return id;
  }
  return doc.source;
}

/** Return the name of the condition that strokes are drawn over, such as the first image; null without. */
export function underName(model) {
  const name = model.conditions.find((condition) => condition.drawn_over)?.drawn_over;
  return model.conditions.some((condition) => condition.name === name) ? name : null;
}

/** Return ids of all uploads that a value names. */
export function uploadsIn(value) {
  if (typeof value === "string") return uploadId(value) ? [uploadId(value)] : [];
  return value && typeof value === "object" ? Object.values(value).flatMap(uploadsIn) : [];
}

/**
 * Write branches of guidance that are no chain as positive and negative ones, or leave them to the default. A complete
 * request has a single branch, and no guidance weight, where both are the same.
 */
function simplifyBranches(doc, model) {
  const { request } = doc;
  if (request.branches?.length <= 2 && !request.positive && !request.negative) {
    const [negative, positive = negative] = request.branches;
    Object.assign(request, { negative: [...negative], positive: [...positive] });
    delete request.branches;
    if (!request.guidance?.length) delete request.guidance;
  }
  const [first] = Object.keys(request.conditions);
  for (const branch of BRANCHES) {
    if (request[branch] && first) setBranch(doc, model, branch, first, request[branch].includes(first));
  }
}

/** Return a document that holds a request of the server. */
export function documentOf(request, catalogue) {
  const doc = emptyDocument();
  doc.request = structuredClone(request);
  doc.request.conditions ??= {};
  simplifyBranches(doc, modelOf(doc, catalogue));
  const sources = Object.values(doc.request.conditions).map((input) => uploadId(input?.source)).filter(Boolean);
  doc.source = sources.find((id) => /\.(mp4|mov|webm|mkv|avi|m4v|gif)$/.test(id)) ?? null;
  return doc;
}
