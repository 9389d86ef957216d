/**
 * Tells the server every few seconds how well we see and hear: what the browser measures (getStats), as differences since the last time.
 * The server puts its own view beside it, keeps it, and shows it on the dashboard. `Room` starts it by itself; see its option `report`.
 */

const INTERVAL_MS = 5000;
/** Words that the server takes are no longer. */
const WORD_MAX = 64;

/** @param {import("./pointsman.js").Room} room @param {number} [interval] in milliseconds */
export function report(room, interval = INTERVAL_MS) {
  const reporter = new Reporter(room);
  const next = async () => {
    if (room.state === "closed") return;
    // What goes wrong here is nobody's call.
    await reporter.send().catch(() => {});
    setTimeout(next, interval);
  };
  // The first look is only the beginning of the first interval.
  reporter.measure().catch(() => {});
  setTimeout(next, interval);
}

/** What somebody's browser, device, network and place are called. */
export function client() {
  const agent = navigator.userAgentData;
  const brand = agent?.brands?.find(({ brand }) => !/not.?a.?brand|chromium/i.test(brand)) ?? agent?.brands?.find(({ brand }) => /chromium/i.test(brand));
  const browser = brand ? `${brand.brand} ${brand.version}` : browserOf(navigator.userAgent);
  const mobile = agent?.mobile ?? /Mobi|Android|iPhone|iPad/i.test(navigator.userAgent);
  const system = agent?.platform || /Windows|Android|iPhone|iPad|Mac OS|Linux/.exec(navigator.userAgent)?.[0] || "";
  const word = (text) => String(text ?? "").slice(0, WORD_MAX);
  return {
    browser: word(browser),
    device: word(`${mobile ? "mobile" : "desktop"} ${system}`.trim()),
    region: word(Intl.DateTimeFormat().resolvedOptions().timeZone),
  };
}

function browserOf(agent) {
  const [, name, version] = /(Firefox|Edg|OPR|Chrome)\/(\d+)/.exec(agent) ?? (/Version\/(\d+).*Safari/.exec(agent) ? ["", "Safari", /Version\/(\d+)/.exec(agent)[1]] : []);
  return name ? `${name} ${version}` : "";
}

class Reporter {
  #room;
  #before = new Map();
  #at = performance.now();
  #about = client();

  constructor(room) {
    this.#room = room;
  }

  async send() {
    const measured = await this.measure();
    if (measured && this.#room.state !== "closed") await this.#room.request("stats", measured);
  }

  /** What happened since the last time. */
  async measure() {
    if (!this.#room.pc) return null;
    const stats = [...(await this.#room.pc.getStats()).values()];
    const now = performance.now();
    const interval_ms = Math.min(600_000, Math.max(1, Math.round(now - this.#at)));
    this.#at = now;
    const pair = this.#pair(stats);
    const report = {
      ...this.#about,
      interval_ms,
      network: this.#network(stats, pair),
      inbound: stats.filter(({ type, mid }) => type === "inbound-rtp" && mid).map((stat) => this.#inbound(stat, interval_ms)),
      outbound: this.#outbound(stats),
    };
    if (pair?.currentRoundTripTime !== undefined) report.rtt_ms = whole(pair.currentRoundTripTime * 1000);
    return report;
  }

  #pair(stats) {
    const selected = stats.find(({ type }) => type === "transport")?.selectedCandidatePairId;
    return stats.find(({ type, id, nominated, state }) => type === "candidate-pair" && (selected ? id === selected : nominated && state === "succeeded"));
  }

  /** The kind of network where the browser tells it, and how the packets go. */
  #network(stats, pair) {
    const local = stats.find(({ id }) => id === pair?.localCandidateId);
    const kind = navigator.connection?.type ?? local?.networkType ?? "";
    const way = local?.candidateType === "relay" ? `relayed ${local.relayProtocol ?? ""}`.trim() : (local?.protocol ?? "");
    return `${kind === "unknown" ? "" : kind} ${way}`.trim().slice(0, WORD_MAX);
  }

  #inbound(stat, interval_ms) {
    const since = this.#since(stat.id, stat, ["packetsReceived", "packetsLost", "freezeCount", "totalFreezesDuration", "framesDecoded", "jitterBufferDelay", "jitterBufferEmittedCount"]);
    const row = { mid: stat.mid, video: stat.kind === "video", packets: whole(since.packetsReceived), lost: whole(since.packetsLost), jitter_ms: whole((stat.jitter ?? 0) * 1000) };
    if (since.jitterBufferEmittedCount > 0) row.delay_ms = Math.min(600_000, whole((since.jitterBufferDelay / since.jitterBufferEmittedCount) * 1000));
    if (!row.video) return row;
    row.frames_per_s = Math.min(1000, whole((since.framesDecoded * 1000) / interval_ms));
    row.width = whole(stat.frameWidth);
    row.height = whole(stat.frameHeight);
    row.freezes = whole(since.freezeCount);
    row.frozen_ms = Math.min(interval_ms, whole(since.totalFreezesDuration * 1000));
    return row;
  }

  /** A line for each m-line; of several layers the largest picture counts, and the packets of all. */
  #outbound(stats) {
    const rows = new Map();
    for (const stat of stats) {
      if (stat.type !== "outbound-rtp" || !stat.mid) continue;
      const since = this.#since(stat.id, stat, ["packetsSent"]);
      const remote = stats.find(({ type, id, localId }) => type === "remote-inbound-rtp" && (id === stat.remoteId || localId === stat.id));
      const row = rows.get(stat.mid) ?? { mid: stat.mid, video: stat.kind === "video", packets: 0, frames_per_s: 0, width: 0, height: 0, limitation: "" };
      row.packets += whole(since.packetsSent);
      if ((stat.frameHeight ?? 0) >= row.height) {
        row.width = whole(stat.frameWidth);
        row.height = whole(stat.frameHeight);
        row.frames_per_s = Math.min(1000, whole(stat.framesPerSecond));
        row.limitation = String(stat.qualityLimitationReason ?? "").slice(0, WORD_MAX);
      }
      if (remote?.fractionLost !== undefined) row.lost_ppm = Math.min(1_000_000, Math.max(row.lost_ppm ?? 0, whole(remote.fractionLost * 1e6)));
      rows.set(stat.mid, row);
    }
    return [...rows.values()].slice(0, 32);
  }

  /** How much counters grew. One that went back began anew. */
  #since(id, stat, names) {
    const before = this.#before.get(id) ?? {};
    const now = Object.fromEntries(names.map((name) => [name, Number(stat[name] ?? 0)]));
    this.#before.set(id, now);
    return Object.fromEntries(names.map((name) => [name, Math.max(0, now[name] - (before[name] ?? 0))]));
  }
}

const whole = (number) => Math.max(0, Math.round(Number(number) || 0));
