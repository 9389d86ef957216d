// A viewer behind a link that becomes narrow and wide again, loses packets, or delivers them unevenly: what arrives, how soon it adapts, whether it freezes. The same
// camera, link and browsers for Pointsman and for Janus; both figures are printed side by side, and Pointsman's must not become bad.
//
// LINK_LOG=FILE: what is seen twice a second, a line of JSON each.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import { after, before, describe, it } from "node:test";
import { accept, answer, blank, janus, offer, videoroom } from "./janus.mjs";
import { behindLink, chromium, HTTP, server, sleep, until } from "./lab.mjs";

const WIDE = 3000;
const NARROW = 500;
const CAMERA = { width: 960, height: 540, noise: 150 };
/** The large layer with sound is four fifths of the wide link, the middle one with sound of the narrow link. By Pointsman's rids, the smallest first. */
const LAYERS = {
  q: { scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  h: { scaleResolutionDownBy: 2, maxBitrate: 350_000 },
  f: { scaleResolutionDownBy: 1, maxBitrate: 2_300_000 },
};

/** Of IP and UDP, which getStats does not count. */
const HEADERS = 28;
/** So long after a change it is steady. */
const SETTLES_MS = 3_000;
/** So long the link is at its best before a phase that does not follow from the one before. */
const CALM_MS = 15_000;
/** So long a change of layer is waited for. */
const PATIENCE_MS = 20_000;

const large = (width) => width === CAMERA.width;
const smaller = (width) => width < CAMERA.width;
const moves = ({ fps, gap_ms }) => fps > 8 && gap_ms < 1500;
/** `changed`: the layer that is waited for; without, the phase stands for itself. `must`: what a run of Pointsman fails without; it does better, but machines may be busy. */
const PHASES = [
  { name: "3 Mbit/s", kbit: WIDE, watch_ms: 20_000, must: (seen) => seen.width === CAMERA.width && seen.used > 0.6 && moves(seen) },
  { name: "falls to 0.5", kbit: NARROW, changed: smaller, watch_ms: 20_000, must: (seen) => seen.changed_ms < 3_000 && seen.used > 0.5 && seen.queue_ms < 150 && moves(seen) },
  { name: "3 again", kbit: WIDE, changed: large, watch_ms: 20_000, must: (seen) => seen.changed_ms < 15_000 && seen.width === CAMERA.width && seen.used > 0.6 && moves(seen) },
  { name: "5 % lost", kbit: WIDE, loss: 5, watch_ms: 30_000, must: moves },
  { name: "10 % lost, 25 ms each way", kbit: WIDE, loss: 10, delay: { there: 25, back: 25 }, watch_ms: 60_000, must: moves },
  { name: "100 ± 30 ms there", kbit: WIDE, delay: { there: 100, jitter: 30 }, watch_ms: 40_000 },
];

/** Publisher: the client with layers of ours. Viewer: the page, with the camera on its stage. */
async function pointsman(link) {
  const running = await server({ shards: 1, address: link.near });
  return {
    async publish({ page, name }) {
      await page.goto(`${HTTP}/client/pointsman.js`);
      const encodings = Object.entries(LAYERS).map(([rid, layer]) => ({ rid, ...layer }));
      await page.evaluate(async ({ token, encodings }) => {
        const { Room } = await import("/client/pointsman.js");
        const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
        const room = new Room();
        await room.connect(location.origin, token, { tracks: stream.getTracks().map((track) => ({ track, ...(track.kind === "video" && { encodings }) })) });
        window.pc = room.pc;
      }, { token: running.token("link", name), encodings });
    },
    async view(tab, whose) {
      await tab.open(`https://${link.near}:5349/?room=link&join=1&token=${running.token("link", tab.name, "--no-publish")}`);
      await tab.inCall();
      await tab.tile(whose).getByRole("button", { name: `Pin ${whose}` }).click();
      await tab.page.evaluate(() => (window.pc = window.pointsman.pc));
    },
    picture: (whose) => `.tile[data-kind="camera"][data-identity="${whose}"] video`,
    close: () => running.stop(),
  };
}

/**
 * Janus with Debian's configuration: full ICE, transport-wide feedback to publishers, NACK and RTX to viewers. The room lets the publisher send all that it likes
 * to. The viewer asks for the best layer (`substream` and `temporal` 2, which are the defaults, too) and leaves the rest to Janus: after `fallback` without packets of
 * a substream it forwards the one below. It has no estimate of a viewer's link; an application that wants one asks for other layers itself.
 */
async function debianJanus() {
  const running = await janus();
  const rooms = [];
  const join = async () => rooms[rooms.push(await videoroom()) - 1];
  let feed;
  return {
    async publish(tab) {
      const room = await join();
      await room.ask({ request: "create", room: 1, publishers: 1, bitrate: 10_000_000, videocodec: "vp8" });
      feed = (await room.ask({ request: "join", ptype: "publisher", room: 1, display: tab.name })).id;
      await blank(tab);
      // Its documentation names them so, the largest first.
      const { q: l, h: m, f: h } = LAYERS;
      const offered = await tab.page.evaluate(offer, Object.entries({ h, m, l }).map(([rid, layer]) => ({ rid, ...layer })));
      const { jsep } = await room.ask({ request: "publish" }, offered);
      await tab.page.evaluate(accept, jsep);
      await until("the camera is there to subscribe to", 10_000, async () => {
        const { participants } = await room.ask({ request: "listparticipants", room: 1 });
        return participants.some(({ publisher }) => publisher);
      });
    },
    async view(tab) {
      const room = await join();
      const { jsep, streams } = await room.ask({ request: "join", ptype: "subscriber", room: 1, streams: [{ feed }] });
      await blank(tab);
      await room.ask({ request: "start" }, await tab.page.evaluate(answer, jsep));
      const { mid } = streams.find(({ type }) => type === "video");
      await room.ask({ request: "configure", streams: [{ mid, substream: 2, temporal: 2, fallback: 250_000 }] });
    },
    picture: () => "video",
    async close() {
      for (const room of rooms) await room.close();
      await running.stop();
    },
  };
}

// Inside a page: keeps when each picture was shown, and how wide it was.
function keepPictures(selector) {
  const video = document.querySelector(selector);
  window.pictures = [];
  const keep = (_, { presentationTime, presentedFrames, width }) => {
    window.pictures.push({ at: performance.timeOrigin + presentationTime, count: presentedFrames, width });
    video.requestVideoFrameCallback(keep);
  };
  video.requestVideoFrameCallback(keep);
}

// Inside a page: what has arrived.
async function arrived() {
  const stats = [...(await window.pc.getStats()).values()];
  const video = stats.find((x) => x.type === "inbound-rtp" && x.kind === "video" && x.bytesReceived > 0);
  const path = stats.find((x) => x.type === "transport");
  const pair = stats.find((x) => x.id === path.selectedCandidatePairId);
  const [someone] = window.pointsman?.participants.values() ?? [];
  const camera = [...(someone?.publications.values() ?? [])].find(({ source }) => source === "camera");
  return {
    at: Date.now(),
    // All that comes over the path, and of the picture what is no padding.
    bytes: path.bytesReceived, packets: path.packetsReceived, rtt: pair?.currentRoundTripTime, media: video?.bytesReceived ?? 0,
    freezes: video?.freezeCount ?? 0, frozen: video?.totalFreezesDuration ?? 0,
    // For the log.
    repeated: video?.retransmittedBytesReceived, lost: video?.packetsLost, plis: video?.pliCount, width: video?.frameWidth, fps: video?.framesPerSecond,
    ...(camera && { estimate: window.pointsman.estimateBps, quality: camera.quality }),
  };
}

// Inside a page: what is sent, by layer, and whether that is all that the layer may take.
async function sent() {
  const video = window.pc.getSenders().find(({ track }) => track?.kind === "video");
  const stats = [...(await video.getStats()).values()].filter(({ type }) => type === "outbound-rtp");
  return video.getParameters().encodings.map(({ rid, maxBitrate }) => {
    const { targetBitrate = 0, framesPerSecond, frameWidth, keyFramesEncoded } = stats.find((one) => one.rid === rid) ?? {};
    return { rid, full: targetBitrate > 0.95 * maxBitrate, targetBitrate, framesPerSecond, frameWidth, keyFramesEncoded };
  });
}

const log = (line) => process.env.LINK_LOG && fs.appendFileSync(process.env.LINK_LOG, `${JSON.stringify(line)}\n`);
const worst = (values) => Math.max(0, ...values);
const percentile = (values, share) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)];

