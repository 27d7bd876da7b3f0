// The management interface of the gateway. Everything that the console shows and does goes by it.

const BASE = "/api/v1";
const PATIENCE = 15000;
// The gateway gives up after 30 seconds by itself, and what changes much needs some.
const LONG_PATIENCE = 35000;
const RETRY = 1000;
const ROLES = ["nobody", "viewer", "operator", "admin"];

// Someone has logged in, or must: "login" is dispatched when the gateway doesn't know us, and
// "online" and "offline" when the connection comes and goes.
export const changes = new EventTarget();

let me = null;
let description = null;
let isOnline = true;

// An error of a request, in the gateway's words. Its problem has the HTTP status.
export class Refused extends Error {
  constructor(status, details) {
    super(details.detail || details.title || `the gateway answers with status ${status}`);
    this.status = status;
    this.isSaid = status === 401;
  }
}

// The gateway can't be reached. A banner says so already.
export class Unreachable extends Error {
  isSaid = true;
}

function setOnline(now) {
  if (now === isOnline) return;
  isOnline = now;
  changes.dispatchEvent(new Event(now ? "online" : "offline"));
  if (!now) setTimeout(probe, RETRY);
}

async function probe() {
  try {
    await raw("GET", "/me");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) forget();
    else if (!isOnline) setTimeout(probe, RETRY);
  }
}

async function raw(method, path, body, headers = {}, signal = null) {
  const all = { ...headers };
  if (body !== undefined) all["Content-Type"] = "application/json";
  if (method !== "GET" && me?.csrf_token) all["X-CSRF-Token"] = me.csrf_token;
  let answer;
  try {
    answer = await fetch(BASE + path, {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ?? AbortSignal.timeout(method === "GET" ? PATIENCE : LONG_PATIENCE),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    setOnline(false);
    throw new Unreachable("the gateway can't be reached");
  }
  setOnline(true);
  if (answer.ok) return answer;
  let details = {};
  try {
    details = await answer.json();
  } catch {
    // What isn't from the gateway itself has no words.
  }
  throw new Refused(answer.status, details);
}

async function request(method, path, body) {
  try {
    const answer = await raw(method, path, body);
    return answer.status === 204 ? null : await answer.json();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) forget();
    if (error instanceof TypeError || error instanceof SyntaxError) {
      // The connection broke within the answer.
      setOnline(false);
      throw new Unreachable("the gateway can't be reached");
    }
    throw error;
  }
}

function forget() {
  if (me === null) return;
  me = null;
  changes.dispatchEvent(new Event("login"));
}

// Make a path from its parts, each of which may be anything.
export function path(...parts) {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}

function query(values) {
  const given = Object.entries(values).filter(([, one]) => one !== "" && one !== null && one !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

export const get = (where, values = {}) => request("GET", where + query(values));
export const send = (method, where, body, values = {}) => request(method, where + query(values), body);
export const href = (where, values = {}) => BASE + where + query(values);

// Log in, or find out who has. Return whether somebody has.
export async function begin(how = null, body = null) {
  try {
    const answer = how ? await raw("POST", how, body) : await raw("GET", "/me");
    me = await answer.json();
    description = await (await raw("GET", "/openapi.json")).json();
    return true;
  } catch (error) {
    if (how === null && error instanceof Refused && error.status === 401) return false;
    throw error;
  }
}

export async function logOut() {
  await request("POST", "/logout");
  forget();
}

export const who = () => me;
export const version = () => description?.info.version;

// Return the description of an operation; undefined if this gateway has none.
export function operation(method, template) {
  return description?.paths[BASE + template]?.[method.toLowerCase()];
}

// Return whether the operator may ask for an operation that this gateway has.
export function may(method, template) {
  const found = operation(method, template);
  return found !== undefined && me !== null && ROLES.indexOf(me.role) >= ROLES.indexOf(found["x-role"]);
}

// Return a schema, following references.
export function resolved(schema) {
  if (schema?.$ref) return resolved(description.components.schemas[schema.$ref.split("/").pop()]);
  return schema;
}

// Return the properties of what an operation takes in its body.
export function bodyOf(method, template) {
  return resolved(operation(method, template).requestBody.content["application/json"].schema);
}

// Return the schema of the items of a list.
export function itemOf(template) {
  const schema = operation("GET", template).responses[200].content["application/json"].schema;
  return resolved(resolved(schema).properties.items.items);
}

// Return the columns by which a list can be filtered.
export function filtersOf(template) {
  return operation("GET", template)
    .parameters.filter((one) => one.in === "query" && !["sort", "limit", "offset", "fields"].includes(one.name))
    .map((one) => one.name);
}

// Follow a stream of Server-Sent Events until the gateway ends it or the signal is aborted. Call
// act with the data of each event. Return the identifier of the last one.
export async function follow(where, values, signal, act, last = "") {
  const headers = { Accept: "text/event-stream" };
  if (last) headers["Last-Event-ID"] = last;
  let answer;
  try {
    answer = await raw("GET", where + query(values), undefined, headers, signal);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) forget();
    throw error;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (!signal.aborted) setOnline(false);
      return last;
    }
    if (part.done) return last;
    text += part.value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block
          .split("\n")
          .filter((line) => line && !line.startsWith(":"))
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      );
      if (fields.id) last = fields.id;
      if (fields.data) act(JSON.parse(fields.data), last);
    }
  }
}

// Follow the gateway's events as long as the signal isn't aborted, through interruptions.
export async function events(values, signal, act) {
  let last = "";
  while (!signal.aborted && me !== null) {
    try {
      last = await follow("/events", last ? {} : values, signal, act, last);
    } catch (error) {
      if (signal.aborted || (error instanceof Refused && error.status !== 503)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY));
  }
}
