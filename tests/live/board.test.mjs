// Shared screens, several and with sound; a whiteboard, and drawing over a screen.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, people, server, until } from "./lab.mjs";

describe("three people with something to show", () => {
  let pointsman, browser, ann, bob, cat;
  before(async () => {
    pointsman = await server();
    browser = await chromium();
    ({ Ann: ann, Bob: bob, Cat: cat } = await people(pointsman, browser, "show", ["Ann", "Bob", "Cat"]));
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  const screen = (tab, name) => tab.page.locator(`.tile[data-kind="screen"][data-identity="${name}"]`);
  /** How much of a board is painted. */
  const painted = (tile) => tile.locator("canvas.board").evaluate((canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.filter((value, n) => n % 4 === 3 && value > 0).length);
  async function strokes(tab, tile) {
    const box = await tile.locator("canvas.board").boundingBox();
    const at = (x, y) => tab.page.mouse.move(box.x + box.width * x, box.y + box.height * y, { steps: 8 });
    await at(0.3, 0.3);
    await tab.page.mouse.down();
    await at(0.6, 0.7);
    await tab.page.mouse.up();
  }

  it("share two screens at once, which stand on the stage, with their sound", async () => {
    await ann.press("Share screen");
    await bob.press("Share screen");
    for (const name of ["Ann", "Bob"]) await until(`${name}'s screen is seen`, 15_000, async () => (await screen(cat, name).getAttribute("data-picture").catch(() => null)) === "true");
    assert.equal(await screen(cat, "Ann").getAttribute("data-stage"), "true");
    const sounds = () => cat.page.evaluate(() => [...window.pointsman.participants.values()].flatMap(({ publications }) => [...publications.values()]).filter(({ source, track }) => source === "screen_audio" && track).length);
    await until("both sounds arrive", 10_000, async () => (await sounds()) === 2);
    await bob.press("Stop sharing");
    await until("one is gone", 10_000, async () => (await screen(cat, "Bob").count()) === 0);
  });

  it("draw over a shared screen: it is seen on the screen's own tile everywhere", async () => {
    const tile = screen(cat, "Ann");
    await tile.hover();
    await cat.press("Draw over the screen", { within: tile });
    await strokes(cat, tile);
    assert.ok((await painted(tile)) > 100, "who draws sees it at once");
    for (const tab of [ann, bob]) await until(`${tab.name} sees it`, 5_000, async () => (await painted(screen(tab, "Ann"))) > 100);
    await cat.press("Take back the last stroke");
    await until("it is gone", 5_000, async () => (await painted(screen(bob, "Ann"))) === 0);
    await cat.press("Stop drawing");
    await ann.press("Stop sharing");
  });

  it("draw on a whiteboard, which who comes later sees, and the host clears it", async () => {
    const board = (tab) => tab.page.locator('.tile[data-kind="board"]');
    await bob.more("Whiteboard");
    await strokes(bob, board(bob));
    await until("Ann sees it", 5_000, async () => (await board(ann).count()) === 1 && (await painted(board(ann))) > 100);
    await cat.comes(pointsman, "show");
    await cat.inCall();
    await until("Cat sees it, too", 10_000, async () => (await board(cat).count()) === 1 && (await painted(board(cat))) > 100);
    await ann.press("Draw", { within: board(ann) });
    await ann.press("Clear everything");
    for (const tab of [bob, cat]) await until("it is empty", 5_000, async () => (await painted(board(tab))) === 0);
  });
});
