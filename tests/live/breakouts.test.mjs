// Breakout rooms: opened, moved between, spoken to, timed, and left.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, people, server, until } from "./lab.mjs";

describe("a class of four", () => {
  let pointsman, browser, ann, bob, cat, dan;
  before(async () => {
    pointsman = await server();
    browser = await chromium();
    ({ Ann: ann, Bob: bob, Cat: cat, Dan: dan } = await people(pointsman, browser, "class", ["Ann", "Bob", "Cat", "Dan"]));
    await ann.meets([bob, cat, dan], 25_000);
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  const room = (tab) => tab.page.locator("#room-name").innerText();
  const sees = (tab) => tab.page.evaluate(() => [...window.pointsman.participants.values()].map(({ identity }) => identity).sort().join());
  const isWith = (tab, others) => until(`${tab.name} is with ${others}`, 15_000, async () => (await sees(tab)) === others);
  /** Offers that were made so far. */
  const offers = (tab) => tab.page.evaluate(() => window.pointsman.pc.localDescription.sdp.match(/^o=.*/m)[0]);

  it("is assigned by hand, sees its own room alone, and needs no new offer", async () => {
    const before = await offers(bob);
    await ann.turnsTo("Rooms");
    await ann.page.getByRole("combobox", { name: "Who goes where" }).selectOption({ label: "By hand" });
    for (const [name, to] of [["Bob", "Red"], ["Cat", "Red"], ["Dan", "Blue"]]) await ann.page.getByRole("combobox", { name: `Room of ${name}` }).selectOption({ label: to });
    await ann.press("Open the rooms");
    await isWith(bob, "Cat");
    await isWith(dan, "");
    assert.equal(await room(bob), "Red");
    await bob.meets([cat], 15_000);
    assert.equal(await offers(bob), before);
  });

  it("hears the host in every room", async () => {
    await ann.page.getByRole("textbox", { name: "Message to all rooms" }).fill("Five minutes");
    await ann.press("Send");
    for (const tab of [bob, dan]) await tab.reads(/to all rooms: Five minutes/);
  });

  it("is moved by the host, and joined by her", async () => {
    await ann.page.getByRole("combobox", { name: "Move Dan" }).selectOption({ label: "Red" });
    await isWith(dan, "Bob,Cat");
    await ann.page.locator('.room-card[data-breakout="0"]').getByRole("button", { name: "Join" }).click();
    await isWith(ann, "Bob,Cat,Dan");
    await dan.meets([ann, bob, cat], 20_000);
  });

  it("goes back by itself", async () => {
    await dan.press("Main room");
    await isWith(dan, "");
    assert.equal(await room(dan), "class");
  });

  it("is called back by the timer, after a warning", async () => {
    await ann.page.getByRole("spinbutton", { name: "Minutes from now" }).fill("0.2");
    await ann.page.locator(".room-card").first().waitFor();
    await ann.press("Set timer");
    await bob.page.getByRole("timer").waitFor({ timeout: 5_000 });
    await bob.reads(/The breakout rooms end in 10 seconds/, 10_000);
    await isWith(bob, "Ann,Cat,Dan");
    await bob.meets([ann, cat, dan], 20_000);
  });

  it("chooses its rooms when it may, and the host closes them", async () => {
    await ann.turnsTo("Rooms");
    await ann.page.getByRole("combobox", { name: "Who goes where" }).selectOption({ label: "Everyone chooses" });
    await ann.press("Open the rooms");
    await cat.page.locator('.room-card[data-breakout="1"]').getByRole("button", { name: "Join" }).click();
    await until("Cat is in Blue", 10_000, async () => (await room(cat)) === "Blue");
    await ann.press("Close the rooms");
    await isWith(cat, "Ann,Bob,Dan");
  });
});
