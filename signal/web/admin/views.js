// The dashboard's views. Each is `{ load, draw }`: what it asks of the server, and what it shows of the answers.
import * as api from "./api.js";
import { bars, el, linePlot } from "./plot.js";

/** Rooms that "Now" looks into: the largest. */
const ROOMS_LOOKED_INTO = 25;
/** Entries of history in a room's view. */
const HISTORY_SHOWN = 50;
/** Lines that can be told apart. */
const SERIES_MAX = 6;

// ---- words and numbers

const percent = (share) => (share === null || share === undefined ? "–" : `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`);
const ms = (value) => (value === null || value === undefined ? "–" : `${Math.round(value)} ms`);
const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(1));
const rate = (bps) => (bps === null || bps === undefined ? "–" : bps >= 1e9 ? `${(bps / 1e9).toFixed(1)} Gbit/s` : bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`);
const count = (value) => new Intl.NumberFormat().format(Math.round(value));
const level = (value) => (value === null || value === undefined ? "unknown" : value >= 3.8 ? "good" : value >= 3 ? "fair" : "poor");
const span = (seconds) => (seconds >= 86_400 ? `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h` : seconds >= 3600 ? `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min` : `${Math.max(1, Math.round(seconds / 60))} min`);
const since = (at_s) => span(Date.now() / 1000 - at_s);

/** A number, with its unit in smaller letters. */
function tile(name, value, note, kind = "") {
  const [, number, unit] = /^([\d.,]+) (\D+)$/.exec(value) ?? [null, value, null];
  return el("div", { class: `tile ${kind}` }, el("dt", {}, name), el("dd", {}, number, unit ? el("small", {}, ` ${unit}`) : null), note ? el("p", { class: "quiet" }, note) : null);
}
const panel = (title, ...children) => el("section", { class: "panel" }, el("h2", {}, title), ...children);
/** Beside another one, where there is space. */
const half = (title, ...children) => {
  const section = panel(title, ...children);
  section.classList.add("half");
  return section;
};
/** Pixels for a plot: a panel's width, or half of it, without its padding. */
function plotWidth(part = 1) {
  const main = document.getElementById("main");
  const { paddingLeft, paddingRight } = getComputedStyle(main);
  const all = main.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  return Math.max(240, (part === 1 || innerWidth <= 900 ? all : (all - 16) / 2) - 34);
}
const badge = (value) => el("span", { class: `badge ${level(value)}` }, value === null || value === undefined ? "not told" : `${score(value)} ${level(value)}`);
const link = (name) => el("a", { href: `#rooms/${encodeURIComponent(name)}` }, name);

function table(head, rows, empty) {
  if (!rows.length) return el("p", { class: "quiet empty" }, empty);
  const cells = (row) => row.map((cell, n) => el(n === 0 ? "th" : "td", { ...(n === 0 ? { scope: "row" } : {}), "data-head": head[n] }, cell ?? "–"));
  return el("div", { class: "scroll" }, el("table", { class: "rows" }, el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows.map((row) => el("tr", {}, cells(row))))));
}

// ---- now

