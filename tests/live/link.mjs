// A viewer behind a link that becomes narrow and wide again, or loses packets: what arrives, how soon it adapts, whether it freezes.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { behindLink, chromium, HTTP, server, sleep, until } from "./lab.mjs";

const WIDE = 2000;
const NARROW = 500;
/** What is watched of a phase, once it is steady. */
const STEADY_MS = 10_000;

// Asked inside a page: what has arrived of the one camera.
async function received() {
  const stats = [...(await window.pointsman.pc.getStats()).values()];
  const video = stats.find((x) => x.type === "inbound-rtp" && x.kind === "video" && x.bytesReceived > 0);
  const pair = stats.find((x) => x.type === "candidate-pair" && x.nominated && x.state === "succeeded");
  const camera = [...window.pointsman.participants.values()].flatMap((someone) => [...someone.publications.values()]).find((one) => one.source === "camera");
  return video && {
    at: performance.now(), bytes: pair?.bytesReceived ?? 0, width: video.frameWidth, frames: video.framesDecoded, freezes: video.freezeCount, frozen: video.totalFreezesDuration,
    rtt: pair?.currentRoundTripTime, quality: camera?.quality, estimate: window.pointsman.estimateBps,
  };
}

describe("a viewer behind a narrow link", () => {
  let link, pointsman, browsers, publisher, viewer;
  before(async () => {
    link = behindLink();
    link.rate(WIDE);
    pointsman = await server({ shards: 1, address: link.near });
    browsers = await Promise.all([chromium(), chromium({ space: link.space })]);
    publisher = await browsers[0].tab("Ada", 120, { width: 960, height: 540, noise: 150 });
    viewer = await browsers[1].tab("Grace", 220);
    await viewer.page.setViewportSize({ width: 1600, height: 1000 });
    for (const [tab, address] of [[publisher, HTTP], [viewer, `https://${link.near}:5349`]]) {
      await tab.open(`${address}/?room=link&join=1&token=${pointsman.token("link", tab.name)}`);
      await tab.page.waitForFunction(() => window.pointsman?.state === "connected", null, { timeout: 20_000 });
    }
    await viewer.meets([publisher], 20_000);
    // The camera alone on the stage.
    await viewer.page.locator('.tile[data-identity="Ada"]').getByRole("button", { name: "Pin Ada" }).click();
  });
  after(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    await pointsman.stop();
    link.close();
  });

  const now = () => viewer.page.evaluate(received);

  /** What arrives during so long: kbit/s of all that is sent to the viewer, longest freeze, worst round trip. */
  async function watch(ms) {
    const first = await now();
    const rtts = [];
    for (const end = Date.now() + ms; Date.now() < end; await sleep(500)) rtts.push((await now()).rtt ?? 0);
    const last = await now();
    return {
      kbit: Math.round(((last.bytes - first.bytes) * 8) / (last.at - first.at)), fps: Math.round(((last.frames - first.frames) * 1000) / (last.at - first.at)),
      freezes: last.freezes - first.freezes, frozen: last.frozen - first.frozen, rtt_ms: Math.round(1000 * Math.max(...rtts)), width: last.width, quality: last.quality, estimate: last.estimate,
    };
  }

  /** Waits for a picture of other width; returns how long that took. */
  async function becomes(width, ms) {
    const since = Date.now();
    await until(`pictures ${width} wide`, ms, async () => (await now())?.width === width).catch(async (error) => {
      throw new Error(JSON.stringify(await now()), { cause: error });
    });
    return Date.now() - since;
  }

  it("uses a wide link", async (t) => {
    t.diagnostic(`the large picture came after ${await becomes(960, 20_000)} ms`);
    await sleep(3000);
    const seen = await watch(STEADY_MS);
    t.diagnostic(JSON.stringify(seen));
    assert.equal(seen.width, 960);
    assert.equal(seen.freezes, 0, "freezes on a wide link");
  });

  it("steps down when the link becomes narrow, without filling its queue", async (t) => {
    const before = await now();
    link.rate(NARROW);
    const since = Date.now();
    await until("a smaller picture", 15_000, async () => (await now()).width < 960);
    t.diagnostic(`a smaller picture after ${Date.now() - since} ms`);
    await sleep(3000);
    const after = await now();
    t.diagnostic(`while it stepped down: ${after.freezes - before.freezes} freezes, ${(after.frozen - before.frozen).toFixed(2)} s`);
    const seen = await watch(STEADY_MS);
    t.diagnostic(JSON.stringify(seen));
    assert.ok(seen.width < 960 && seen.fps > 5, JSON.stringify(seen));
    assert.ok(seen.frozen < 1, JSON.stringify(seen));
    assert.ok(seen.rtt_ms < 150, JSON.stringify(seen));
  });

  it("comes back when the link is wide again", async (t) => {
    link.rate(WIDE);
    t.diagnostic(`the large picture came back after ${await becomes(960, 30_000)} ms`);
    const seen = await watch(STEADY_MS);
    t.diagnostic(JSON.stringify(seen));
    assert.equal(seen.freezes, 0, "freezes on a wide link");
  });

  it("keeps its picture moving while one packet in ten is lost", async (t) => {
    link.loss(10);
    await sleep(3000);
    const seen = await watch(2 * STEADY_MS);
    t.diagnostic(JSON.stringify(seen));
    assert.ok(seen.fps > 5 && seen.frozen < 3, JSON.stringify(seen));
  });
});