/** The longest time without a new picture. */
function longestGap(pictures, from, to) {
  const times = [pictures.findLast(({ at }) => at <= from)?.at ?? from, ...pictures.map(({ at }) => at).filter((at) => at > from && at < to), to];
  return worst(times.slice(1).map((at, n) => at - times[n]));
}

/** The width of most pictures. */
function usualWidth(pictures) {
  const counts = new Map();
  for (const { width } of pictures) counts.set(width, (counts.get(width) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

const sum = (values) => values.reduce((a, b) => a + b, 0);
/** Of all processors. */
const spent = () => ({ idle: sum(os.cpus().map(({ times }) => times.idle)), all: sum(os.cpus().flatMap(({ times }) => Object.values(times))) });

/** Makes the link what the phase says and watches what becomes of the viewer's picture. */
async function pass(name, link, { publisher, viewer }, { kbit, loss, delay, changed, watch_ms, ...phase }) {
  const look = () => viewer.page.evaluate(arrived);
  const make = (kbit, loss = 0, delay = {}) => {
    link.rate(kbit);
    link.loss(loss);
    link.delay(delay);
  };
  if (!changed) {
    make(WIDE);
    await sleep(CALM_MS);
  }
  const from = Date.now();
  make(kbit, loss, delay);
  const before = await look();

  const queue = [];
  const rtts = [];
  let watching = true;
  const watch = (async () => {
    for (let n = 0; watching; n++, await sleep(100)) {
      queue.push({ at: Date.now(), ms: await link.queue() });
      if (n % 5) continue;
      const seen = await look();
      if (seen.rtt !== undefined) rtts.push({ at: seen.at, ms: 1000 * seen.rtt });
      log({ subject: name, phase: phase.name, since: seen.at - from, queue: Math.round(queue.at(-1).ms), ...seen });
    }
  })();

  const pictures = () => viewer.page.evaluate((from) => window.pictures.filter(({ at }) => at >= from - 1000), from);
  const change = async () => {
    await sleep(200); // the page has better things to do than to answer
    return (await pictures()).find(({ at, width }) => at > from && changed(width));
  };
  const changedAt = changed && (await until("another layer", PATIENCE_MS, change).catch(() => null))?.at;
  await sleep(Math.max(0, from + SETTLES_MS - Date.now()));
  const steady = Math.max(from + SETTLES_MS, changedAt ?? 0);
  const [first, spentFirst] = [await look(), spent()];
  await sleep(watch_ms);
  const [last, spentLast] = [await look(), spent()];
  watching = false;
  await watch;

  const shown = await pictures();
  const seen = shown.filter(({ at }) => at >= first.at && at <= last.at);
  const during = ({ at }) => at >= steady && at <= last.at;
  const seconds = (last.at - first.at) / 1000;
  log({ subject: name, phase: phase.name, sent: await publisher.page.evaluate(sent) });
  return {
    used: ((last.bytes - first.bytes + HEADERS * (last.packets - first.packets)) * 8) / (kbit * 1000 * seconds),
    media: ((last.media - first.media) * 8) / (kbit * 1000 * seconds),
    queue_ms: percentile(queue.filter(during).map(({ ms }) => ms), 0.95),
    rtt_ms: percentile(rtts.filter(during).map(({ ms }) => ms), 0.5),
    changed_ms: changed && (changedAt ? changedAt - from : null),
    gap_ms: longestGap(shown, steady, last.at),
    gap_at_change_ms: longestGap(shown, from, steady),
    freezes: last.freezes - before.freezes,
    frozen: last.frozen - before.frozen,
    fps: seen.length ? (seen.at(-1).count - seen[0].count) / seconds : 0,
    width: usualWidth(seen),
    busy: 1 - (spentLast.idle - spentFirst.idle) / (spentLast.all - spentFirst.all),
  };
}

const percent = (share) => `${Math.round(100 * share)} %`;
const ms = (value) => (value === null ? "never" : value === undefined ? "" : `${Math.round(value)} ms`);
const COLUMNS = {
  used: ({ used }) => percent(used),
  "queue, p95": ({ queue_ms }) => ms(queue_ms),
  "round trip": ({ rtt_ms }) => ms(rtt_ms),
  "layer after": ({ changed_ms }) => ms(changed_ms),
  "longest gap at the change": ({ gap_at_change_ms }) => ms(gap_at_change_ms),
  "longest gap then": ({ gap_ms }) => ms(gap_ms),
  // Browsers count a freeze when it has ended.
  freezes: ({ freezes, frozen, fps }) => (fps === 0 ? "all the time" : freezes ? `${freezes}, ${frozen.toFixed(1)} s` : "0"),
  "pictures/s": ({ fps }) => fps.toFixed(1),
  width: ({ width }) => width ?? "",
  "CPU busy": ({ busy }) => percent(busy),
};

const SUBJECTS = { Pointsman: pointsman, Janus: debianJanus };
const figures = new Map(PHASES.map(({ name }) => [name, {}]));

for (const [name, open] of Object.entries(SUBJECTS)) {
  describe(`a viewer of ${name}`, () => {
    const tabs = {};
    let link, subject, browsers;
    before(async () => {
      link = await behindLink();
      link.rate(WIDE);
      subject = await open(link);
      browsers = await Promise.all([chromium(), chromium({ space: link.space })]);
      tabs.publisher = await browsers[0].tab("Ada", 120, CAMERA);
      tabs.viewer = await browsers[1].tab("Grace", 220);
      await tabs.viewer.page.setViewportSize({ width: 1280, height: 800 });
      await subject.publish(tabs.publisher);
      await subject.view(tabs.viewer, "Ada");
      await tabs.viewer.page.evaluate(keepPictures, subject.picture("Ada"));
      await until("pictures", 20_000, () => tabs.viewer.page.evaluate(() => window.pictures.length > 0));
      await until("the camera is sent in full", 40_000, async () => (await tabs.publisher.page.evaluate(sent)).every(({ full }) => full));
    });
    after(async () => {
      await Promise.all((browsers ?? []).map((browser) => browser.close()));
      await subject?.close();
      await link?.close();
    });

    for (const phase of PHASES)
      it(phase.name, async (t) => {
        const figure = (figures.get(phase.name)[name] = await pass(name, link, tabs, phase));
        t.diagnostic(JSON.stringify(figure));
        if (open === pointsman && phase.must) assert.ok(phase.must(figure), JSON.stringify(figure));
      });
  });
}

after(() => {
  const row = (cells) => `| ${cells.join(" | ")} |`;
  console.log(row(["the link", "", ...Object.keys(COLUMNS)]));
  console.log(row(["---", "---", ...Object.keys(COLUMNS).map(() => "--:")]));
  for (const [phase, bySubject] of figures)
    for (const [name, figure] of Object.entries(bySubject)) console.log(row([phase, name, ...Object.values(COLUMNS).map((cell) => cell(figure))]));
});
