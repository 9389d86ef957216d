// Calls between identities: ringing, accepting, declining, cancelling.
import { after, before, describe, it } from "node:test";
import { chromium, HTTP, server } from "./lab.mjs";

describe("two people who can be called", () => {
  let pointsman, browser, ann, bob;
  before(async () => {
    pointsman = await server();
    browser = await chromium();
    [ann, bob] = [await browser.tab("ann", 30, { width: 320, height: 180 }), await browser.tab("bob", 200, { width: 320, height: 180 })];
    for (const tab of [ann, bob]) {
      await tab.open(`${HTTP}/?token=${pointsman.presence(tab.name)}`);
      await tab.reads("You can be called.", 15_000);
    }
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  async function rings(tab, whom) {
    await tab.page.getByRole("textbox", { name: "Who to call" }).fill(whom);
    await tab.press("Call");
  }

  it("decline, and the caller is told", async () => {
    await rings(ann, "bob");
    await bob.reads("ann is calling");
    await bob.press("Decline");
    await ann.reads("bob declined.");
  });

  it("cancel before it is answered", async () => {
    await rings(ann, "bob");
    await bob.reads("ann is calling");
    await ann.press("Cancel");
    await bob.reads("ann cancelled the call.");
  });

  it("accept, and see and hear each other", async () => {
    await rings(ann, "bob");
    await bob.reads("ann is calling");
    await bob.press("Accept");
    for (const tab of [ann, bob]) await tab.inCall();
    await ann.meets([bob], 20_000);
    await bob.meets([ann], 20_000);
  });

  it("are rung into a call that is on", async () => {
    const host = await browser.tab("Host", 120, { width: 320, height: 180 });
    await host.comes(pointsman, "office", { host: true });
    await host.inCall();
    const cat = await browser.tab("cat", 280, { width: 320, height: 180 });
    await cat.open(`${HTTP}/?token=${pointsman.presence("cat")}`);
    await cat.reads("You can be called.", 15_000);
    await host.turnsTo(/^People/);
    await host.page.locator("summary", { hasText: "Ring somebody in" }).click();
    await host.page.getByRole("textbox", { name: "Ring somebody in" }).fill("cat");
    await host.press("Ring");
    await cat.reads("Host is calling");
    await cat.press("Accept");
    await cat.inCall();
    await host.meets([cat], 20_000);
  });
});
