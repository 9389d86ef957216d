// The page itself: the lobby, the keyboard, a phone's width, light and dark, a lost connection.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { chromium, HTTP, people, server, until } from "./lab.mjs";

/** Ends every TCP connection with the server and refuses new ones (or, to `drop`, swallows all that is sent), until what it returns is called. */
function withoutSignalling(how = "reject with tcp reset") {
  if (!execFileSync("ip", ["netns", "identify", String(process.pid)], { encoding: "utf8" }).trim()) throw new Error("this test must not run outside of a network namespace");
  execFileSync("nft", ["-f", "-"], { input: `table inet pointsman_page { chain out { type filter hook output priority 0; tcp dport 8080 ${how}; }; }\n` });
  return () => execFileSync("nft", ["delete", "table", "inet", "pointsman_page"]);
}

describe("the page", () => {
  let pointsman, browser, ann, bob;
  before(async () => {
    pointsman = await server();
    browser = await chromium();
    ({ Ann: ann, Bob: bob } = await people(pointsman, browser, "page", ["Ann", "Bob"]));
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  const label = (tab, kind) => tab.page.locator(`.controls [data-toggle="${kind}"]`).getAttribute("aria-label");

  it("has a lobby with a preview and device pickers, and joins from it", async () => {
    const eve = await browser.tab("Eve", 300, { width: 320, height: 180 });
    await eve.open(`${HTTP}/?token=${pointsman.token("lobby", "Eve")}`);
    await until("the preview shows the camera", 10_000, () => eve.page.evaluate(() => document.getElementById("preview").videoWidth > 0));
    for (const name of ["Camera", "Microphone"]) await eve.page.getByRole("combobox", { name }).waitFor();
    const blur = eve.page.getByRole("checkbox", { name: /Blur my background/ });
    assert.ok(await blur.isDisabled(), "this camera cannot blur: it is said, not pretended");
    await eve.press("Turn camera off");
    await eve.press("Join");
    await eve.inCall();
    assert.equal(await label(eve, "camera"), "Turn camera on");
    await eve.page.context().close();
  });

  it("is driven by the keyboard alone", async () => {
    await ann.page.locator("#gallery").focus();
    await ann.page.keyboard.press("m");
    await until("the microphone is off", 5_000, async () => (await label(ann, "microphone")) === "Unmute microphone");
    await until("Bob is told", 5_000, async () => (await bob.tile("Ann").getAttribute("data-muted")) === "true");
    await ann.page.keyboard.press("m");
    await ann.page.keyboard.press("v");
    await until("the camera is off", 5_000, async () => (await label(ann, "camera")) === "Turn camera on");
    await ann.page.keyboard.press("v");
    await ann.page.keyboard.press("p");
    assert.ok(await ann.page.locator("#panel").isVisible());
    await ann.page.keyboard.press("Escape");
    assert.ok(!(await ann.page.locator("#panel").isVisible()));
    await ann.press("More");
    await ann.page.keyboard.press("ArrowDown");
    assert.equal(await ann.page.evaluate(() => document.activeElement.getAttribute("role")), "menuitem");
    await ann.page.keyboard.press("Escape");
    assert.equal(await ann.page.evaluate(() => document.activeElement.id), "more-button", "the focus is where it was");
    const nameless = await ann.page.evaluate(() => [...document.querySelectorAll("button, input, select, textarea")].filter((element) => element.checkVisibility() && !(element.getAttribute("aria-label") || element.textContent.trim() || element.labels?.length)).length);
    assert.equal(nameless, 0, "everything that can be used has a name");
  });

  it("changes views: gallery, speaker, pinned", async () => {
    await bob.press("Speaker view", { exact: false });
    await until("Ann stands on the stage", 5_000, async () => (await bob.tile("Ann").getAttribute("data-stage")) === "true");
    await bob.press("Gallery view", { exact: false });
    await until("nobody does", 5_000, async () => (await bob.page.locator('.tile[data-stage="true"]').count()) === 0);
    await bob.tile("Ann").hover();
    await bob.press("Pin Ann");
    await until("Ann is pinned", 5_000, async () => (await bob.tile("Ann").getAttribute("data-stage")) === "true");
    await bob.press("Pin Ann");
  });

  it("fits a phone of 360 pixels, in light and in dark", async () => {
    await bob.page.setViewportSize({ width: 360, height: 740 });
    const grounds = [];
    for (const colorScheme of ["light", "dark"]) {
      await bob.page.emulateMedia({ colorScheme });
      grounds.push(await bob.page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    }
    assert.notEqual(grounds[0], grounds[1]);
    const outside = () => bob.page.evaluate(() => [...document.querySelectorAll("button, input, select, .tile")].filter((element) => element.checkVisibility()).map((element) => [element.id || element.className, element.getBoundingClientRect()]).filter(([, box]) => box.left < -1 || box.right > innerWidth + 1).map(([name]) => name));
    // The page lays its tiles out when the browser tells it of its new size.
    const fits = (what) => until(`${what} fit`, 2_000, async () => (await outside()).length === 0).catch(async (error) => assert.deepEqual(await outside(), [], error.message));
    await fits("the tiles");
    await bob.more("People");
    await fits("the tiles and the panel");
    await bob.press("Close the panel");
    await bob.page.setViewportSize({ width: 1280, height: 720 });
  });

  it("says how good the connection is", async () => {
    await ann.page.getByRole("img", { name: /^Connection: (good|fair)/ }).waitFor({ timeout: 10_000 });
  });

  it("notices a network that swallows everything without a word", async (t) => {
    const restore = withoutSignalling("drop");
    const since = Date.now();
    try {
      for (const tab of [ann, bob]) await tab.page.getByText("Reconnecting…").waitFor({ timeout: 40_000 });
      t.diagnostic(`noticed after ${Date.now() - since} ms`);
    } finally {
      restore();
    }
    for (const tab of [ann, bob]) await tab.page.locator("#strip").waitFor({ state: "hidden", timeout: 30_000 });
    await until("both are back", 20_000, async () => (await bob.page.evaluate(() => window.pointsman.state)) === "connected");
  });

  it("says that it reconnects, and goes on where it was", async () => {
    const restore = withoutSignalling();
    try {
      // A browser learns that its connection is dead when it has something to say.
      for (const tab of [ann, bob]) {
        await tab.page.locator("#gallery").focus();
        await tab.page.keyboard.press("m");
      }
      await ann.page.getByText("Reconnecting…").waitFor({ timeout: 20_000 });
    } finally {
      restore();
    }
    await ann.page.locator("#strip").waitFor({ state: "hidden", timeout: 20_000 });
    await until("both are back", 20_000, async () => (await bob.page.evaluate(() => window.pointsman.state)) === "connected");
    await until("Bob is told what Ann did meanwhile", 10_000, async () => (await bob.tile("Ann").getAttribute("data-muted")) === "true");
    for (const tab of [ann, bob]) await tab.page.keyboard.press("m");
    await until("Bob is told what Ann does now", 10_000, async () => (await bob.tile("Ann").getAttribute("data-muted")) === "false");
    await ann.meets([bob], 15_000);
  });

  it("takes the place of its old self when the tab is opened anew", async () => {
    await ann.comes(pointsman, "page", { host: true });
    await ann.inCall();
    await ann.meets([bob], 15_000);
    await until("one Ann", 5_000, async () => (await bob.tile("Ann").count()) === 1);
    await bob.meets([ann], 15_000);
  });
});
