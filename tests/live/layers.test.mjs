// A picture's layer follows the tile that shows it, and the server says why.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, HTTP, server, sleep, until } from "./lab.mjs";

const ROOM = "layers";

// Asked inside a page: what arrives of somebody's camera.
async function received(identity) {
  const room = window.pointsman;
  const participant = [...room.participants.values()].find((someone) => someone.identity === identity);
  const camera = [...(participant?.publications.values() ?? [])].find((publication) => publication.source === "camera");
  if (!camera?.track) return null;
  const stat = [...(await room.pc.getStats()).values()].find((x) => x.type === "inbound-rtp" && x.kind === "video" && x.mid === camera.mid);
  return { width: stat?.frameWidth, bytes: stat?.bytesReceived ?? 0, frames: stat?.framesDecoded ?? 0, quality: camera.quality };
}

// Asked inside a page: which layers of our camera are sent, by rid.
async function sent() {
  const stats = [...(await window.pointsman.pc.getStats()).values()].filter((x) => x.type === "outbound-rtp" && x.kind === "video");
  return Object.fromEntries(stats.map((x) => [x.rid ?? "", x.active]));
}

describe("two participants", () => {
  let pointsman, browsers, publisher, viewer;
  before(async () => {
    pointsman = await server({ shards: 1 });
    browsers = await Promise.all([chromium(), chromium()]);
    publisher = await browsers[0].tab("Ada", 120, { width: 960, height: 540 });
    viewer = await browsers[1].tab("Grace", 220);
    for (const tab of [publisher, viewer]) {
      await tab.open(`${HTTP}/?room=${ROOM}&join=1&token=${pointsman.token(ROOM, tab.name)}`);
      await tab.page.waitForFunction(() => window.pointsman?.state === "connected", null, { timeout: 20_000 });
    }
    await viewer.meets([publisher], 20_000);
  });
  after(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    await pointsman.stop();
  });

  const watched = () => viewer.page.evaluate(received, "Ada");
  const tile = () => viewer.page.locator('.tile[data-identity="Ada"]');

  /** What the server tells an operator of the viewer's subscription to the camera. */
  async function why() {
    const headers = { authorization: `Bearer ${pointsman.token(ROOM, "host", "--admin")}` };
    const response = await fetch(`${HTTP}/api/v1/rooms/${ROOM}/participants/Grace/subscriptions`, { headers });
    assert.equal(response.status, 200);
    const { participants } = await response.json();
    return participants[0].subscriptions.find(({ source, publisher: whose }) => source === "camera" && whose === "Ada");
  }

  /** Waits until pictures of this width arrive; returns how long that took. */
  async function arrives(width) {
    const since = Date.now();
    let last;
    try {
      await until(`pictures ${width} wide`, 15_000, async () => (last = await watched())?.width === width);
    } catch (error) {
      throw new Error(`${JSON.stringify(last)}, the server says ${JSON.stringify(await why())}, Ada sends ${JSON.stringify(await publisher.page.evaluate(sent))}`, { cause: error });
    }
    return Date.now() - since;
  }

  async function large() {
    await viewer.page.setViewportSize({ width: 1600, height: 1000 });
    if ((await tile().getAttribute("data-stage")) !== "true") await tile().getByRole("button", { name: "Pin Ada" }).click();
  }

  it("sends the small layer to a small tile", async (t) => {
    await viewer.page.setViewportSize({ width: 240, height: 400 });
    t.diagnostic(`the small layer came after ${await arrives(240)} ms`);
    // Subscriptions are told of at most twice a second.
    const { preferences } = await until("the server says so", 10_000, async () => {
      const said = await why();
      // Before its other layers have begun, the small one is the best there is.
      return said.current?.spatial === 0 && said.reason === "viewport" && said;
    });
    assert.ok(preferences.width > 0 && preferences.width <= 240 && preferences.visible, JSON.stringify(preferences));
  });

  it("lets the publisher send what somebody wants, and no more", async () => {
    await until("the publisher sends the small layer alone", 15_000, async () => {
      const layers = await publisher.page.evaluate(sent);
      return layers.q === true && layers.h === false && layers.f === false;
    });
  });

  it("sends the large layer to a large tile", async (t) => {
    await large();
    t.diagnostic(`the large layer came after ${await arrives(960)} ms`);
    const { current, reason, bitrate_bps } = await until("the server says so", 15_000, async () => {
      const said = await why();
      return said.current?.spatial === 2 && said.reason === "best" && said;
    });
    assert.equal(current.spatial, 2);
    assert.equal(reason, "best");
    assert.ok(bitrate_bps > 0);
  });

  it("says in the tile's statistics what arrives and why", async () => {
    await tile().getByRole("button", { name: "Statistics of Ada" }).press("Enter");
    const panel = tile().locator(".statistics");
    await until("the panel tells the size", 5_000, async () => /960 × 540/.test(await panel.innerText()));
    assert.match(await panel.innerText(), /Why no more\s+the best there is/);
    await tile().getByRole("button", { name: "Statistics of Ada" }).press("Enter");
    assert.ok(await panel.isHidden());
  });

  it("sends nothing to a tile that is not shown, and goes on when it is", async (t) => {
    await tile().evaluate((element) => (element.style.display = "none"));
    await until("the server knows", 10_000, async () => (await why()).reason === "hidden");
    assert.equal((await why()).current, null);
    await sleep(500);
    const before = await watched();
    await sleep(1500);
    assert.equal((await watched()).bytes, before.bytes, "bytes of a picture that nobody sees");
    await tile().evaluate((element) => (element.style.display = ""));
    const since = Date.now();
    await until("pictures come again", 10_000, async () => (await watched()).frames > before.frames + 5);
    t.diagnostic(`pictures came again after ${Date.now() - since} ms`);
  });

  it("tells who speaks", async () => {
    await until("somebody speaks", 10_000, () => viewer.page.evaluate(() => window.pointsman.speakers.length > 0));
    await until("a tile is marked", 2_000, () => viewer.page.evaluate(() => document.querySelectorAll(".tile[data-speaker]").length === 1));
  });
});
