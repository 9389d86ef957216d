// Publishers and players that are not our page: FFmpeg, GStreamer, and a browser that speaks WHIP and WHEP by hand.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { chromium, HTTP, server, until } from "./lab.mjs";

// In a page: plays a WHEP resource and tells how many frames were decoded and whether sound arrived.
async function play({ url, token }) {
  const pc = new RTCPeerConnection();
  window.player = pc;
  pc.addTransceiver("video", { direction: "recvonly" });
  pc.addTransceiver("audio", { direction: "recvonly" });
  // Sound counts as received only when it is played: the element is not muted.
  const video = Object.assign(document.createElement("video"), { autoplay: true, srcObject: new MediaStream() });
  pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
  document.body.append(video);
  await pc.setLocalDescription();
  const answer = await fetch(url, { method: "POST", body: pc.localDescription.sdp, headers: { "content-type": "application/sdp", authorization: `Bearer ${token}` } });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  return { location: answer.headers.get("location"), link: answer.headers.get("link") };
}
const received = () => window.player.getStats().then((stats) => {
  const inbound = [...stats.values()].filter((x) => x.type === "inbound-rtp");
  return { frames: inbound.find((x) => x.kind === "video")?.framesDecoded ?? 0, energy: inbound.find((x) => x.kind === "audio")?.totalAudioEnergy ?? 0 };
});

describe("WHIP and WHEP", () => {
  let pointsman, browser;
  before(async () => {
    pointsman = await server();
    browser = await chromium();
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  /** A publisher as a child process; the room's page must show its picture, and a WHEP player must decode picture and sound. */
  async function published(room, command, args, options = {}) {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    let text = "";
    child.stdout.on("data", (x) => (text += x));
    child.stderr.on("data", (x) => (text += x));
    const alive = (what) => async (ask) => {
      if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode} before ${what}: ${text.slice(-1500)}`);
      return ask();
    };
    try {
      const watcher = await browser.tab("Watcher");
      await watcher.open(`${HTTP}/?room=${room}&name=Watcher&join=1&token=${pointsman.token(room, "Watcher")}`);
      const check = alive("it was seen in the room");
      await until(`the page shows ${command}'s picture`, 20_000, () => check(async () => Object.values(await watcher.pictures()).some((x) => x.seconds > 0.3)));
      const player = await browser.tab("Player");
      await player.page.goto(`${HTTP}/healthz`);
      await player.page.evaluate(play, { url: `${HTTP}/whep/${room}/${room}-source`, token: pointsman.token(room, "player") });
      await until(`WHEP plays ${command}'s picture and sound`, 20_000, () => check(async () => {
        const { frames, energy } = await player.page.evaluate(received);
        return frames > 5 && energy > 0.0001;
      }));
      await Promise.all([watcher, player].map((tab) => tab.page.context().close()));
    } finally {
      child.kill("SIGINT");
      await until(`${command} ends`, 10_000, () => child.exitCode !== null || child.signalCode !== null).catch(() => child.kill("SIGKILL"));
    }
  }

  it("takes FFmpeg's WHIP muxer", async () => {
    const token = pointsman.token("ffmpeg", "ffmpeg-source");
    await published("ffmpeg", process.env.FFMPEG ?? "ffmpeg", ["-hide_banner", "-re", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=15", "-f", "lavfi", "-i", "sine=frequency=700",
      "-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15", "-bf", "0", "-pix_fmt", "yuv420p", "-c:a", "libopus", "-ar", "48000", "-ac", "2",
      "-authorization", token, "-f", "whip", `${HTTP}/whip/ffmpeg`]);
  });

  it("takes GStreamer's webrtcbin with its RSA certificate", async () => {
    const token = pointsman.token("gstreamer", "gstreamer-source");
    await published("gstreamer", "/usr/bin/python3", [new URL("gstreamer_whip.py", import.meta.url).pathname, `${HTTP}/whip/gstreamer`, token]);
  });

  it("plays a camera of the page through WHEP, and says where its TURN server is", async () => {
    const camera = await browser.tab("Camera");
    await camera.open(`${HTTP}/?room=watched&name=Camera&join=1&token=${pointsman.token("watched", "Camera")}`);
    await camera.page.waitForFunction(() => window.pointsman?.pc?.connectionState === "connected", null, { timeout: 15_000 });
    const player = await browser.tab("Player");
    await player.page.goto(`${HTTP}/healthz`);
    const { location, link } = await player.page.evaluate(play, { url: `${HTTP}/whep/watched/Camera`, token: pointsman.token("watched", "viewer") });
    assert.match(link, /<turn:[^>]+>; *rel="ice-server"/);
    await until("the camera's picture and sound play", 15_000, async () => {
      const { frames, energy } = await player.page.evaluate(received);
      return frames > 5 && energy > 0.0001;
    });
    const gone = await fetch(new URL(location, HTTP), { method: "DELETE", headers: { authorization: `Bearer ${pointsman.token("watched", "viewer")}` } });
    assert.equal(gone.status, 200);
    await Promise.all([camera, player].map((tab) => tab.page.context().close()));
  });
});
