// The page, as people use it: several browsers in one room.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, firefox, HTTP, server, sum, until } from "./lab.mjs";

const page = (room, tab, more = "") => `${HTTP}/?room=${room}&name=${tab.name}&join=1${more}`;

describe("a development server", () => {
  let pointsman, browsers;
  before(async () => {
    pointsman = await server({ dev: true });
    browsers = await Promise.all([chromium(), chromium(), chromium()]);
  });
  after(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    await pointsman.stop();
  });

  for (const [what, more] of [["directly", ""], ["through the TURN relay alone", "&relay=1"]]) {
    it(`lets three Chromiums see and hear each other ${what}`, async (t) => {
      const room = `three${more.length}`;
      const tabs = await Promise.all(["Ada", "Grace", "Edsger"].map((name, n) => browsers[n].tab(name, 20 + 100 * n)));
      for (const [n, tab] of tabs.entries()) {
        await tab.open(page(room, tab, more));
        const took = await tab.meets(tabs.slice(0, n));
        t.diagnostic(`${tab.name} met ${n} others ${took} ms after opening the page`);
      }
      for (const tab of tabs) await tab.meets(tabs.filter((other) => other !== tab));
      if (more) for (const tab of tabs) assert.deepEqual([...new Set(await tab.relayed())], ["relay"], `${tab.name} must be relayed`);
      await Promise.all(tabs.map((tab) => tab.page.context().close()));
    });
  }
});

describe("a configured server with two shards", () => {
  let pointsman, browser;
  before(async () => {
    pointsman = await server({ shards: 2 });
    browser = await chromium();
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  it("forwards one room on both shards", async () => {
    // Which shard a participant gets is the kernel's hash of its port: with six it is one to thirty-one that all share one.
    const tabs = [];
    for (let n = 0; n < 6; n++) {
      const tab = await browser.tab(`p${n}`, 60 * n);
      await tab.open(page("mesh", tab, `&token=${pointsman.token("mesh", tab.name)}`));
      await tab.page.waitForFunction(() => window.pointsman?.pc?.connectionState === "connected", null, { timeout: 15_000 });
      tabs.push(tab);
    }
    await tabs[5].meets(tabs.slice(0, 1), 20_000);
    for (const shard of [0, 1]) {
      const sent = async () => sum(await pointsman.metrics(), "pointsman_engine_packets_total", new RegExp(`(?=.*direction="out")(?=.*shard="${shard}")`));
      await until(`shard ${shard} sends`, 10_000, async () => (await sent()) > 100);
    }
    await Promise.all(tabs.map((tab) => tab.page.context().close()));
  });

  it("lets Firefox and Chromium meet", async (t) => {
    const fox = await firefox();
    try {
      const [a, b] = [await browser.tab("Ada"), await fox.tab("Mozilla")];
      await a.open(page("mixed", a, `&token=${pointsman.token("mixed", "Ada")}`));
      await b.open(page("mixed", b, `&token=${pointsman.token("mixed", "Mozilla")}`));
      t.diagnostic(`Firefox met Chromium after ${await b.meets([a], 20_000)} ms`);
      await a.meets([b], 20_000);
      await a.page.context().close();
    } finally {
      await fox.close();
    }
  });

  it("refuses a token for another room and says so", async () => {
    const tab = await browser.tab("Eve");
    await tab.open(page("private", tab, `&token=${pointsman.token("other", "Eve")}`));
    await tab.page.waitForFunction(() => /token|allowed|permission/i.test(document.body.innerText), null, { timeout: 5_000 });
    await tab.page.context().close();
  });
});
