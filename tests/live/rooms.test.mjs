// What people do in a call besides sending pictures and sound, with real browsers and the client alone (no page): coming back after a lost connection, waiting,
// moderation, chat, hands, polls, breakouts, a webinar, ringing.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { chromium, HTTP, server, sleep, until } from "./lab.mjs";

/** Ends every TCP connection with the server's HTTP listener, and refuses new ones, until what it returns is called. */
function withoutSignalling() {
  if (!execFileSync("ip", ["netns", "identify", String(process.pid)], { encoding: "utf8" }).trim()) throw new Error("this test must not run outside of a network namespace");
  execFileSync("nft", ["-f", "-"], { input: "table inet pointsman_rooms { chain out { type filter hook output priority 0; tcp dport 8080 reject with tcp reset; }; }\n" });
  return () => execFileSync("nft", ["delete", "table", "inet", "pointsman_rooms"]);
}

// Inside a page: a call of its own, `window.call`; counts its offers.
async function join({ server, token, video = true, room }) {
  const { Room } = await import("/client/pointsman.js");
  if (!window.offers) {
    window.offers = 0;
    const original = RTCPeerConnection.prototype.setLocalDescription;
    RTCPeerConnection.prototype.setLocalDescription = function (...args) {
      window.offers += 1;
      return original.apply(this, args);
    };
  }
  const call = (window.call = new Room());
  window.news = [];
  for (const type of ["stateChanged", "held", "chat", "hands", "poll", "youUpdated", "unmuteAsked", "moved", "breakouts", "waitingRoom", "audience", "closed", "participantJoined", "participantLeft"])
    call.addEventListener(type, ({ detail }) => window.news.push({ type, ...detail, participant: detail.participant?.identity, error: detail.error?.message }));
  const stream = video ? await navigator.mediaDevices.getUserMedia({ audio: true, video: true }) : null;
  const tracks = stream?.getTracks().map((track) => ({ track })) ?? [];
  window.connecting = call.connect(server, token, { tracks, room });
  window.connecting.catch(() => {});
}

// Inside a page: pictures decoded of somebody's camera.
async function frames(identity) {
  const call = window.call;
  const whose = [...call.participants.values()].find((someone) => someone.identity === identity);
  const camera = [...(whose?.publications.values() ?? [])].find(({ source }) => source === "camera");
  if (!camera?.mid) return null;
  const stat = [...(await call.pc.getStats()).values()].find((x) => x.type === "inbound-rtp" && x.kind === "video" && x.mid === camera.mid);
  return stat?.framesDecoded ?? 0;
}

