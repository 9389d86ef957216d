// What operators and their applications get: the HTTP API, webhooks in the hands of another project's receiver, quality, and the dashboard.
// SHOTS=folder keeps screenshots of the dashboard there.
import assert from "node:assert/strict";
import http from "node:http";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { WebhookReceiver } from "livekit-server-sdk";
import { chromium, HTTP, server, sleep, until } from "./lab.mjs";

const KEY = "testkey";
const SECRET = "a key secret of more than thirty-two characters";

describe("a server with webhooks and history", () => {
  let pointsman, browser, hooks, operator, tabs;
  const events = [];
  const receiver = new WebhookReceiver(KEY, SECRET);
  const answers = [];
  const api = async (method, address, body) => {
    const response = await fetch(`${HTTP}/api/v1${address}`, { method, headers: { authorization: `Bearer ${operator}`, "content-type": "application/json" }, body: body && JSON.stringify(body) });
    return { status: response.status, body: await response.json() };
  };
  const heard = (name, identity) => events.filter(({ event, participant }) => event === name && (!identity || participant?.identity === identity));

  before(async () => {
    hooks = http.createServer((request, response) => {
      let body = "";
      request.on("data", (data) => (body += data));
      request.on("end", async () => {
        try {
          const event = await receiver.receive(body, request.headers.authorization);
          const status = answers.shift() ?? 200;
          if (status === 200) events.push(event);
          response.writeHead(status).end();
        } catch (error) {
          events.push({ event: "refused", error });
          response.writeHead(400).end();
        }
      });
    });
    await new Promise((listening) => hooks.listen(9099, "127.0.0.1", listening));
    const more = `[webhooks]\nurls = ["http://127.0.0.1:9099/hook"]\nretry_first_ms = 50\n[history]\ndatabase = "sqlite::memory:"\n`;
    pointsman = await server({ turn: more });
    operator = pointsman.operator();
    browser = await chromium();
    tabs = await Promise.all(["Ada", "Grace"].map((name, n) => browser.tab(name, 20 + 120 * n)));
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
    hooks.close();
  });

  it("opens a room, and mints tokens with which two browsers meet in it", async () => {
    assert.equal((await api("POST", "/rooms", { name: "board", metadata: "agenda", empty_timeout_s: 2 })).status, 201);
    for (const tab of tabs) {
      const { body } = await api("POST", "/tokens", { room: "board", identity: tab.name.toLowerCase(), name: tab.name });
      await tab.open(`${HTTP}/?room=board&name=${tab.name}&join=1&token=${body.token}`);
      await tab.page.waitForFunction(() => window.pointsman?.pc?.connectionState === "connected", null, { timeout: 20_000 });
    }
    for (const tab of tabs) await tab.meets(tabs.filter((other) => other !== tab), 20_000);
    const { body } = await api("GET", "/rooms/board");
    assert.deepEqual(body.participants.map(({ identity, connected }) => [identity, connected]), [["ada", true], ["grace", true]]);
  });

  it("tells an application, whose receiver is LiveKit's, of all of it in its order", async () => {
    await until("every publication is told of", 10_000, () => heard("track_published").length >= 4);
    assert.deepEqual(heard("refused"), []);
    assert.equal(events[0].event, "room_started");
    assert.equal(events[0].room.metadata, "agenda");
    for (const identity of ["ada", "grace"]) {
      const joined = heard("participant_joined", identity);
      assert.equal(joined.length, 1);
      const [first] = heard("track_published", identity);
      assert.ok(events.indexOf(joined[0]) < events.indexOf(first));
      assert.ok(heard("track_published", identity).some(({ track }) => track.mimeType === "audio/opus" || track.mimeType === "audio/OPUS"));
    }
  });

  it("tries again what an application failed to take", async () => {
    answers.push(500, 503);
    await api("POST", "/rooms", { name: "again", empty_timeout_s: 1 });
    await until("it came after two failures", 10_000, () => events.some(({ event, room }) => event === "room_started" && room.name === "again"));
    const text = await pointsman.metrics();
    assert.match(text, /pointsman_control_webhooks_total\{outcome="failed"\} 2/);
  });

  it("gives every participant a score and keeps it, by browser", async () => {
    const row = await until("both tell how they see and hear", 30_000, async () => {
      const { body } = await api("GET", "/rooms/board/participants");
      return body.participants.every(({ quality }) => quality?.score.all) && body.participants;
    });
    for (const { quality, identity } of row) {
      assert.ok(quality.score.all > 2.5 && quality.score.all <= 5, `${identity}: ${JSON.stringify(quality)}`);
      assert.match(quality.browser, /\d/);
      assert.ok(quality.loss_downlink < 0.05 && quality.rtt_ms < 200, JSON.stringify(quality));
    }
    const groups = await until("it is kept", 15_000, async () => {
      const { body } = await api("GET", "/quality?by=browser");
      return body.groups.length && body.groups;
    });
    assert.equal(groups[0].name, row[0].quality.browser);
    assert.ok(groups[0].score > 2.5 && groups[0].points.length >= 1);
    const { body } = await api("GET", "/quality/samples?identity=ada&limit=1");
    const { sample } = body.samples[0];
    assert.ok(sample.inbound.some(({ video, publication, reason }) => video && publication && reason), JSON.stringify(sample));
  });

  it("mutes at the server: no more sound arrives", async () => {
    const energy = () => tabs[1].page.evaluate(async () => [...(await window.pointsman.pc.getStats()).values()].filter((x) => x.type === "inbound-rtp" && x.kind === "audio").reduce((all, x) => all + x.packetsReceived, 0));
    assert.deepEqual((await api("POST", "/rooms/board/participants/ada/mute", { muted: true, source: "microphone" })).body, { publications: 1 });
    await sleep(500);
    const [before] = [await energy()];
    await sleep(1_000);
    assert.equal((await energy()) - before, 0, "packets of a muted microphone");
    await api("POST", "/rooms/board/participants/ada/mute", { muted: false });
    await until("sound comes again", 10_000, async () => (await energy()) > before + 10);
  });

  it("sends a text to the room's clients, and another name", async () => {
    await tabs[0].page.evaluate(() => {
      window.texts = [];
      window.pointsman.addEventListener("data", ({ detail }) => window.texts.push(detail));
    });
    assert.deepEqual((await api("POST", "/rooms/board/data", { text: "five minutes", topic: "clock", to: ["ada"] })).body, { participants: 1 });
    await until("it is there", 5_000, () => tabs[0].page.evaluate(() => window.texts[0]?.text === "five minutes" && window.texts[0].participant === null));
    await api("PATCH", "/rooms/board/participants/grace", { name: "Grace Hopper" });
    await until("the new name is known", 5_000, () => tabs[0].page.evaluate(() => [...window.pointsman.participants.values()].some(({ name }) => name === "Grace Hopper")));
  });

  it("shows it on the dashboard, in light and dark and on a phone", async () => {
    const shot = (page, name) => process.env.SHOTS && page.screenshot({ path: path.join(process.env.SHOTS, `${name}.png`), fullPage: true });
    const context = await browser.context({ viewport: { width: 1280, height: 900 }, colorScheme: "dark" });
    const page = await context.newPage();
    const wrong = [];
    page.on("pageerror", (error) => wrong.push(error.message));
    page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
    await page.goto(`${HTTP}/admin`);
    await shot(page, "sign-in");
    // With the keyboard alone.
    await page.keyboard.type("not a token");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#sign-in-status").classList.contains("error"));
    wrong.length = 0; // a refused sign-in is told on the console, too
    await page.fill("#token", operator);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => [...document.querySelectorAll(".tile")].some((tile) => tile.innerText.includes("People") && tile.innerText.includes("2")));
    await shot(page, "now");
    for (const [view, says] of [["quality", /Where packets are lost/], ["rooms", /board/], ["rooms/board", /Grace Hopper/], ["nodes", /Packet threads/]]) {
      await page.evaluate((hash) => (location.hash = hash), view);
      await page.waitForFunction((text) => new RegExp(text).test(document.querySelector("#main").innerText), says.source, { timeout: 10_000 });
      if (view === "nodes") await sleep(5_500); // rates need two looks
      await shot(page, view.replace("/", "-"));
      await page.setViewportSize({ width: 390, height: 844 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${view} is ${wide} pixels wider than a phone`);
      await shot(page, `${view.replace("/", "-")}-phone`);
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.emulateMedia({ colorScheme: "light" });
      await shot(page, `${view.replace("/", "-")}-light`);
      await page.emulateMedia({ colorScheme: "dark" });
    }
    assert.deepEqual(wrong, []);
    // Somebody is removed from the room's page: a button that asks once more.
    await page.evaluate(() => (location.hash = "rooms/board"));
    const remove = page.locator("tr", { hasText: "Grace Hopper" }).getByRole("button", { name: "Remove" });
    await remove.focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("Enter");
    await tabs[1].page.waitForFunction(() => window.pointsman.state === "closed", null, { timeout: 10_000 });
    await until("the application is told why", 5_000, () => heard("participant_left", "grace").length === 1);
    await context.close();
  });

  it("ends the room for everyone", async () => {
    assert.deepEqual((await api("DELETE", "/rooms/board")).body, { participants: 1 });
    await tabs[0].page.waitForFunction(() => window.pointsman.state === "closed", null, { timeout: 10_000 });
    await until("it is told", 5_000, () => events.some(({ event, room }) => event === "room_finished" && room.name === "board"));
    assert.equal((await api("GET", "/rooms/board")).status, 404);
  });
});
