// The waiting room, from both sides of the door.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, people, server } from "./lab.mjs";

describe("a room with a waiting room", () => {
  let pointsman, browser, host;
  const small = { width: 320, height: 180 };
  before(async () => {
    pointsman = await server();
    browser = await chromium();
    ({ Host: host } = await people(pointsman, browser, "clinic", ["Host"]));
    await host.more("Host's controls");
    await host.page.locator('[data-option="waiting_room"]').check();
    await host.page.keyboard.press("Escape");
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  it("holds who comes until the host admits, and tells nothing of the room", async () => {
    const pat = await browser.tab("Pat", 200, small);
    await pat.comes(pointsman, "clinic");
    await pat.reads("You are in the waiting room", 15_000);
    assert.doesNotMatch(await pat.page.evaluate(() => document.body.innerText), /Host's|Host \(|people/);
    assert.equal(await pat.page.evaluate(() => window.pointsman.participants.size), 0);
    await host.reads("Pat waits to come in.");
    await host.press("Admit");
    await pat.inCall();
    await host.meets([pat], 20_000);
    await pat.page.context().close();
  });

  it("denies one, and admits all the others at once", async () => {
    const tabs = [];
    for (const [n, name] of ["Mal", "Quinn", "Rae"].entries()) {
      const tab = await browser.tab(name, 80 * n, small);
      await tab.comes(pointsman, "clinic");
      await tab.reads("You are in the waiting room", 15_000);
      tabs.push(tab);
    }
    await host.turnsTo(/^People/);
    const waiting = host.page.getByRole("region", { name: "Waiting room" });
    await waiting.locator('[data-identity="Mal"]').getByRole("button", { name: "Deny" }).click();
    await tabs[0].reads("You were not admitted.");
    await waiting.getByRole("button", { name: "Admit all" }).click();
    for (const tab of tabs.slice(1)) await tab.inCall();
    await waiting.waitFor({ state: "hidden", timeout: 5_000 });
  });
});