export const now = {
  every: 5000,
  async load() {
    const rooms = await api.rooms();
    const largest = [...rooms].sort((a, b) => b.participants - a.participants).slice(0, ROOMS_LOOKED_INTO);
    const [open, quality, metrics] = await Promise.all([
      Promise.all(largest.map(({ name }) => api.room(name).catch(() => null))),
      api.quality({ since_s: Math.floor(Date.now() / 1000) - 3600 }).catch((error) => ({ error })),
      api.metrics(),
    ]);
    return { rooms, open: open.filter(Boolean), quality, metrics };
  },
  draw({ rooms, open, quality, metrics }) {
    const people = rooms.reduce((sum, { participants }) => sum + participants, 0);
    const publications = rooms.reduce((sum, room) => sum + room.publications, 0);
    const judged = open.flatMap((room) => room.participants.map((person) => ({ room: room.name, person }))).filter(({ person }) => person.quality?.score.all);
    const mean = judged.length ? judged.reduce((sum, { person }) => sum + person.quality.score.all, 0) / judged.length : null;
    const worst = judged.filter(({ person }) => person.quality.score.all < 3.8).sort((a, b) => a.person.quality.score.all - b.person.quality.score.all).slice(0, 12);
    const shards = metrics ? traffic(metrics) : null;
    return [
      el("dl", { class: "tiles" },
        tile("Rooms", count(rooms.length)),
        tile("People", count(people), `${count(publications)} tracks sent`),
        tile("Score now", score(mean), judged.length ? `of ${count(judged.length)} who tell` : "nobody tells yet", level(mean)),
        tile("Poor now", count(judged.filter(({ person }) => person.quality.score.all < 3).length), "below 3.0"),
        shards ? tile("Going out", rate(shards.out_bps), `${rate(shards.in_bps)} coming in`) : null,
        shards ? tile("TURN allocations", count(shards.allocations)) : null,
      ),
      panel("Score in the last hour", quality.error ? unavailable(quality.error) : scorePlot(quality)),
      panel("Who has it worst", table(["Person", "Room", "Score", "Round trip", "Lost to us", "Lost to them", "Stood still", "With"], worst.map(({ room, person }) => [
        person.name || person.identity, link(room), badge(person.quality.score.all), ms(person.quality.rtt_ms), percent(person.quality.loss_uplink), percent(person.quality.loss_downlink), percent(person.quality.frozen),
        [person.quality.browser, person.quality.network].filter(Boolean).join(", "),
      ]), judged.length ? "Nobody: everyone who tells has a good score." : "Nobody tells yet. Clients do five seconds after they join.")),
      panel("Largest rooms", table(["Room", "People", "Tracks", "Open for"], [...rooms].sort((a, b) => b.participants - a.participants).slice(0, 10).map((room) => [link(room.name), count(room.participants), count(room.publications), since(room.created_s)]), "No room is open.")),
    ];
  },
};

function scorePlot(quality) {
  const series = quality.groups.slice(0, SERIES_MAX).map(({ name, points }) => ({ name, points: points.map(({ at_s, score }) => ({ at_s, value: score })) }));
  return linePlot({ title: "Mean score over time, from 1 to 5", series, ...quality, show: score, min: 1, max: 5, width: plotWidth() });
}

const unavailable = (error) => el("p", { class: "quiet empty" }, error.status === 404 ? "This server keeps no history: set [history] in its configuration." : error.message);

// ---- quality

const SPANS = [["1 hour", 3600], ["6 hours", 21_600], ["1 day", 86_400], ["7 days", 604_800], ["14 days", 1_209_600]];
const GROUPS = [["all", "everyone"], ["room", "room"], ["browser", "browser"], ["device", "device"], ["network", "network"], ["region", "region"], ["identity", "person"]];

export const quality = {
  every: 15_000,
  asked: { span: 3600, by: "browser", room: "", identity: "" },
  async load() {
    const until_s = Math.ceil(Date.now() / 1000);
    const { span, by, room, identity } = this.asked;
    const range = { since_s: until_s - span, until_s, room, identity };
    const [grouped, all] = await Promise.all([api.quality({ ...range, by }), by === "all" ? null : api.quality(range)]);
    return { grouped, all: all ?? grouped };
  },
  draw({ grouped, all }, again) {
    const { by } = this.asked;
    const whole = all.groups[0];
    const of = (name, field, groups = all) => ({ name, points: (groups.groups[0]?.points ?? []).map((point) => ({ at_s: point.at_s, value: point[field] })) });
    const time = { since_s: all.since_s, until_s: all.until_s, step_s: all.step_s, width: plotWidth(0.5) };
    const shown = GROUPS.find(([key]) => key === by)[1];
    return [
      this.controls(again),
      el("dl", { class: "tiles" },
        tile("Score", score(whole?.score), whole ? `${count(whole.samples)} samples` : "no samples", level(whole?.score)),
        tile("Sound", score(whole?.audio), null, level(whole?.audio)),
        tile("Pictures", score(whole?.video), null, level(whole?.video)),
        tile("Poor", percent(whole ? whole.poor / whole.samples : null), "of all samples"),
        tile("Round trip", ms(whole?.rtt_ms), `jitter ${ms(whole?.jitter_ms)}`),
        tile("Stood still", percent(whole?.frozen), "of the time"),
      ),
      panel(`Score by ${shown}`, scorePlot(grouped)),
      half("Sound and pictures", linePlot({ title: "Mean scores of sound and of pictures", ...time, show: score, min: 1, max: 5, series: [of("sound", "audio"), of("pictures", "video")] })),
      half("Where packets are lost", linePlot({ title: "Share of packets lost, by place", ...time, show: percent, max: 0.01, series: [of("on the way to us", "loss_uplink"), of("in the kernel", "loss_kernel"), of("in the engine", "loss_engine"), of("on the way to people", "loss_downlink")] })),
      half("Round trip and jitter", linePlot({ title: "Round trip and jitter in milliseconds", ...time, show: ms, series: [of("round trip", "rtt_ms"), of("jitter", "jitter_ms")] })),
      half("Bandwidth toward people", linePlot({ title: "Mean bandwidth estimate", ...time, show: rate, series: [of("estimate", "estimate_bps")] })),
      by === "all" ? null : panel(`Mean score by ${shown}`,
        bars({ title: `Mean score by ${shown}`, max: 5, kind: level, rows: grouped.groups.map(({ name, score: value, samples, poor }) => ({ name, value, says: `${score(value)}, ${percent(poor / samples)} poor, ${count(samples)} samples` })) })),
    ];
  },
  controls(again) {
    const change = (key, value) => {
      this.asked = { ...this.asked, [key]: value };
      again();
    };
    const choice = (label, key, options) => el("label", {}, label, el("select", { id: `quality-${key}`, onchange: (event) => change(key, event.target.value === "" ? "" : Number(event.target.value) || event.target.value) },
      options.map(([value, text]) => el("option", { value, selected: String(this.asked[key]) === String(value) }, text))));
    const field = (label, key) => el("label", {}, label, el("input", { id: `quality-${key}`, type: "search", value: this.asked[key], placeholder: "all", onchange: (event) => change(key, event.target.value.trim()) }));
    return el("form", { class: "controls", onsubmit: (event) => event.preventDefault() }, choice("Time", "span", SPANS.map(([text, value]) => [value, text])), choice("By", "by", GROUPS), field("Room", "room"), field("Person", "identity"));
  },
};

