// The server's interface: JSON requests, uploads, and events. Every failure is an ApiError with the server's sentence.

/** An error of the server: a sentence, and the part of the request that it is about. */
export class ApiError extends Error {
  constructor(message, field = null, status = 0) {
    super(message);
    this.field = field;
    this.status = status;
  }
}

const CLIENT_KEY = "vcjax.client";

function clientId() {
  let id = localStorage.getItem(CLIENT_KEY);
  if (!id) {
    id = crypto.getRandomValues(new Uint32Array(4)).reduce((text, n) => text + n.toString(16).padStart(8, "0"), "");
    localStorage.setItem(CLIENT_KEY, id);
  }
  return id;
}

async function call(method, path, body, type) {
  const headers = { "X-Vcjax-Client": clientId() };
  if (type) headers["Content-Type"] = type;
  let response;
  try {
    response = await fetch(path, { method, headers, body });
  } catch {
    throw new ApiError("The server cannot be reached.");
  }
  if (response.status === 204) return null;
  const isJson = response.headers.get("content-type")?.includes("json");
  const table = isJson ? await response.json() : { text: await response.text() };
  if (!response.ok) throw new ApiError(table.error ?? `The server refused this (${response.status}).`, table.field, response.status);
  return table;
}

const post = (path, table) => call("POST", path, JSON.stringify(table), "application/json");

export const getCatalogue = () => call("GET", "/api/catalogue");
export const getHealth = () => call("GET", "/api/health");
export const submit = (request) => post("/api/requests", { request });
export const submitPreview = (request) => post("/api/previews", { request });
export const getJob = (id) => call("GET", `/api/requests/${id}`);
export const cancelJob = (id) => call("POST", `/api/requests/${id}/cancel`);
export const deleteJob = (id) => call("DELETE", `/api/requests/${id}`);
export const getCommand = async (id) => (await call("GET", `/api/requests/${id}/command.txt`)).text;
export const uploadInfo = (id) => call("GET", `/api/uploads/${id}/info`);

/** Return the newest results, or those before one. */
export async function getJobs(before = null, limit = 50) {
  const query = before ? `&before=${before}` : "";
  return (await call("GET", `/api/requests?limit=${limit}${query}`)).requests;
}

/** Store a file on the server, and return its description. */
export function upload(blob, name) {
  return call("POST", `/api/uploads?name=${encodeURIComponent(name)}`, blob, "application/octet-stream");
}

/** Return the request in a video or in a JSON file, and sentences about files that are missing. */
export function replay(file) {
  return call("POST", `/api/replay?name=${encodeURIComponent(file.name)}`, file, "application/octet-stream");
}

/**
 * Return the address of a picture with the frames that a model takes from an upload, a cell for each.
 * @param {string} id upload.
 * @param {{frames: number, height: number, width: number, fps: number}} clip
 */
export function framesAddress(id, clip) {
  return `/api/uploads/${id}/frames.png?frames=${clip.frames}&fps=${clip.fps}&height=${clip.height}&width=${clip.width}`;
}

export const resultAddress = (job, file) => `/api/requests/${job}/${file}`;
export const conditionAddress = (job, name) => `/api/requests/${job}/conditions/${encodeURIComponent(name)}.png`;

/**
 * Receive events for as long as the page is open; the browser connects again by itself.
 * @param {Object<string, function(object)>} handlers by name of the event; `open` and `error` tell of the connection.
 * @returns {EventSource}
 */
export function listen(handlers) {
  const source = new EventSource("/api/events");
  for (const [name, handler] of Object.entries(handlers)) {
    if (name === "open" || name === "error") source.addEventListener(name, handler);
    else source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
  }
  return source;
}
