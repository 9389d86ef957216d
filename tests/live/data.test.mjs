// Messages of the application's own, between real browsers: over data channels, and over WebSockets where there are none.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, firefox, HTTP, server, sum, until } from "./lab.mjs";

const ROOM = "data";

// Asked inside a page: joins without camera or microphone, and keeps what comes.
async function join({ url, token, data }) {
  const { Room } = await import("/client/pointsman.js");
  const room = (window.pointsman = new Room());
  window.took = [];
  window.refused = [];
  const hex = (bytes) => [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  room.addEventListener("data", ({ detail: { data, topic, identity, participant, reliable } }) => {
    const text = typeof data === "string";
    window.took.push({ text: text ? data.slice(0, 40) : null, hex: text ? null : hex(data), length: data.length, topic, identity, known: participant?.identity ?? null, reliable });
  });
  room.addEventListener("dataRefused", ({ detail: { error, topic } }) => window.refused.push({ code: error.code, topic }));
  await room.connect(url, token, { data });
}

// Asked inside a page: sends; what goes wrong comes back.
async function send({ data, bytes, options }) {
  const content = bytes === undefined ? data : Uint8Array.from({ length: bytes }, (_, n) => n);
  return window.pointsman.sendData(content, options).then((sent) => ({ sent }), ({ code, message, field }) => ({ code, message, field }));
}

// Asked inside a page: states of the channels and of the transport that carries them.
async function channels() {
  const stats = [...(await window.pointsman.pc.getStats()).values()].filter((x) => x.type === "data-channel");
  return Object.fromEntries(stats.map((x) => [x.label, { state: x.state, sent: x.messagesSent, received: x.messagesReceived }]));
}

describe("participants of a server with two shards", () => {
  let pointsman, browser;
  const tabs = [];
  before(async () => {
    pointsman = await server({ shards: 2 });
    browser = await chromium();
    // Which shard a participant gets is the kernel's hash of its port: with six it is one to thirty-one that all share one.
    for (let n = 0; n < 6; n++) tabs.push(await enter(await browser.tab(`p${n}`)));
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  async function enter(tab, data = true) {
    await tab.page.goto(`${HTTP}/client/pointsman.js`);
    await tab.page.evaluate(join, { url: HTTP, token: pointsman.token(ROOM, tab.name), data });
    return tab;
  }
  const say = (tab, data, options = {}) => tab.page.evaluate(send, { data, options });
  const sayBytes = (tab, bytes, options = {}) => tab.page.evaluate(send, { bytes, options });
  /** Waits for so many messages of a topic, and takes them. */
  async function takes(tab, topic, count) {
    let took;
    await until(`${tab.name} takes ${count} of ${topic}`, 10_000, async () => {
      took = await tab.page.evaluate((wanted) => window.took.filter((message) => message.topic === wanted), topic);
      return took.length >= count;
    });
    assert.equal(took.length, count);
    return took;
  }

  it("reach everyone, on both shards, over channels", async () => {
    assert.deepEqual(await say(tabs[0], "hello", { topic: "all" }), { sent: true });
    for (const tab of tabs.slice(1)) {
      assert.deepEqual(await takes(tab, "all", 1), [{ text: "hello", hex: null, length: 5, topic: "all", identity: "p0", known: "p0", reliable: true }]);
    }
    assert.deepEqual(await say(tabs[1], "soon", { topic: "lossy", reliable: false }), { sent: true });
    for (const tab of tabs.filter((tab) => tab !== tabs[1])) {
      const [{ text, reliable, identity }] = await takes(tab, "lossy", 1);
      assert.deepEqual([text, reliable, identity], ["soon", false, "p1"]);
    }
    for (const tab of tabs) {
      const { reliable, lossy } = await tab.page.evaluate(channels);
      assert.deepEqual([reliable.state, lossy.state], ["open", "open"]);
    }
    assert.equal((await tabs[2].page.evaluate(channels)).reliable.received, 1, "not over the WebSocket");
    // Counters are copied out once a second.
    for (const shard of [0, 1]) {
      const labels = new RegExp(`(?=.*direction="out")(?=.*shard="${shard}")`);
      await until(`shard ${shard} gives out messages`, 5_000, async () => sum(await pointsman.metrics(), "pointsman_sfu_data_messages_total", labels) > 0);
    }
  });

  it("reach one identity and nobody else", async () => {
    await say(tabs[0], "psst", { topic: "one", to: ["p3"] });
    await say(tabs[0], "all", { topic: "then" });
    for (const tab of tabs.slice(1)) await takes(tab, "then", 1);
    await takes(tabs[3], "one", 1);
    for (const n of [1, 2, 4, 5]) await takes(tabs[n], "one", 0);
    // To nobody: told.
    await say(tabs[0], "?", { topic: "nobody", to: ["p9"] });
    await until("p0 is told", 5_000, () => tabs[0].page.evaluate(() => window.refused.some(({ code, topic }) => code === "not_found" && topic === "nobody")));
  });

  it("are as long as allowed, and longer ones get a clear error", async () => {
    await sayBytes(tabs[0], 60_000, { topic: "long" });
    const [{ hex, length, text }] = await takes(tabs[1], "long", 1);
    assert.deepEqual([hex, length, text], ["00010203", 60_000, null]);
    await sayBytes(tabs[0], 65_536, { topic: "longest", to: ["p1"] });
    await takes(tabs[1], "longest", 1);
    const { code, message } = await sayBytes(tabs[0], 65_537, { topic: "longer" });
    assert.equal(code, "too_large");
    assert.match(message, /at most 65536 bytes, this one has 65537/);
    assert.equal((await sayBytes(tabs[0], 20_000, { reliable: false })).code, "too_large");
    assert.deepEqual(await sayBytes(tabs[0], 16_384, { topic: "lossy-long", reliable: false, to: ["p2"] }), { sent: true });
    await takes(tabs[2], "lossy-long", 1);
    assert.deepEqual(await sayBytes(tabs[0], 0, { topic: "nothing", to: ["p1"] }), { sent: true });
    assert.equal((await takes(tabs[1], "nothing", 1))[0].length, 0);
  });

  it("come in order, and a fast sender is slowed instead of losing any", async (t) => {
    const since = Date.now();
    await tabs[0].page.evaluate(async () => {
      for (let n = 0; n < 40; n++) await window.pointsman.sendData(`${n} ${"x".repeat(30_000)}`, { topic: "order", to: ["p4"] });
    });
    let took = [];
    await until("all have come", 30_000, async () => {
      took = await tabs[4].page.evaluate(() => window.took.filter(({ topic }) => topic === "order").map(({ text }) => parseInt(text, 10)));
      return took.length === 40;
    });
    assert.deepEqual(took, Array.from({ length: 40 }, (_, n) => n));
    t.diagnostic(`1.2 MB in ${Date.now() - since} ms`);
  });

  it("go over the WebSocket to and from those without channels", async () => {
    const plain = await enter(await browser.tab("plain"), false);
    assert.deepEqual(await sayBytes(plain, 1000, { topic: "socket", to: ["p1"] }), { sent: true });
    const [{ length, identity, hex }] = await takes(tabs[1], "socket", 1);
    assert.deepEqual([length, identity, hex], [1000, "plain", "00010203"]);
    await say(tabs[1], "answer", { topic: "back", to: ["plain"] });
    assert.equal((await takes(plain, "back", 1))[0].text, "answer");
    assert.equal((await say(plain, "x", { to: ["p9"] })).code, "not_found");
    assert.deepEqual(await plain.page.evaluate(channels), {});
  });

  it("are refused to who may not send them", async () => {
    const payload = JSON.parse(Buffer.from(pointsman.token(ROOM, "quiet").split(".")[1], "base64url"));
    payload.video.canPublishData = false;
    const { createHmac } = await import("node:crypto");
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(payload)}`;
    const token = `${signed}.${createHmac("sha256", "a key secret of more than thirty-two characters").update(signed).digest("base64url")}`;
    const quiet = await browser.tab("quiet");
    await quiet.page.goto(`${HTTP}/client/pointsman.js`);
    await quiet.page.evaluate(join, { url: HTTP, token, data: true });
    await say(quiet, "may I?", { topic: "may" });
    await until("it is told", 5_000, () => quiet.page.evaluate(() => window.refused.some(({ code, topic }) => code === "forbidden" && topic === "may")));
    await say(tabs[0], "listen", { topic: "quiet", to: ["quiet"] });
    await takes(quiet, "quiet", 1);
  });

  it("pass between Chromium and Firefox", async () => {
    const fox = await firefox();
    try {
      const tab = await enter(await fox.tab("fox"));
      await say(tab, "from the fox", { topic: "fox" });
      await takes(tabs[5], "fox", 1);
      await sayBytes(tabs[5], 60_000, { topic: "to-fox", to: ["fox"] });
      assert.equal((await takes(tab, "to-fox", 1))[0].length, 60_000);
      await say(tabs[5], "lossy", { topic: "to-fox-lossy", to: ["fox"], reliable: false });
      await takes(tab, "to-fox-lossy", 1);
      assert.equal((await tab.page.evaluate(channels)).reliable?.state ?? "open", "open");
    } finally {
      await fox.close();
    }
  });
});
