// What operators and their applications get: the HTTP API, webhooks in the hands of another project's receiver, quality, and the dashboard.
// SHOTS=folder keeps screenshots of the dashboard there.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
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
    await until("it is there", 5_000, () => tabs[0].page.evaluate(() => window.texts[0]?.data === "five minutes" && window.texts[0].participant === null));
    await api("PATCH", "/rooms/board/participants/grace", { name: "Grace Hopper" });
    await until("the new name is known", 5_000, () => tabs[0].page.evaluate(() => [...window.pointsman.participants.values()].some(({ name }) => name === "Grace Hopper")));
  });

  it("locks the room, holds who comes, and says what people may do", async () => {
    assert.equal((await api("PATCH", "/rooms/board", { locked: true, metadata: "minutes" })).body.locked, true);
    await until("the room is told", 5_000, () => tabs[0].page.evaluate(() => window.pointsman.options.locked && window.pointsman.metadata === "minutes"));
    const eve = await browser.tab("Eve", 300);
    const { body } = await api("POST", "/tokens", { room: "board", identity: "eve", name: "Eve" });
    await eve.open(`${HTTP}/?room=board&name=Eve&join=1&token=${body.token}`);
    await eve.page.waitForFunction(() => /locked/i.test(document.body.innerText), null, { timeout: 10_000 });
    await api("PATCH", "/rooms/board", { locked: false, waiting_room: true });
    await eve.open(`${HTTP}/?room=board&name=Eve&join=1&token=${body.token}`);
    await until("she waits", 10_000, async () => (await api("GET", "/rooms/board")).body.waiting[0]?.identity === "eve");
    assert.deepEqual((await api("POST", "/rooms/board/waiting/eve")).body, { participants: 1 });
    await eve.page.waitForFunction(() => window.pointsman?.pc?.connectionState === "connected", null, { timeout: 20_000 });
    await api("PATCH", "/rooms/board/participants/eve", { role: "viewer" });
    await until("her picture is gone", 10_000, () => tabs[0].page.evaluate(() => [...window.pointsman.participants.values()].find(({ identity }) => identity === "eve").publications.size === 0));
    await api("PATCH", "/rooms/board/participants/eve", { role: "speaker" });
    await until("and she may send again", 10_000, () => eve.page.evaluate(() => window.pointsman.you.can_publish));
    assert.deepEqual((await api("DELETE", "/rooms/board/participants/eve?ban=true")).body, { participants: 1 });
    await until("the application is told", 5_000, () => heard("participant_left", "eve").length === 1);
    assert.deepEqual((await api("PATCH", "/rooms/board", { waiting_room: false })).body.bans, ["eve"]);
    await eve.page.close();
  });

  it("moves people to a breakout room and back, without a new offer", async () => {
    const descriptions = () => tabs[0].page.evaluate(() => window.pointsman.pc.localDescription.sdp);
    const before = await descriptions();
    assert.equal((await api("POST", "/rooms/board/breakouts", { rooms: ["Red"] })).status, 201);
    assert.deepEqual((await api("POST", "/rooms/board/participants/ada/move", { breakout: 0 })).body, { participants: 1 });
    await until("she is there", 5_000, () => tabs[0].page.evaluate(() => window.pointsman.breakout === 0));
    const { body } = await api("GET", "/rooms/board");
    assert.deepEqual(body.participants.map(({ identity, breakout }) => [identity, breakout]), [["grace", null], ["ada", 0]]);
    await api("DELETE", "/rooms/board/breakouts");
    await tabs[0].meets([tabs[1]], 20_000);
    assert.equal(await descriptions(), before);
  });

  it("keeps chat and polls, tells them, and deletes them when asked", async () => {
    await api("PATCH", "/rooms/board/participants/ada", { role: "host" });
    const ids = await tabs[0].page.evaluate(async () => {
      const room = window.pointsman;
      const said = [];
      for (const text of ["Welcome", "Shall we vote?", "a slip of the pen"]) said.push((await room.chat(text)).id);
      await room.deleteChat(said[2]);
      const poll = await room.createPoll("Tea?", ["yes", "no"]);
      await room.vote(poll, [0]);
      await room.closePoll(poll);
      return said;
    });
    assert.equal(ids.length, 3);
    await until("the application is told", 5_000, () => heard("poll").length === 1 && heard("chat", "ada").length === 3);
    const entries = await until("it is kept", 10_000, async () => {
      const { body } = await api("GET", "/history?room=board");
      return body.entries.some(({ kind }) => kind === "poll") && body.entries;
    });
    assert.deepEqual(entries.map(({ kind, body }) => [kind, body.text ?? body.question]), [["chat", "Welcome"], ["chat", "Shall we vote?"], ["chat_deleted", undefined], ["poll", "Tea?"]]);
    const response = await fetch(`${HTTP}/api/v1/history/export?room=board`, { headers: { authorization: `Bearer ${operator}` } });
    assert.equal((await response.text()).trim().split("\n").length, 4);
    assert.deepEqual((await api("DELETE", "/history?room=board&kind=chat_deleted")).body, { deleted: 1 });
  });

  it("adds quality up for Prometheus", async () => {
    const text = await pointsman.metrics();
    const judged = Number(/pointsman_quality_score_count\{of="all"\} (\d+)/.exec(text)[1]);
    assert.ok(judged >= 4, text.split("\n").filter((line) => line.startsWith("pointsman_quality")).join("\n"));
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
      await sleep(400); // it is drawn anew when the size stays
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${view} is ${wide} pixels wider than a phone`);
      await shot(page, `${view.replace("/", "-")}-phone`);
      await page.setViewportSize({ width: 1280, height: 900 });
      await sleep(400);
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

describe("a server whose disk is full and whose application hangs", () => {
  let pointsman, browser, tab, hanging;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "pointsman-disk-"));
  const filler = path.join(folder, "filler");
  const metric = async (name) => Number(new RegExp(`^${name} (.+)$`, "m").exec(await pointsman.metrics())[1]);

  before(async () => {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=600k", "tmpfs", folder]);
    hanging = net.createServer(() => {}).listen(9098, "127.0.0.1");
    const more = `[webhooks]\nurls = ["http://127.0.0.1:9098/hook"]\n[history]\ndatabase = "sqlite:${folder}/history.db"\nchat_restored_max = 5\n`;
    pointsman = await server({ turn: more });
    browser = await chromium();
    tab = await browser.tab("Ada", 20);
    await tab.open(`${HTTP}/?room=board&name=Ada&join=1&token=${pointsman.token("board", "ada")}`);
    await tab.page.waitForFunction(() => window.pointsman?.pc?.connectionState === "connected", null, { timeout: 20_000 });
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
    hanging.close();
    execFileSync("umount", [folder]);
    fs.rmdirSync(folder);
  });

  const say = (text) => tab.page.evaluate((text) => window.pointsman.chat(text), text);

  it("goes on with the call, and says that history is not kept", async () => {
    await say("first");
    await until("it is kept", 10_000, () => metric('pointsman_control_history_total{outcome="kept"}'));
    try {
      fs.writeFileSync(filler, Buffer.alloc(1 << 20));
    } catch (error) {
      assert.equal(error.code, "ENOSPC");
    }
    for (let n = 0; n < 20; n++) await say("x".repeat(4000));
    await until("it is told", 20_000, () => metric("pointsman_control_history_away"));
    assert.match(pointsman.log(), /history and quality are not kept; calls go on/);
    assert.equal((await fetch(`${HTTP}/readyz`)).status, 200);
    const began = Date.now();
    await say("still here");
    assert.ok(Date.now() - began < 1_000, "a message waits for nothing");
    fs.rmSync(filler);
    await until("it is kept again", 30_000, async () => (await metric("pointsman_control_history_away")) === 0);
    assert.match(pointsman.log(), /history and quality are kept again/);
    assert.equal(await metric('pointsman_control_history_total{outcome="lost"}'), 0);
  });

  it("begins the room again with what was said last", async () => {
    await until("it is all kept", 10_000, async () => (await metric('pointsman_control_history_total{outcome="kept"}')) >= 22);
    await tab.page.evaluate(() => window.pointsman.leave());
    await until("the room has ended", 5_000, async () => (await metric("pointsman_sfu_rooms")) === 0);
    await tab.open(`${HTTP}/?room=board&name=Ada&join=1&token=${pointsman.token("board", "ada")}`);
    await until("it is there", 20_000, () => tab.page.evaluate(() => window.pointsman?.messages.length === 5 && window.pointsman.messages.at(-1).text === "still here"));
    await tab.page.waitForFunction(() => window.pointsman.pc?.connectionState === "connected", null, { timeout: 20_000 });
  });

  it("is not kept by a target that never answers", async () => {
    await until("an attempt has failed", 15_000, () => metric('pointsman_control_webhooks_total{outcome="failed"}'));
    assert.equal(await tab.page.evaluate(() => window.pointsman.state), "connected");
  });
});