describe("people in a room", () => {
  let pointsman, browser, ada, bob, eve;
  before(async () => {
    pointsman = await server({ shards: 2 });
    browser = await chromium();
    [ada, bob, eve] = await Promise.all(["ada", "bob", "eve"].map((name, n) => browser.tab(name, 60 + 100 * n)));
    for (const tab of [ada, bob, eve]) await tab.open(`${HTTP}/healthz`);
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  const token = (tab, room, ...more) => pointsman.token(room, tab.name, ...(tab.name === "ada" ? ["--admin"] : []), ...more);
  const begin = (tab, room, more = {}) => tab.page.evaluate(join, { server: HTTP, token: token(tab, room), ...more });
  const connected = (tab) => tab.page.evaluate(() => window.connecting);
  const state = (tab) => tab.page.evaluate(() => window.call.state);
  const news = (tab, type) => tab.page.evaluate((type) => window.news.filter((one) => one.type === type), type);
  const offers = (tab) => tab.page.evaluate(() => window.offers);
  const id = (tab, of) => tab.page.evaluate((of) => [...window.call.participants.values()].find(({ identity }) => identity === of)?.id, of.name);
  const leave = (...tabs) => Promise.all(tabs.map((tab) => tab.page.evaluate(() => window.call.leave())));
  /** Waits for more pictures of `of` than there are now; returns how long that took, in ms. */
  async function sees(tab, of, ms = 15_000) {
    const since = Date.now();
    const at = (await tab.page.evaluate(frames, of.name)) ?? 0;
    await until(`${tab.name} sees ${of.name}`, ms, async () => ((await tab.page.evaluate(frames, of.name)) ?? 0) > at + 2);
    return Date.now() - since;
  }
  async function together(room, ...tabs) {
    for (const tab of tabs) {
      await begin(tab, room);
      await connected(tab);
    }
    for (const tab of tabs) for (const other of tabs) if (tab !== other) await sees(tab, other);
  }

  it("comes back after its connection is lost, and media goes on meanwhile", async (t) => {
    await together("back", ada, bob);
    const before = { id: await ada.page.evaluate(() => window.call.you.id), offers: await offers(ada) };
    const restore = withoutSignalling();
    try {
      // What is sent now tells both ends that nothing gets through.
      for (const tab of [ada, bob]) tab.page.evaluate(() => window.call.request("ping").catch(() => {}));
      await until("ada reconnects", 10_000, async () => (await state(ada)) === "reconnecting");
      await sees(ada, bob);
      await sees(bob, ada);
      await sleep(2_000);
    } finally {
      restore();
    }
    const since = Date.now();
    await until("both are back", 20_000, async () => (await state(ada)) === "connected" && (await state(bob)) === "connected");
    t.diagnostic(`back ${Date.now() - since} ms after the network was`);
    assert.deepEqual({ id: await ada.page.evaluate(() => window.call.you.id), offers: await offers(ada) }, before, "the same participant, without a new offer");
    await ada.page.evaluate(() => window.call.chat("still here"));
    await until("bob reads it", 5_000, async () => (await news(bob, "chat")).some(({ message }) => message.text === "still here"));
    await leave(ada, bob);
  });

  it("holds people in the waiting room until the host admits them", async () => {
    await begin(ada, "guarded");
    await connected(ada);
    await ada.page.evaluate(() => window.call.setRoom({ waiting_room: true }));
    await begin(bob, "guarded");
    await until("bob is held", 5_000, async () => (await state(bob)) === "held");
    assert.deepEqual(await bob.page.evaluate(() => [...window.call.participants.values()]), []);
    await until("ada is told", 5_000, async () => (await ada.page.evaluate(() => window.call.waiting.map(({ identity }) => identity))).includes("bob"));
    await ada.page.evaluate(() => window.call.admit());
    await connected(bob);
    await sees(bob, ada);
    await begin(eve, "guarded");
    await until("eve is held", 5_000, async () => (await state(eve)) === "held");
    await ada.page.evaluate(() => window.call.deny());
    await until("eve is denied", 5_000, async () => (await news(eve, "closed"))[0]?.reason === "denied");
    await leave(ada, bob);
  });

  it("mutes at the server, takes the right to publish and gives it back, and bans", async () => {
    await together("moderated", ada, bob);
    const role = (name) => ada.page.evaluate(([bob, name]) => window.call.setRole({ id: bob }, name), [whose, name]);
    const whose = await id(ada, bob);
    await role("viewer");
    await until("bob's picture is gone", 5_000, async () => (await ada.page.evaluate(frames, "bob")) === null);
    assert.equal((await news(bob, "youUpdated")).at(-1).you.can_publish, false);
    await role("speaker");
    await sees(ada, bob);
    await ada.page.evaluate((bob) => window.call.remove({ id: bob }, { ban: true }), whose);
    await until("bob is out", 5_000, async () => (await news(bob, "closed"))[0]?.reason === "banned");
    await begin(bob, "moderated");
    await assert.rejects(connected(bob), /banned/);
    assert.match(pointsman.log(), /act="?ban"?.*by=.*ada.*whom=.*bob/s);
    await leave(ada);
  });

  it("carries hands and polls", async () => {
    await together("talk", ada, bob);
    await bob.page.evaluate(() => window.call.raiseHand());
    await until("ada sees the hand", 5_000, async () => (await ada.page.evaluate(() => window.call.hands[0]?.identity)) === "bob");
    const poll = await ada.page.evaluate(() => window.call.createPoll("Lunch?", ["Soup", "Salad"]));
    await until("bob is asked", 5_000, async () => (await news(bob, "poll")).length > 0);
    await bob.page.evaluate((poll) => window.call.vote(poll, [1]), poll);
    await ada.page.evaluate((poll) => window.call.closePoll(poll), poll);
    await until("bob sees the result", 5_000, async () => (await news(bob, "poll")).at(-1).poll.closed);
    assert.deepEqual((await news(bob, "poll")).at(-1).poll.votes, [0, 1]);
    await leave(ada, bob);
  });

  it("moves people into breakouts and back without a new offer", async (t) => {
    await together("breakouts", ada, bob, eve);
    const before = await Promise.all([bob, eve].map(offers));
    const [first, second] = [await id(ada, bob), await id(ada, eve)];
    await ada.page.evaluate(([bob, eve]) => window.call.openBreakouts(["Red", "Blue"], { assignments: [{ participant: bob, breakout: 0 }, { participant: eve, breakout: 0 }] }), [first, second]);
    await until("bob is moved", 5_000, async () => (await bob.page.evaluate(() => window.call.breakout)) === 0);
    t.diagnostic(`bob sees eve ${await sees(bob, eve)} ms after the move`);
    assert.deepEqual(await bob.page.evaluate(() => [...window.call.participants.values()].map(({ identity }) => identity)), ["eve"]);
    await ada.page.evaluate(() => window.call.closeBreakouts());
    await until("bob is back", 5_000, async () => (await bob.page.evaluate(() => window.call.breakout)) === null);
    t.diagnostic(`bob sees ada ${await sees(bob, ada)} ms after the return`);
    await sees(ada, eve);
    assert.deepEqual(await Promise.all([bob, eve].map(offers)), before);
    await leave(ada, bob, eve);
  });

  it("brings somebody from the audience to the stage without joining again", async () => {
    await begin(ada, "webinar");
    await connected(ada);
    await ada.page.evaluate(() => window.call.setRoom({ mode: "webinar" }));
    await begin(bob, "webinar", { video: false, token: token(bob, "webinar", "--no-publish") });
    await connected(bob);
    await sees(bob, ada);
    await until("ada is told of the audience", 5_000, async () => (await ada.page.evaluate(() => window.call.audience)) === 1);
    assert.equal(await ada.page.evaluate(() => window.call.participants.size), 0);
    const { people } = await ada.page.evaluate(() => window.call.audienceList());
    await ada.page.evaluate((bob) => window.call.setRole({ id: bob }, "speaker"), people[0].participant);
    await until("bob may publish", 5_000, async () => bob.page.evaluate(() => window.call.you.can_publish));
    await bob.page.evaluate(async () => {
      const stream = await navigator.mediaDevices.getUserMedia({ video: true });
      await window.call.publish(stream.getVideoTracks()[0]);
    });
    await sees(ada, bob);
    await leave(ada, bob);
  });
});
