// Every codec and every kind of layers: whatever a browser sends, a small tile gets a small picture, a large one the large picture, without a freeze between.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { chromium, firefox, HTTP, server, until } from "./lab.mjs";

/** The longest a picture may stand still while the layer changes, in ms: at 15 pictures a second a picture is 67. */
const GAP_MS_MAX = 1_000;

// In a page: publishes a moving picture by WHIP, with the given codec and encodings.
async function publish({ url, token, codec, encodings, width, height }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d");
  let n = 0;
  const draw = () => {
    pen.fillStyle = `hsl(${(n * 3) % 360} 70% 45%)`;
    pen.fillRect(0, 0, width, height);
    pen.fillStyle = "#fff";
    pen.fillRect((n += 7) % width, height / 2, 30, 60);
  };
  draw();
  setInterval(draw, 66);
  const pc = (window.publisher = new RTCPeerConnection());
  const transceiver = pc.addTransceiver(canvas.captureStream(15).getVideoTracks()[0], { direction: "sendonly", sendEncodings: encodings });
  const wanted = RTCRtpSender.getCapabilities("video").codecs.filter((one) => one.mimeType.toLowerCase() === `video/${codec}` || one.mimeType === "video/rtx");
  if (!wanted.some((one) => one.mimeType !== "video/rtx")) return null;
  transceiver.setCodecPreferences(wanted);
  await pc.setLocalDescription();
  const answer = await fetch(url, { method: "POST", body: pc.localDescription.sdp, headers: { "content-type": "application/sdp", authorization: `Bearer ${token}` } });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  await pc.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  return true;
}

// In the page: what arrives of the one camera, and the longest time between two of its pictures since the last question.
async function received() {
  const room = window.pointsman;
  const camera = [...room.participants.values()].flatMap((someone) => [...someone.publications.values()]).find((one) => one.source === "camera");
  const stats = [...(await room.pc.getStats()).values()];
  const stat = stats.find((x) => x.type === "inbound-rtp" && x.kind === "video" && x.mid === camera?.mid);
  const video = document.querySelector(".tile:not([data-local]) video");
  if (video && !video.gaps) {
    video.gaps = { last: performance.now(), longest: 0 };
    const shown = (now) => {
      video.gaps.longest = Math.max(video.gaps.longest, now - video.gaps.last);
      video.gaps.last = now;
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  }
  const gap = Math.round(video?.gaps.longest ?? 0);
  if (video) video.gaps.longest = 0;
  return { width: stat?.frameWidth, frames: stat?.framesDecoded ?? 0, codec: stats.find((x) => x.id === stat?.codecId)?.mimeType, gap, quality: camera?.quality };
}

// Chromium sends three sizes of pictures from 960 × 540 on, and two of smaller ones.
const simulcast = (scales, more = {}) => scales.map((scale, at) => ({ rid: "abc"[at], scaleResolutionDownBy: scale, maxBitrate: 800_000 / scale, ...more }));
const [two, three] = [[2, 1], [4, 2, 1]];

const CASES = [
  { name: "VP8, simulcast", codec: "vp8", encodings: simulcast(three), width: 960, small: 240 },
  { name: "VP9, L3T3", codec: "vp9", encodings: [{ scalabilityMode: "L3T3" }], width: 960, small: 240 },
  { name: "VP9, L3T3_KEY", codec: "vp9", encodings: [{ scalabilityMode: "L3T3_KEY" }], width: 960, small: 240 },
  { name: "VP9, simulcast", codec: "vp9", encodings: simulcast(two, { scalabilityMode: "L1T3" }), width: 640, small: 320 },
  { name: "AV1, L3T3", codec: "av1", encodings: [{ scalabilityMode: "L3T3" }], width: 960, small: 240 },
  { name: "AV1, simulcast", codec: "av1", encodings: simulcast(two, { scalabilityMode: "L1T3" }), width: 640, small: 320 },
  { name: "H.264, simulcast", codec: "h264", encodings: simulcast(three), width: 960, small: 240 },
  { name: "VP8, simulcast from Firefox", codec: "vp8", encodings: simulcast(three), width: 960, small: 240, from: firefox },
];

describe("codecs and their layers", () => {
  let pointsman, browser;
  before(async () => {
    pointsman = await server({ shards: 1 });
    browser = await chromium();
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
  });

  for (const [number, { name, codec, encodings, width, small, from }] of CASES.entries()) {
    it(name, async (t) => {
      const room = `codec-${number}`;
      const other = from && (await from());
      const source = await (other ?? browser).tab("Source");
      await source.page.goto(`${HTTP}/healthz`);
      const arguments_ = { url: `${HTTP}/whip/${room}`, token: pointsman.token(room, "Source"), codec, encodings, width, height: (width * 9) / 16 };
      if (!(await source.page.evaluate(publish, arguments_))) return t.skip(`this browser cannot send ${codec}`);
      const viewer = await browser.tab("Viewer");
      try {
        await viewer.open(`${HTTP}/?room=${room}&join=1&token=${pointsman.token(room, "Viewer")}`);
        const tile = viewer.page.locator('.tile[data-identity="Source"]');
        await tile.waitFor({ timeout: 20_000 });
        let last;
        const arrives = async (wanted) => {
          const since = Date.now();
          let gap = 0;
          await until(`pictures ${wanted} wide`, 20_000, async () => {
            last = await viewer.page.evaluate(received);
            gap = Math.max(gap, last.gap);
            return last.width === wanted && last.frames > 5;
          }).catch((error) => {
            throw new Error(JSON.stringify(last), { cause: error });
          });
          return { took: Date.now() - since, gap };
        };
        await viewer.page.setViewportSize({ width: 1400, height: 900 });
        await tile.getByRole("button", { name: "Pin Source" }).click();
        const first = await arrives(width);
        await viewer.page.setViewportSize({ width: 240, height: 400 });
        const down = await arrives(small);
        await viewer.page.setViewportSize({ width: 1400, height: 900 });
        const up = await arrives(width);
        t.diagnostic(`the large picture after ${first.took} ms; down after ${down.took} ms, ${down.gap} ms without a picture at most; up after ${up.took} ms, ${up.gap} ms`);
        assert.equal(last.codec?.toLowerCase(), `video/${codec}`);
        for (const { gap } of [down, up]) assert.ok(gap < GAP_MS_MAX, `${gap} ms without a picture`);
      } finally {
        await viewer.page.context().close();
        if (other) await other.close();
        else await source.page.context().close();
      }
    });
  }
});
