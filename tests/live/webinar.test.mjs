// A webinar: a stage, an audience, and the way from one to the other.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, people, server, until } from "./lab.mjs";

describe("a webinar", () => {
  let pointsman, browser, host, sam, viv;
  before(async () => {
    pointsman = await server();
    browser = await chromium();
    ({ Host: host, Sam: sam } = await people(pointsman, browser, "show", ["Host", "Sam"]));
    await host.more("Host's controls");
    await host.page.locator('[data-option="mode"]').check();
    await host.page.keyboard.press("Escape");
    viv = await browser.tab("Viv", 250, { width: 320, height: 180 });
    await viv.comes(pointsman, "show", { more: ["--no-publish"] });
    await viv.inCall();
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  it("shows the stage to the audience, and only a number to the stage", async () => {
    await viv.meets([host, sam], 25_000);
    await host.turnsTo(/^People/);
    await host.reads("Audience (1)");
    assert.equal(await host.tile("Viv").count(), 0);
    assert.equal(await viv.page.locator(".controls [data-toggle]:visible").count(), 0, "the audience has no microphone");
  });

  it("brings who raised a hand to the stage, without joining again", async () => {
    await viv.press("Raise hand");
    const hand = host.page.getByRole("region", { name: "Raised hands" }).locator('[data-identity="Viv"]');
    await hand.waitFor({ timeout: 5_000 });
    const path = await viv.page.evaluate(() => (window.pointsman.pc.mark = "the same"));
    await hand.getByRole("button", { name: "Bring to the stage" }).click();
    await viv.reads("You are on the stage now.");
    await viv.press("With camera");
    await sam.meets([viv], 20_000);
    assert.equal(await viv.page.evaluate(() => window.pointsman.pc.mark), path);
  });

  it("sends a speaker back to the audience", async () => {
    await host.chooses("Move to the audience", "Viv");
    await viv.reads("You are in the audience now.");
    await until("Viv is off the stage", 5_000, async () => (await sam.tile("Viv").count()) === 0);
    await host.reads("Audience (1)");
    await host.press("Show who");
    await host.page.getByRole("region", { name: "Audience" }).locator('[data-identity="Viv"]').waitFor({ timeout: 5_000 });
  });
});