// ---- rooms

export const rooms = {
  every: 5000,
  filter: "",
  async load(name) {
    if (!name) return { rooms: await api.rooms() };
    const kept = (asked) => asked.catch((error) => ({ error }));
    const [room, quality, history] = await Promise.all([api.room(name), kept(api.quality({ room: name, by: "identity" })), kept(api.history({ room: name, newest: true, limit: HISTORY_SHOWN }))]);
    return { room, quality, history };
  },
  draw(answer, again) {
    return answer.room ? roomView(answer, again) : this.list(answer.rooms, again);
  },
  list(all, again) {
    const shown = all.filter(({ name }) => name.toLowerCase().includes(this.filter.toLowerCase()));
    const search = (event) => {
      this.filter = event.target.value;
      again(false);
    };
    return [
      el("form", { class: "controls", onsubmit: (event) => event.preventDefault() }, el("label", {}, "Find a room", el("input", { type: "search", id: "rooms-filter", value: this.filter, oninput: search }))),
      panel(`${count(shown.length)} of ${count(all.length)} rooms`, table(["Room", "People", "Tracks", "Open for", "May hold"], shown.map((room) => [link(room.name), count(room.participants), count(room.publications), since(room.created_s), room.participants_max === null ? "any number" : count(room.participants_max)]), all.length ? "No room has such a name." : "No room is open.")),
    ];
  },
};

/** A dangerous button asks once more, in its own place. */
function confirmed(text, sure, act) {
  const button = el("button", { type: "button", class: "small danger", "aria-label": text }, text);
  let armed = false;
  button.addEventListener("click", () => {
    if (armed) return act();
    armed = true;
    button.textContent = sure;
    setTimeout(() => {
      armed = false;
      button.textContent = text;
    }, 4000);
  });
  return button;
}

/** What somebody may do: their role, and a list of others. */
function roles(room, one, act) {
  if (one.door === "whep") return null;
  return el("select", { class: "small", "aria-label": `Role of ${one.name || one.identity}`, onchange: (event) => act(api.place(room.name, one.identity, { role: event.target.value })) },
    ["host", "cohost", "speaker", "viewer"].map((role) => el("option", { value: role, selected: one.role === role }, role)));
}

/** Where somebody is, and where else they could be. */
function places(room, one, act) {
  if (!room.breakouts || one.door !== "call") return null;
  return el("select", { class: "small", "aria-label": `Room of ${one.name || one.identity}`, onchange: (event) => act(api.move(room.name, one.identity, event.target.value === "" ? null : Number(event.target.value))) },
    el("option", { value: "", selected: one.breakout === null }, "main room"), room.breakouts.rooms.map(({ breakout, name }) => el("option", { value: breakout, selected: one.breakout === breakout }, name)));
}

