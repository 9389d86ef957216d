// What every browser test stands on: a Pointsman of its own, browsers with made-up cameras, and questions to ask of a call.
//
// tests/run starts node inside a network namespace that has `lo` and 10.78.0.1, so ports are free and nothing leaves it.
import { execFile, execFileSync, spawn } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import puppeteer from "puppeteer-core";
import { chromium as playwright } from "playwright-core";

export const ADDRESS = "10.78.0.1";
/** The name of ADDRESS in that namespace: Firefox speaks TURN over TLS with no server that has no name. */
export const HOST = "pointsman.test";
export const HTTP = "http://127.0.0.1:8080";
const ROOT = new URL("../..", import.meta.url).pathname;
export const BINARY = process.env.POINTSMAN_BIN ?? path.join(ROOT, "target/release/pointsman");
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export async function until(what, ms, ask) {
  const deadline = Date.now() + ms;
  for (let last; ; await sleep(20)) {
    last = await ask();
    if (last) return last;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
  }
}

/** An authority (ca.pem) and the server's certificate (cert.pem, key.pem) in `dir`. */
function certificate(dir) {
  const make = (...args) => execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", ...args], { stdio: "ignore" });
  make("-subj", "/CN=Pointsman test authority", "-keyout", `${dir}/ca-key.pem`, "-out", `${dir}/ca.pem`);
  make("-subj", "/CN=localhost", "-CA", `${dir}/ca.pem`, "-CAkey", `${dir}/ca-key.pem`, "-addext", "basicConstraints=critical,CA:FALSE",
    "-addext", `subjectAltName=DNS:${HOST},IP:${ADDRESS},IP:127.0.0.1`, "-keyout", `${dir}/key.pem`, "-out", `${dir}/cert.pem`);
}

const SECRET = "a key secret of more than thirty-two characters";

