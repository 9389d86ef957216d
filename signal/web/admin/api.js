// What the dashboard asks of the server.

const KEY = "pointsman-operator-token";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

async function ask(method, path, body) {
  return (await answer(method, path, body)).json();
}

async function answer(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${token.get()}`, ...(body ? { "content-type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new ApiError(0, "The server cannot be reached.");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.detail ?? `The server answers ${response.status}.`);
}

const query = (fields) => new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== undefined && value !== "" && value !== null)).toString();
const part = encodeURIComponent;

export const rooms = async () => {
  const all = [];
  for (let after; all.length < 2000; ) {
    const page = await ask("GET", `/api/v1/rooms?${query({ after })}`);
    all.push(...page.rooms);
    if (!page.next) break;
    after = page.next;
  }
  return all;
};
export const room = (name) => ask("GET", `/api/v1/rooms/${part(name)}`);
export const endRoom = (name) => ask("DELETE", `/api/v1/rooms/${part(name)}`);
export const subscriptions = (name, identity) => ask("GET", `/api/v1/rooms/${part(name)}/participants/${part(identity)}/subscriptions`);
export const mute = (name, identity, muted) => ask("POST", `/api/v1/rooms/${part(name)}/participants/${part(identity)}/mute`, { muted });
export const remove = (name, identity) => ask("DELETE", `/api/v1/rooms/${part(name)}/participants/${part(identity)}`);
export const change = (name, fields) => ask("PATCH", `/api/v1/rooms/${part(name)}`, fields);
export const place = (name, identity, fields) => ask("PATCH", `/api/v1/rooms/${part(name)}/participants/${part(identity)}`, fields);
export const move = (name, identity, breakout) => ask("POST", `/api/v1/rooms/${part(name)}/participants/${part(identity)}/move`, { breakout });
export const admit = (name, identity) => ask("POST", `/api/v1/rooms/${part(name)}/waiting/${part(identity)}`);
export const history = (fields) => ask("GET", `/api/v1/history?${query(fields)}`);
/** JSON lines, as a file. */
export const exported = async (fields) => (await answer("GET", `/api/v1/history/export?${query(fields)}`)).blob();
export const forget = (fields) => ask("DELETE", `/api/v1/history?${query(fields)}`);
export const quality = (fields) => ask("GET", `/api/v1/quality?${query(fields)}`);

/** Prometheus text as `[{ name, labels, value }]`; null where this listener does not serve it. */
export async function metrics() {
  const response = await fetch("/metrics").catch(() => null);
  if (!response?.ok) return null;
  return (await response.text()).split("\n").flatMap((line) => {
    const match = /^([a-z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)$/i.exec(line);
    if (!match) return [];
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
    return [{ name: match[1], labels, value: Number(match[3]) }];
  });
}

/** Who is signed in with the provider; null where the server has none. */
export async function person() {
  const response = await fetch("/oidc/me").catch(() => null);
  return response?.ok ? response.json() : null;
}

/** A token for whoever is signed in with the provider, if they run the server. */
export async function providerToken() {
  const response = await fetch("/oidc/operator");
  return response.ok ? (await response.json()).token : null;
}

/** In development mode the server mints a token for whoever sits at it. */
export async function devToken() {
  const response = await fetch("/dev/operator", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
  return response.ok ? (await response.json()).token : null;
}
