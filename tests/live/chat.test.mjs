// Talking without sound: chat, reactions, hands, polls.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, people, server, until } from "./lab.mjs";

describe("three people who type", () => {
  let pointsman, browser, ann, bob, cat;
  before(async () => {
    pointsman = await server();
    browser = await chromium();
    ({ Ann: ann, Bob: bob, Cat: cat } = await people(pointsman, browser, "talk", ["Ann", "Bob", "Cat"]));
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  const messages = (tab) => tab.page.locator("#chat-page .messages li p").allInnerTexts();
  async function writes(tab, text) {
    await tab.page.getByRole("textbox", { name: "Message" }).fill(text);
    await tab.page.keyboard.press("Enter");
  }

  it("write to everyone, and see markup as the text that it is", async () => {
    for (const tab of [ann, bob]) await tab.page.keyboard.press("c");
    const text = "<b>Hello</b> <img src=x onerror=document.title='broken'>";
    await writes(ann, text);
    await until("Bob reads it", 5_000, async () => (await messages(bob)).includes(text));
    assert.ok((await messages(ann)).includes(text), "and so does Ann");
    await until("Cat has it unread", 5_000, async () => (await cat.page.locator("#chat-badge").innerText()) === "1");
    assert.doesNotMatch(await bob.page.title(), /broken/);
  });

  it("write privately: nobody else reads it", async () => {
    await ann.page.getByRole("combobox", { name: "To whom" }).selectOption({ label: "Bob" });
    await writes(ann, "for your eyes");
    await until("Bob reads it", 5_000, async () => (await messages(bob)).includes("for your eyes"));
    assert.match(await bob.page.locator('#chat-page li[data-private="true"]').innerText(), /to you alone/);
    await ann.page.getByRole("combobox", { name: "To whom" }).selectOption({ label: "Everyone" });
    await writes(ann, "for all");
    await cat.turnsTo("Chat");
    await until("Cat reads the next", 5_000, async () => (await messages(cat)).includes("for all"));
    assert.ok(!(await messages(cat)).includes("for your eyes"));
  });

  it("take back what they said, and find the rest when they come again", async () => {
    const own = ann.page.locator("#chat-page li", { hasText: "for all" });
    await own.hover();
    await own.getByRole("button", { name: "Delete this message" }).click();
    await until("it is gone", 5_000, async () => !(await messages(cat)).includes("for all"));
    await cat.comes(pointsman, "talk");
    await cat.inCall();
    await cat.turnsTo("Chat");
    assert.equal((await messages(cat)).length, 1);
  });

  it("react: it floats over whose it is", async () => {
    const floated = ann.page.evaluate(() => new Promise((seen) => new MutationObserver((changes) => {
      const one = changes.flatMap(({ addedNodes }) => [...addedNodes]).find((node) => node.className === "floating");
      if (one) seen({ text: one.textContent, whose: one.parentElement.dataset.identity });
    }).observe(document.body, { childList: true, subtree: true })));
    await bob.press("Reactions");
    await bob.press("Applause");
    assert.deepEqual(await floated, { text: "👏", whose: "Bob" });
    await bob.page.keyboard.press("Escape");
  });

  it("raise hands, which stand in their order, and the host lowers them", async () => {
    await cat.page.locator("#gallery").focus();
    await cat.page.keyboard.press("h");
    await ann.reads("Cat raised a hand.");
    await bob.press("Raise hand");
    await ann.turnsTo(/^People/);
    const hands = ann.page.getByRole("region", { name: "Raised hands" });
    await until("two hands", 5_000, async () => (await hands.locator("li").count()) === 2);
    assert.deepEqual(await hands.locator("li .who").allInnerTexts(), ["Cat", "Bob"]);
    assert.ok(await ann.tile("Cat").getByRole("img", { name: "Hand raised" }).isVisible());
    await hands.locator('[data-identity="Cat"]').getByRole("button", { name: "Lower" }).click();
    await until("Cat's is down", 5_000, async () => (await cat.page.locator("#hand-button").getAttribute("aria-pressed")) === "false");
    assert.equal(await bob.page.locator("#hand-button").getAttribute("aria-pressed"), "true");
  });

  it("are polled: they vote, change their minds, and see the results when it is closed", async () => {
    await ann.more("Polls");
    await ann.page.getByText("New poll").click();
    await ann.page.getByRole("textbox", { name: "Question" }).fill("Lunch?");
    await ann.page.getByRole("textbox", { name: "Option 1" }).fill("Soup");
    await ann.page.getByRole("textbox", { name: "Option 2" }).fill("Salad");
    await ann.page.getByRole("checkbox", { name: "Anonymous" }).uncheck();
    await ann.press("Start the poll");
    await bob.page.getByRole("radio", { name: "Salad" }).check({ timeout: 20_000 });
    await cat.page.getByRole("radio", { name: "Soup" }).check({ timeout: 20_000 });
    await until("the host sees both", 5_000, async () => /2 votes/.test(await ann.page.locator(".poll").innerText()));
    assert.equal(await bob.page.locator(".poll meter").count(), 0, "no results before it is closed");
    await bob.page.getByRole("radio", { name: "Soup" }).check();
    await until("Bob changed his mind", 5_000, async () => (await ann.page.locator(".poll .result b").allInnerTexts()).join() === "2,0");
    await ann.press("Close and show results");
    await until("Cat sees the results", 5_000, async () => (await cat.page.locator(".poll .result b").allInnerTexts()).join() === "2,0");
    assert.match(await cat.page.locator(".poll").innerText(), /Bob/);
  });
});
