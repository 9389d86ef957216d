// How good our connection is: three bars, from the round trip and from what is lost, as the browser measures them.
import { $ } from "/page/make.js";

const INTERVAL_MS = 2000;
/** From the best: at most so long a round trip, and so many per cent lost. */
const LEVELS = [[3, 0.2, 2, "good"], [2, 0.4, 6, "fair"], [1, Infinity, Infinity, "weak"]];

export class Network {
  #before = { lost: 0, all: 0 };

  constructor(call) {
    this.call = call;
    const timer = setInterval(() => this.#look(), INTERVAL_MS);
    call.ended.addEventListener("abort", () => {
      clearInterval(timer);
      $("network").hidden = true;
    });
  }

  async #look() {
    const { pc } = this.call.room;
    if (!pc || pc.connectionState !== "connected") return void ($("network").hidden = true);
    const stats = [...(await pc.getStats()).values()];
    const pair = stats.find(({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded");
    const seconds = pair?.currentRoundTripTime;
    if (seconds === undefined || this.call.ended.aborted) return;
    const down = this.#lostDown(stats);
    const up = 100 * Math.max(0, ...stats.filter(({ type }) => type === "remote-inbound-rtp").map(({ fractionLost = 0 }) => fractionLost));
    const [level, , , word] = LEVELS.find(([, roundTrip, lost]) => seconds <= roundTrip && Math.max(down, up) <= lost);
    const text = `Connection: ${word}. Round trip ${Math.round(seconds * 1000)} ms, lost ${down.toFixed(1)} % down, ${up.toFixed(1)} % up`;
    Object.assign($("network"), { hidden: false, title: text });
    $("network").dataset.level = level;
    $("network").setAttribute("aria-label", text);
  }

  /** Per cent of the packets toward us that were lost since the last look. */
  #lostDown(stats) {
    const now = { lost: 0, all: 0 };
    for (const { type, packetsLost = 0, packetsReceived = 0 } of stats) {
      if (type !== "inbound-rtp") continue;
      now.lost += Math.max(0, packetsLost);
      now.all += Math.max(0, packetsLost) + packetsReceived;
    }
    const [lost, all] = [now.lost - this.#before.lost, now.all - this.#before.all];
    this.#before = now;
    return all > 50 && lost > 0 ? Math.min(100, (100 * lost) / all) : 0;
  }
}
