// Janus as Debian packages it, and what a publisher and a viewer need of the HTTP API of its videoroom. The pages hold nothing but a connection.
import { spawn } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { until } from "./lab.mjs";

const API = "http://127.0.0.1:8088/janus";

/** Starts it with the configuration that the package brings. */
export async function janus() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "pointsman-janus-"));
  const log = path.join(dir, "janus.log");
  const child = spawn("janus", ["--disable-colors"], { cwd: dir, stdio: ["ignore", fs.openSync(log, "w"), fs.openSync(log, "a")] });
  await until("Janus is ready", 15_000, async () => {
    if (child.exitCode !== null) throw new Error(`Janus ended with ${child.exitCode}:\n${fs.readFileSync(log, "utf8")}`);
    return (await fetch(`${API}/info`).catch(() => null))?.ok;
  });
  return {
    async stop() {
      child.kill("SIGTERM");
      await until("Janus stops", 10_000, () => child.exitCode !== null || child.signalCode !== null);
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function post(url, message) {
  const response = await fetch(url, { method: "POST", body: JSON.stringify({ transaction: crypto.randomUUID(), ...message }) });
  const reply = await response.json();
  if (reply.janus === "error") throw new Error(`Janus: ${reply.error.reason}`);
  return reply;
}

/** A session with the videoroom; `ask(body, jsep)` gives back what the plugin says to a request: its data, and a description if there is one. */
export async function videoroom() {
  const session = `${API}/${(await post(API, { janus: "create" })).data.id}`;
  const handle = `${session}/${(await post(session, { janus: "attach", plugin: "janus.plugin.videoroom" })).data.id}`;
  const pending = new Map();
  let open = true;
  const listening = (async () => {
    while (open) {
      const events = await (await fetch(`${session}?maxev=10`)).json();
      for (const event of [events].flat()) pending.get(event.transaction)?.(event);
    }
  })();
  listening.catch((error) => open && console.error(`Janus: ${error.message}`));
  return {
    async ask(body, jsep) {
      const transaction = crypto.randomUUID();
      const event = new Promise((done) => pending.set(transaction, done));
      const reply = await post(handle, { janus: "message", transaction, body, ...(jsep && { jsep }) });
      // Some requests are answered at once, others later.
      const { plugindata, jsep: described } = reply.janus === "ack" ? await event : reply;
      pending.delete(transaction);
      if (plugindata.data.error) throw new Error(`videoroom: ${plugindata.data.error}`);
      return { ...plugindata.data, jsep: described };
    },
    async close() {
      open = false;
      await post(session, { janus: "destroy" });
    },
  };
}

/** An empty page that counts as secure, for what a tab does with a connection of its own. */
export async function blank({ page }) {
  await page.route("http://localhost/", (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><video autoplay playsinline></video>" }));
  await page.goto("http://localhost/");
}

// Inside a page: offers the camera in these encodings, and the microphone.
export async function offer(encodings) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  const pc = (window.pc = new RTCPeerConnection());
  for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: "sendonly", streams: [stream], sendEncodings: track.kind === "video" ? encodings : [{}] });
  await pc.setLocalDescription();
  await new Promise((done) => (pc.onicecandidate = ({ candidate }) => candidate ?? done()));
  return pc.localDescription.toJSON();
}

// Inside a page: takes the answer to what it offered.
export async function accept(description) {
  await window.pc.setRemoteDescription(description);
}

// Inside a page: answers an offer and shows what comes.
export async function answer(description) {
  const pc = (window.pc = new RTCPeerConnection());
  await pc.setRemoteDescription(description);
  document.querySelector("video").srcObject = new MediaStream(pc.getReceivers().map(({ track }) => track));
  await pc.setLocalDescription();
  await new Promise((done) => (pc.onicecandidate = ({ candidate }) => candidate ?? done()));
  return pc.localDescription.toJSON();
}