function waitingPanel(room, act) {
  return panel("Waiting to be let in", table(["Name", "For", ""], room.waiting.map((one) => [
    one.name || one.identity, since(one.since_unix_ms / 1000),
    el("span", { class: "acts" }, el("button", { type: "button", class: "small", onclick: () => act(api.admit(room.name, one.identity)) }, "Admit"), confirmed("Deny", "Really deny?", () => act(api.remove(room.name, one.identity)))),
  ]), "Nobody waits."));
}

/** What was said, in a line. */
function inWords({ kind, body }) {
  if (kind === "chat") return `${body.to_identity ? `(to ${body.to_identity}) ` : ""}${body.text}`;
  if (kind === "chat_deleted") return "deleted a message";
  if (kind === "poll") return `${body.question} ${body.options.map((option, n) => `${option}: ${body.votes?.[n] ?? 0}`).join(", ")}`;
  return JSON.stringify(body);
}

function historyPanel(room, history, act) {
  if (history.error) return panel("Chat and polls", unavailable(history.error));
  const save = async () => {
    const url = URL.createObjectURL(await api.exported({ room: room.name }));
    el("a", { href: url, download: `${room.name}.jsonl` }).click();
    URL.revokeObjectURL(url);
  };
  const acts = el("span", { class: "acts" }, el("button", { type: "button", class: "small", onclick: () => act(save()) }, "Export"), confirmed("Delete all", "Really delete?", () => act(api.forget({ room: room.name }))));
  const when = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });
  const section = panel("Chat and polls", table(["When", "Who", "What", "Kind"], history.entries.map((entry) => [when.format(entry.at_ms), entry.identity, inWords(entry), entry.kind.replace("_", " ")]), "Nothing was kept of this room."));
  section.firstChild.replaceWith(el("div", { class: "title" }, section.firstChild.cloneNode(true), history.entries.length ? acts : null));
  return section;
}

function roomView({ room, quality, history }, again) {
  const act = (promise) => promise.then(() => again(), (error) => again(true, error.message));
  const person = (one) => {
    const silenced = one.publications.some(({ muted_by_server }) => muted_by_server);
    return [
      el("span", {}, one.name || one.identity, one.hidden ? el("span", { class: "tag" }, "hidden") : null, room.speakers.includes(one.id) ? el("span", { class: "tag live" }, "speaks") : null),
      badge(one.quality?.score.all), { call: "call", whip: "WHIP", whep: "WHEP" }[one.door], one.reconnecting ? "reconnecting" : one.connected ? since(one.joined_s).replaceAll(" ", "\u00a0") : "no media yet",
      el("span", { class: "acts" }, roles(room, one, act), places(room, one, act)),
      one.publications.map(({ source, muted }) => `${source.replace("_", " ")}${muted ? " (muted)" : ""}`).join(", ") || "nothing",
      rate(one.estimate_bps), ms(one.quality?.rtt_ms), percent(one.quality?.loss_uplink), percent(one.quality?.loss_downlink),
      [one.quality?.browser, one.quality?.device, one.quality?.network, one.quality?.region].filter(Boolean).join(", ") || "not told",
      el("span", { class: "acts" }, one.publications.length ? el("button", { type: "button", class: "small", onclick: () => act(api.mute(room.name, one.identity, !silenced)) }, silenced ? "Unmute" : "Mute") : null,
        confirmed("Remove", "Really remove?", () => act(api.remove(room.name, one.identity)))),
    ];
  };
  return [
    el("p", {}, el("a", { href: "#rooms" }, "← All rooms")),
    el("div", { class: "title" }, el("h1", {}, room.name), el("span", { class: "acts" },
      el("button", { type: "button", class: "small", "aria-pressed": String(room.locked), onclick: () => act(api.change(room.name, { locked: !room.locked })) }, "Lock"),
      el("button", { type: "button", class: "small", "aria-pressed": String(room.waiting_room), onclick: () => act(api.change(room.name, { waiting_room: !room.waiting_room })) }, "Waiting room"), confirmed("End room", "Really end it for all?", () => act(api.endRoom(room.name).then(() => { location.hash = "#rooms"; }))))),
    el("dl", { class: "tiles" }, tile("People", count(room.participants.length), room.participants_max === null ? null : `of ${count(room.participants_max)}`), tile("Open for", since(room.created_s)), tile("Speak", count(room.speakers.length))),
    panel("People", table(["Name", "Score", "By", "For", "As", "Sends", "Toward them", "Round trip", "Lost to us", "Lost to them", "With", ""], room.participants.map(person), "Nobody is in it.")),
    room.waiting.length || room.waiting_room ? waitingPanel(room, act) : null,
    panel("Score of each in the last hour", quality.error ? unavailable(quality.error) : scorePlot(quality)),
    historyPanel(room, history, act),
    room.metadata ? panel("Metadata", el("pre", {}, room.metadata)) : null,
  ].filter(Boolean);
}

