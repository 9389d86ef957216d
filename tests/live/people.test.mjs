// Hosts and the others: muting, asking, roles, permissions, locking, removing, ending.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, people, server, until } from "./lab.mjs";

/** Packets of sound that arrived, over all m-lines. */
const soundPackets = (tab) => tab.page.evaluate(async () => [...(await window.pointsman.pc.getStats()).values()].filter((x) => x.type === "inbound-rtp" && x.kind === "audio").reduce((sum, x) => sum + x.packetsReceived, 0));

describe("a host and two others", () => {
  let pointsman, browser, ann, bob, cat;
  before(async () => {
    pointsman = await server();
    browser = await chromium();
    ({ Ann: ann, Bob: bob, Cat: cat } = await people(pointsman, browser, "staff", ["Ann", "Bob", "Cat"]));
    await ann.meets([bob, cat], 25_000);
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  it("sees who is here and what they are", async () => {
    await bob.turnsTo(/^People/);
    assert.match(await bob.row("Ann").innerText(), /Ann\s+Host/);
    assert.match(await bob.page.locator("#people-page").innerText(), /Bob \(you\)/);
    await bob.press("More for Ann");
    assert.equal(await bob.page.getByRole("menuitem", { name: "Mute" }).count(), 0, "who is no host has no host's controls");
    await bob.page.keyboard.press("Escape");
  });

  it("mutes one of them at the server, and asks to unmute", async () => {
    await ann.chooses("Mute", "Bob");
    await bob.reads("A host muted your microphone.");
    await until("Bob is shown muted", 5_000, async () => (await cat.tile("Bob").getAttribute("data-muted")) === "true");
    await bob.press("Unmute microphone");
    await bob.reads(/A host muted you/);
    await ann.chooses("Ask to unmute", "Bob");
    await bob.reads("Ann asks you to unmute.");
    await bob.press("Unmute");
    await until("Bob is heard again", 5_000, async () => (await cat.tile("Bob").getAttribute("data-muted")) === "false");
  });

  it("mutes all: no packets of theirs arrive", async () => {
    await ann.turnsTo(/^People/);
    await ann.press("Mute all");
    for (const tab of [bob, cat]) await tab.reads("A host muted your microphone.");
    await until("silence", 5_000, async () => {
      const before = await soundPackets(ann);
      await new Promise((done) => setTimeout(done, 400));
      return (await soundPackets(ann)) === before;
    });
  });

  it("stops a video: the camera goes off", async () => {
    await ann.chooses("Stop video", "Cat");
    await cat.reads("A host stopped your video.");
    await until("an avatar instead", 5_000, async () => (await bob.tile("Cat").getAttribute("data-picture")) === "false");
    assert.equal(await cat.page.locator('.controls [data-toggle="camera"]').getAttribute("data-off"), "true");
  });

  it("makes somebody a co-host, who may then mute", async () => {
    await ann.chooses("Make co-host", "Bob");
    await bob.reads("You are a co-host now.");
    await until("it is told", 5_000, async () => /Co-host/.test(await ann.row("Bob").innerText()));
    await bob.turnsTo(/^People/);
    await bob.press("More for Cat");
    await bob.page.getByRole("menuitem", { name: "Ask to unmute" }).click();
    await cat.reads("Bob asks you to unmute.");
    await cat.press("Unmute");
    await until("Cat is heard", 5_000, async () => (await ann.tile("Cat").getAttribute("data-muted")) === "false");
  });

  it("makes somebody a viewer, and a speaker again", async () => {
    await ann.chooses("Make viewer", "Cat");
    await cat.reads("You may watch and listen now.");
    await until("no microphone button", 5_000, async () => !(await cat.page.locator('.controls [data-toggle="microphone"]').isVisible()));
    await ann.chooses("Make speaker", "Cat");
    await cat.reads("You may be heard and seen now.");
    await cat.press("With camera");
    await ann.meets([cat], 15_000);
  });

  it("locks the room: nobody else comes in", async () => {
    await ann.more("Host's controls");
    await ann.page.locator('[data-option="locked"]').check();
    await bob.page.getByRole("img", { name: "The room is locked" }).waitFor();
    await ann.page.keyboard.press("Escape");
    const eve = await browser.tab("Eve", 300);
    await eve.comes(pointsman, "staff");
    await eve.reads("The room is locked: nobody else may come in.", 15_000);
    await eve.page.context().close();
    await ann.more("Host's controls");
    await ann.page.locator('[data-option="locked"]').uncheck();
    await ann.page.keyboard.press("Escape");
  });

  it("bans somebody, who cannot come back until let", async () => {
    await ann.chooses("Ban Cat", "Cat");
    await cat.reads("You were banned from this room.");
    await until("Cat is gone", 5_000, async () => (await bob.tile("Cat").count()) === 0);
    await cat.comes(pointsman, "staff");
    await cat.reads("You were banned from this room.", 15_000);
    await ann.more("Host's controls");
    await ann.press("Let back in");
    await ann.page.keyboard.press("Escape");
    await cat.comes(pointsman, "staff");
    await cat.inCall();
  });

  it("removes somebody and ends it for everyone", async () => {
    await ann.chooses("Remove", "Cat");
    await cat.reads("A host removed you from the call.");
    await ann.press("Leave");
    await ann.page.getByRole("menuitem", { name: "End for everyone" }).click();
    await ann.press("End for everyone");
    await bob.reads("The call was ended for everyone.");
  });
});