/** A token with claims that the command line does not make. */
function mint(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ iss: "testkey", exp: Math.floor(Date.now() / 1000) + 3600, ...claims })}`;
  return `${signed}.${crypto.createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** Starts the server with `args`, or with a production-like configuration on 10.78.0.1 and 127.0.0.1; `tcp` and `tls`: whether it listens there;
 *  `address`: one more that it has; `more`: sections of its configuration. */
export async function server({ dev = false, shards = 2, turn = "", more = "", tcp = true, tls = true, address } = {}) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "pointsman-test-"));
  const log = path.join(dir, "server.log");
  let args = ["serve", "--dev"];
  const addresses = address ? [ADDRESS, address] : [ADDRESS];
  const config = path.join(dir, "pointsman.toml");
  if (!dev) {
    certificate(dir);
    fs.writeFileSync(config, `public_ip = [${addresses.map((one) => `"${one}"`)}, "::1"]
[listen]
udp = [${addresses.map((one) => `"${one}:3478"`)}, "[::1]:3478"]
tcp = [${tcp ? `"${ADDRESS}:3478"` : ""}]
tls = [${tls ? addresses.map((one) => `"${one}:5349"`) : ""}]
http = ["127.0.0.1:8080"]
[tls]
certificate = "${dir}/cert.pem"
key = "${dir}/key.pem"
host = "${HOST}"
[engine]
shards = ${shards}
[turn]
realm = "example.org"
relay_ports = "50000-50999"
shared_secret = "a secret that only this test knows"
${turn}${more}[keys]
testkey = "${SECRET}"
`);
    args = ["serve", "--config", config];
  }
  const child = spawn(BINARY, args, { stdio: ["ignore", fs.openSync(log, "w"), fs.openSync(log, "a")] });
  const text = () => fs.readFileSync(log, "utf8");
  const ready = async () => (await fetch(`${HTTP}/readyz`).catch(() => null))?.ok;
  await until("the server is ready", 15_000, async () => {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${text()}`);
    return ready();
  });
  return {
    /** The authority that clients must trust. */
    authority: `${dir}/ca.pem`,
    token: (room, identity, ...more) =>
      execFileSync(BINARY, ["token", "--config", config, "--room", room, "--identity", identity, ...more], { encoding: "utf8" }).trim().split("\n").at(-1),
    /** A token that opens presence: no room. */
    presence: (identity) => mint({ sub: identity, name: identity, video: { roomJoin: true } }),
    /** A token for the whole server. */
    operator: () => execFileSync(BINARY, ["token", "--config", config, "--operator"], { encoding: "utf8" }).trim(),
    metrics: async () => (await fetch(`${HTTP}/metrics`)).text(),
    log: text,
    async stop() {
      child.kill("SIGTERM");
      await until("the server stops", 10_000, () => child.exitCode !== null);
      if (/panicked/.test(text())) throw new Error(text());
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Drops every UDP datagram of the test's network namespace; returns what lets them pass again. */
export function withoutUdp() {
  if (!execFileSync("ip", ["netns", "identify", String(process.pid)], { encoding: "utf8" }).trim()) throw new Error("this test must not run outside of a network namespace");
  execFileSync("nft", ["-f", "-"], { input: "table inet pointsman_test { chain in { type filter hook input priority 0; meta l4proto udp counter drop; }; }\n" });
  return () => execFileSync("nft", ["delete", "table", "inet", "pointsman_test"]);
}

/**
 * A network namespace behind a link: `near` is our address on it, `space` its name. What goes into it passes a queue of 200 ms at the link's rate, as a home
 * router's, then the delay, then the loss. Its devices carry no link layer: packets count as IP does.
 */
export async function behindLink() {
  const own = execFileSync("ip", ["netns", "identify", String(process.pid)], { encoding: "utf8" }).trim();
  if (!own) throw new Error("this test must not run outside of a network namespace");
  const [space, near, far] = [`${own}far`, "10.79.0.1", "10.79.0.2"];
  const ip = (...args) => execFileSync("ip", args);
  const wire = spawn("/usr/bin/python3", [new URL("delay.py", import.meta.url).pathname, "near", "far"], { stdio: ["pipe", "pipe", "inherit"] });
  // It must not wait for the browsers' processors.
  os.setPriority(wire.pid, -15);
  await new Promise((ready, failed) => wire.stdout.once("data", ready).once("end", () => failed(new Error("no wire: is there /dev/net/tun?"))));
  ip("netns", "add", space);
  ip("link", "set", "far", "netns", space);
  ip("addr", "add", `${near}/24`, "dev", "near");
  ip("link", "set", "near", "up");
  for (const args of [["link", "set", "lo", "up"], ["addr", "add", `${far}/24`, "dev", "far"], ["link", "set", "far", "up"], ["route", "add", "default", "dev", "far"]]) ip("-n", space, ...args);
  let kbit;
  return {
    near,
    space,
    rate(to) {
      execFileSync("tc", ["qdisc", kbit ? "change" : "add", "dev", "near", "root", "tbf", "rate", `${to}kbit`, "burst", "4kb", "latency", "200ms"]);
      kbit = to;
    },
    /** How long what is in the queue now needs to leave it, in milliseconds. */
    async queue() {
      const { stdout } = await promisify(execFile)("tc", ["-s", "-j", "qdisc", "show", "dev", "near"]);
      return (JSON.parse(stdout)[0].backlog * 8) / kbit;
    },
    /** Milliseconds: there, give or take so much, and back. */
    delay({ there = 0, jitter = 0, back = 0 }) {
      wire.stdin.write(`${there} ${jitter} ${back}\n`);
    },
    /** Loses so many per cent of what comes out of it: there, since what goes in may be trains of many packets. */
    loss(percent) {
      const chain = `table inet pointsman_loss { chain in { type filter hook input priority 0; iifname "far" numgen random mod 100 < ${percent} counter drop; }; }\n`;
      execFileSync("ip", ["netns", "exec", space, "nft", "-f", "-"], { input: `table inet pointsman_loss\ndelete table inet pointsman_loss\n${percent ? chain : ""}` });
    },
    async close() {
      wire.stdin.end();
      await until("the wire is gone", 5_000, () => wire.exitCode !== null);
      ip("netns", "del", space);
    },
  };
}

/** Sum of a metric's samples whose labels match. */
export function sum(metrics, name, labels = /./) {
  return metrics.split("\n").filter((line) => line.startsWith(name) && labels.test(line)).reduce((all, line) => all + Number(line.split(" ").at(-1)), 0);
}

// Replaces the camera and the microphone: a picture of one colour with a moving bar, and a tone. Both tell whose they are.
// With `noise` the picture is as hard to code as it gets: it takes all the bits that there are.
function camera({ hue, hertz, width = 640, height = 360, noise = 0 }) {
  navigator.mediaDevices.getUserMedia = async ({ video, audio }) => {
    const stream = new MediaStream();
    if (video) {
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const pen = canvas.getContext("2d");
      let n = 0;
      const draw = () => {
        pen.fillStyle = `hsl(${hue} 80% 45%)`;
        pen.fillRect(0, 0, width, height);
        pen.fillStyle = "#fff";
        pen.fillRect((n += 7) % (width - 20), height - 60, 20, 40);
        for (let i = 0; i < noise; i++) {
          pen.fillStyle = `hsl(${hue} ${Math.random() * 100}% ${Math.random() * 100}%)`;
          pen.fillRect(width / 4 + (Math.random() * width) / 2, height / 4 + (Math.random() * height) / 2, 12, 12);
        }
      };
      draw();
      setInterval(draw, 50);
      canvas.captureStream(20).getTracks().forEach((track) => stream.addTrack(track));
    }
    if (audio) {
      const context = new AudioContext();
      const tone = new OscillatorNode(context, { frequency: hertz });
      const sink = context.createMediaStreamDestination();
      tone.connect(sink);
      tone.start();
      await context.resume();
      sink.stream.getTracks().forEach((track) => stream.addTrack(track));
    }
    return stream;
  };
  // A shared screen is a still picture of the opposite colour, with a tone of its own.
  navigator.mediaDevices.getDisplayMedia = async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
    const pen = canvas.getContext("2d");
    let n = 0;
    const draw = () => {
      pen.fillStyle = `hsl(${(hue + 180) % 360} 80% 45%)`;
      pen.fillRect(0, 0, 640, 360);
      pen.fillStyle = "#fff";
      pen.fillRect((n += 9) % 600, 330, 20, 20);
    };
    draw();
    setInterval(draw, 100);
    const context = new AudioContext();
    const tone = new OscillatorNode(context, { frequency: hertz + 200 });
    const sink = context.createMediaStreamDestination();
    tone.connect(sink);
    tone.start();
    return new MediaStream([...canvas.captureStream(10).getTracks(), ...sink.stream.getTracks()]);
  };
}

// Asked inside a page: the hue of every remote picture, and whether it moves.
function pictures() {
  return Object.fromEntries([...document.querySelectorAll("[data-identity] video")].filter((video) => video.videoWidth && !video.closest("[data-local]")).map((video) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 16 });
    const pen = canvas.getContext("2d");
    pen.drawImage(video, 0, 0, 16, 16);
    const [r, g, b] = [...pen.getImageData(4, 4, 1, 1).data].map((x) => x / 255);
    const max = Math.max(r, g, b), d = max - Math.min(r, g, b) || 1;
    const hue = 60 * (max === r ? ((g - b) / d + 6) % 6 : max === g ? (b - r) / d + 2 : (r - g) / d + 4);
    return [video.closest("[data-identity]").dataset.identity, { hue: Math.round(hue), seconds: video.currentTime }];
  }));
}

// Asked inside a page: energy of every audio stream that arrives.
async function heard() {
  const pc = window.pointsman?.pc;
  if (!pc) return [];
  return [...(await pc.getStats()).values()].filter((x) => x.type === "inbound-rtp" && x.kind === "audio" && x.totalAudioEnergy > 0.0001).map((x) => x.totalAudioEnergy);
}

// Asked inside a page: the local candidates of the pairs in use.
async function candidates() {
  const stats = [...(await window.pointsman.pc.getStats()).values()];
  const pairs = stats.filter((x) => x.type === "candidate-pair" && x.state === "succeeded" && x.nominated);
  return pairs.map((pair) => stats.find((x) => x.id === pair.localCandidateId)).map((local) => ({ type: local?.candidateType, relayProtocol: local?.relayProtocol }));
}

const near = (hue, want) => Math.abs(((hue - want + 540) % 360) - 180) < 25;

/** People of one room in tabs of one browser, by name, all in the call; those of `hosts` have the rights of a host. */
export async function people(pointsman, browser, room, names, { hosts = names.slice(0, 1) } = {}) {
  const tabs = {};
  for (const [n, name] of names.entries()) {
    tabs[name] = await browser.tab(name, (30 + 110 * n) % 360, { width: 320, height: 180 });
    await tabs[name].comes(pointsman, room, { host: hosts.includes(name) });
    await tabs[name].inCall();
  }
  return tabs;
}

/** A browser tab in the call. */
export class Tab {
  constructor(page, name, hue) {
    Object.assign(this, { page, name, hue });
  }
  async open(url) {
    this.since = Date.now();
    await this.page.goto(url);
  }
  /** Waits until this tab sees and hears all of `others`; returns how long it took from opening the page, in ms. */
  async meets(others, ms = 15_000) {
    let last;
    try {
      await until("everyone is seen and heard", ms, async () => {
        last = { pictures: await this.page.evaluate(pictures), heard: await this.page.evaluate(heard) };
        const seen = Object.values(last.pictures).filter((x) => x.seconds > 0.1);
        return others.every((other) => seen.some((x) => near(x.hue, other.hue))) && last.heard.length >= others.length;
      });
    } catch (error) {
      const page = await this.page.evaluate(() => document.body.innerText.slice(0, 400)).catch(() => "");
      throw new Error(`${this.name} does not see and hear ${others.map((x) => `${x.name} (${x.hue})`)}: ${JSON.stringify(last)} page says: ${page}`, { cause: error });
    }
    return Date.now() - this.since;
  }
  /** Opens the page with a token for this room and joins. */
  comes(pointsman, room, { host = false, more = [] } = {}) {
    return this.open(`${HTTP}/?room=${room}&join=1&token=${pointsman.token(room, this.name, ...(host ? ["--admin"] : []), ...more)}`);
  }
  async inCall(ms = 25_000) {
    await this.page.waitForFunction(() => document.body.dataset.view === "call" && window.pointsman.state === "connected", null, { timeout: ms });
  }
  /** The user reads this somewhere on the page. */
  async reads(text, ms = 10_000) {
    await this.page.getByText(text).first().waitFor({ timeout: ms }).catch(async (error) => {
      throw new Error(`${this.name} does not read ${text}: ${await this.page.evaluate(() => document.body.innerText)}`, { cause: error });
    });
  }
  /** Presses a button by its label. */
  async press(name, { exact = true, within = this.page } = {}) {
    await within.getByRole("button", { name, exact }).first().click();
  }
  /** Opens a page of the panel. */
  async turnsTo(page) {
    if (!(await this.page.locator("#panel").isVisible())) await this.press("People", { exact: false });
    await this.page.getByRole("tab", { name: page }).click();
  }
  /** Chooses from somebody's menu in the list of people. */
  async chooses(entry, name) {
    await this.turnsTo(/^People/);
    await this.press(`More for ${name}`);
    await this.page.getByRole("menuitem", { name: entry, exact: true }).click();
  }
  /** Chooses from the menu of the call. */
  async more(entry) {
    await this.press("More");
    await this.page.getByRole("menu").getByText(entry, { exact: true }).click();
  }
  /** The row of somebody in the list of who is here. */
  row(name) {
    return this.page.locator(`#people-page section[aria-label="In the room"] li[data-identity="${name}"]`);
  }
  tile(name) {
    return this.page.locator(`.tile[data-kind="camera"][data-identity="${name}"]`);
  }
  pictures() {
    return this.page.evaluate(pictures);
  }
  /** Types of the local candidates in use. */
  async relayed() {
    return (await this.page.evaluate(candidates)).map(({ type }) => type);
  }
  /** What carries the relayed candidates in use to the server: udp, tcp or tls. */
  async relayProtocols() {
    return (await this.page.evaluate(candidates)).map(({ relayProtocol }) => relayProtocol);
  }
}

const CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--ignore-certificate-errors",
  "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection",
  "--disable-features=WebRtcHideLocalIpsWithMdns,LocalNetworkAccessChecks"];

/** Headless Chromium, in the network namespace `space` if given; `tab(name, hue)` opens a tab whose camera shows that hue, in pictures of 640 × 360 or of the `size` given. */
export async function chromium({ space } = {}) {
  let executablePath = "/usr/bin/chromium";
  if (space) {
    executablePath = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "pointsman-chromium-")), "chromium");
    fs.writeFileSync(executablePath, `#!/bin/sh\nexec ip netns exec ${space} /usr/bin/chromium "$@"\n`, { mode: 0o755 });
  }
  const browser = await playwright.launch({ executablePath, headless: true, args: CHROMIUM_FLAGS });
  return {
    async tab(name, hue = 20, size = {}) {
      const page = await (await browser.newContext()).newPage();
      page.on("pageerror", (error) => console.error(`${name}: ${error.message}`));
      await page.addInitScript(camera, { hue, hertz: 400 + 3 * hue, ...size });
      return new Tab(page, name, hue);
    },
    /** Pages that are not in a call. */
    context: (options) => browser.newContext(options),
    close: () => browser.close(),
  };
}

/** Headless Firefox ESR; it needs a PulseAudio server (PULSE_SERVER) to play sound. `authority`: a PEM file whose certificates it trusts, for `turns:` too. */
export async function firefox({ authority } = {}) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "pointsman-firefox-"));
  const profile = path.join(home, "profile");
  fs.mkdirSync(profile);
  if (authority) {
    execFileSync("certutil", ["-N", "--empty-password", "-d", `sql:${profile}`]);
    execFileSync("certutil", ["-A", "-n", "test authority", "-t", "C,,", "-i", authority, "-d", `sql:${profile}`]);
  }
  const browser = await puppeteer.launch({ browser: "firefox", executablePath: "/usr/bin/firefox-esr", headless: true, userDataDir: profile, env: { ...process.env, HOME: home },
    extraPrefsFirefox: { "media.navigator.permission.disabled": true, "media.navigator.streams.fake": true, "media.autoplay.default": 0, "media.autoplay.blocking_policy": 0,
      "media.peerconnection.ice.obfuscate_host_addresses": false } });
  return {
    async tab(name, hue = 280) {
      const page = await browser.newPage();
      await page.evaluateOnNewDocument(camera, { hue, hertz: 900 });
      return new Tab(page, name, hue);
    },
    async close() {
      await browser.close();
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
}