// ---- nodes

let before = null;

/** Rates since the last look, over all shards. */
function traffic(metrics) {
  const sum = (name, labels = {}) => metrics.filter((line) => line.name === name && Object.entries(labels).every(([key, value]) => line.labels[key] === value)).reduce((all, { value }) => all + value, 0);
  const reading = {
    at: Date.now() / 1000,
    in: sum("pointsman_engine_bytes_total", { direction: "in" }),
    out: sum("pointsman_engine_bytes_total", { direction: "out" }),
    busy: Object.fromEntries(metrics.filter(({ name }) => name === "pointsman_engine_busy_seconds_total").map(({ labels, value }) => [labels.shard, value])),
  };
  if (!before || reading.at - before.reading.at > 1) before = { reading, last: before?.reading ?? null };
  const { last, reading: current } = before;
  const seconds = last ? current.at - last.at : 0;
  const per_s = (field) => (seconds > 0 ? Math.max(0, current[field] - last[field]) / seconds : null);
  const bps = (field) => (per_s(field) === null ? null : per_s(field) * 8);
  return {
    in_bps: bps("in"), out_bps: bps("out"), sum,
    allocations: sum("pointsman_turn_allocations"),
    busy: Object.entries(current.busy).map(([shard, value]) => ({ shard, share: seconds > 0 ? Math.max(0, value - (last.busy[shard] ?? 0)) / seconds : null })),
  };
}

export const nodes = {
  every: 5000,
  load: async () => ({ metrics: await api.metrics() }),
  draw({ metrics }) {
    if (!metrics) return [panel("This node", el("p", { class: "quiet" }, "Its metrics are served on the plain http listener alone. Open the dashboard there, or set metrics_everywhere in [http]."))];
    const { sum, busy, in_bps, out_bps, allocations } = traffic(metrics);
    const version = metrics.find(({ name }) => name === "pointsman_build_info")?.labels.version ?? "";
    const trains = sum("pointsman_engine_train_length_count");
    const lines = (name) => metrics.filter((line) => line.name === name && line.value > 0);
    const dropped = {};
    for (const [part, name] of [["engine", "pointsman_engine_drops_total"], ["forwarding", "pointsman_sfu_drops_total"], ["TURN", "pointsman_turn_drops_total"]]) {
      for (const { labels, value } of lines(name)) dropped[`${part}: ${labels.reason.replaceAll("_", " ")}`] = (dropped[`${part}: ${labels.reason.replaceAll("_", " ")}`] ?? 0) + value;
    }
    const drops = Object.entries(dropped).sort((a, b) => b[1] - a[1]).slice(0, 20);
    const lost = sum("pointsman_control_history_total", { outcome: "lost" });
    return [
      el("dl", { class: "tiles" },
        tile("This node", `v${version}`, `up ${since(sum("process_start_time_seconds"))}`),
        tile("Going out", rate(out_bps), `${rate(in_bps)} coming in`),
        tile("Mean train", trains ? (sum("pointsman_engine_train_length_sum") / trains).toFixed(1) : "–", "datagrams a send"),
        tile("Kernel drops", count(sum("pointsman_engine_kernel_drops_total")), "receive buffers full", sum("pointsman_engine_kernel_drops_total") ? "poor" : ""),
        tile("TURN allocations", count(allocations)),
        tile("History", sum("pointsman_control_history_away") ? "stopped" : "kept", lost ? `${count(lost)} entries lost` : null, sum("pointsman_control_history_away") ? "poor" : ""),
        tile("Webhooks", count(sum("pointsman_control_webhooks_total", { outcome: "delivered" })), `${count(sum("pointsman_control_webhooks_total", { outcome: "lost" }))} lost`),
      ),
      panel("Packet threads", bars({ title: "How busy each packet thread is", max: 1, kind: (share) => (share > 0.8 ? "poor" : share > 0.5 ? "fair" : "good"), rows: busy.map(({ shard, share }) => ({ name: `thread ${shard}`, value: share, says: share === null ? "measuring…" : `${percent(share)} busy, ${count(sum("pointsman_sfu_participants", { shard }))} people` })) })),
      panel("Dropped since the start", table(["Reason", "Datagrams"], drops.map(([reason, value]) => [reason, count(value)]), "Nothing was dropped.")),
    ];
  },
};
