// Building and patching of page elements: a panel describes itself anew after each change, and only what differs is
// touched, so that focus, cursor and scroll positions stay.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "circle", "line", "rect", "polyline", "polygon", "g", "text"]);

/**
 * Create an element.
 * @param {string} tag name of the element.
 * @param {object} props attributes; besides: `key` identifies it among its siblings, `on…` are handlers, `style` is a
 *   table of CSS properties, `ref` is called with the element each time that it is shown, `opaque` keeps its children.
 * @param {...(Node|string|number|false|null|undefined|Array)} children falsy ones are left out.
 * @returns {Element}
 */
export function h(tag, props = {}, ...children) {
  const node = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  node.handlers = {};
  node.append(...flatten(children));
  for (const [name, value] of Object.entries(props)) setProperty(node, name, value);
  if (tag === "select" && "value" in props) node.value = props.value ?? "";
  return node;
}

function flatten(children) {
  return children.flat(Infinity).filter((child) => child !== false && child !== null && child !== undefined && child !== "");
}

function setProperty(node, name, value) {
  if (name === "key") node.key = value;
  else if (name === "ref") node.ref = value;
  else if (name === "opaque") node.opaque = value;
  else if (name === "style") Object.assign(node.style, value);
  else if (name.startsWith("on")) node.handlers[name] = node[name] = value;
  else if (name === "value" && "value" in node) node.value = value ?? "";
  else if (name === "checked" || name === "open" || name === "indeterminate") node[name] = Boolean(value);
  else if (value === true) node.setAttribute(name, "");
  else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
}

/**
 * Make the children of an element equal to new ones, and keep those that are already there.
 * @param {Element} parent
 * @param {...(Node|string|Array|false|null)} children
 */
export function patch(parent, ...children) {
  const fresh = flatten(children).map((child) => (child instanceof Node ? child : document.createTextNode(child)));
  const keyed = new Map();
  const plain = [];
  for (const child of parent.childNodes) {
    if (child.key === undefined) plain.push(child);
    else keyed.set(child.key, child);
  }
  const used = new Set();
  const whenShown = [];
  const live = fresh.map((child) => {
    const found = child.key === undefined ? plain.shift() : keyed.get(child.key);
    const same = found !== undefined && found.nodeName === child.nodeName && !used.has(found);
    if (same) patchNode(found, child);
    else whenShown.push(child);
    used.add(same ? found : child);
    return same ? found : child;
  });
  for (const child of [...parent.childNodes]) if (!used.has(child)) child.remove();
  live.forEach((child, index) => {
    if (parent.childNodes[index] !== child) parent.insertBefore(child, parent.childNodes[index] ?? null);
  });
  whenShown.forEach(callRefs);
}

function callRefs(node) {
  if (node.ref) node.ref(node);
  node.childNodes.forEach(callRefs);
}

function patchNode(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  patchAttributes(old, fresh);
  for (const name of Object.keys({ ...old.handlers, ...fresh.handlers })) old[name] = fresh.handlers?.[name] ?? null;
  old.handlers = fresh.handlers;
  if (old.style.cssText !== fresh.style.cssText) old.style.cssText = fresh.style.cssText;
  if (!fresh.opaque && (fresh.childNodes.length || old.childNodes.length)) patch(old, [...fresh.childNodes]);
  patchValue(old, fresh);
  old.ref = fresh.ref;
  if (old.ref) old.ref(old);
}

function patchAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (name !== "style" && !fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function patchValue(old, fresh) {
  if (old.nodeName === "INPUT" && (old.type === "checkbox" || old.type === "radio")) {
    old.checked = fresh.checked;
    old.indeterminate = fresh.indeterminate;
  } else if (["INPUT", "SELECT", "TEXTAREA"].includes(old.nodeName) && old.type !== "file" && old.value !== fresh.value) {
    // What is being typed, such as "1." for 1, stays as long as it means the same.
    const typing = old === document.activeElement && old.type === "number" && Number(old.value) === Number(fresh.value);
    if (!typing || (old.value === "") !== (fresh.value === "")) old.value = fresh.value;
  }
}

/** Return a number without rounding errors of binary fractions, such as 0.1 for 0.30000000000000004 - 0.2. */
export function tidy(value, digits = 4) {
  return Number(value.toFixed(digits));
}

/** Return a function that calls another one when it has not been called for some milliseconds. */
export function debounced(callback, milliseconds) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => callback(...args), milliseconds);
  };
}

/** Return the name of a condition as people read it. */
export const shownName = (name) => name.replaceAll("_", " ");

/** Return a unique part of an id of an element. */
export function slug(text) {
  return text.replace(/[^A-Za-z0-9]+/g, "-");
}
