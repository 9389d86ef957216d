// Calls between identities: ring somebody, be rung, accept or decline. Stands in for the lobby's form when the token opens no room of its own.
import { $, make } from "/page/make.js";
import { prompt, tell } from "/page/notices.js";

const ENDS = { declined: "declined", cancelled: "cancelled the call", timeout: "did not answer", hung_up: "hung up", room_ended: "the call has ended" };

export class Ringing {
  /** What takes away the question of each call that rings. */
  #questions = new Map();
  #tone = null;

  /**
   * @param {import("/client/pointsman.js").Presence} presence
   * @param {(room: string) => void} join
   */
  constructor(presence, join) {
    Object.assign(this, { presence, join });
    presence.addEventListener("closed", ({ detail }) => document.body.dataset.view === "lobby" && tell(detail.message, "error"));
    presence.addEventListener("call", ({ detail }) => this.#follow(detail.call));
    const whom = make("input", { required: true, maxLength: 100, placeholder: "Who to call", aria: { label: "Who to call" }, spellcheck: false });
    const form = make("form", { class: "row ring" }, whom, make("button", { type: "submit", class: "primary", textContent: "Call" }));
    form.addEventListener("submit", (event) => (event.preventDefault(), this.ring(whom.value.trim())));
    $("ring").hidden = false;
    $("ring").replaceChildren(form);
  }

  async ring(identity) {
    if (!identity) return;
    try {
      this.#follow(await this.presence.invite(identity));
    } catch (error) {
      tell(error.message, "error");
    }
  }

  #follow(call) {
    const mine = call.from === this.presence.identity;
    if (call.state === "ringing") return mine ? this.#outgoing(call) : this.#incoming(call);
    const asked = this.#questions.get(call.id);
    this.#settle(call.id);
    if (call.state === "connected") return asked?.joins && this.join(call.room);
    if (!asked) return;
    const name = mine ? call.to : call.from_name || call.from;
    tell(call.reason === "room_ended" ? "The call has ended." : `${name} ${ENDS[call.reason] ?? "ended the call"}.`);
  }

  #outgoing(call) {
    if (this.#questions.has(call.id)) return;
    const close = prompt(`Ringing ${call.to}…`, [["Cancel", () => this.presence.cancel(call.id).catch(() => {})]],
      { detail: call.reachable === false ? "Not online now: it rings as soon as they are." : "" });
    this.#questions.set(call.id, { close, joins: true });
  }

  #incoming(call) {
    if (this.#questions.has(call.id)) return;
    const question = { joins: false };
    question.close = prompt(`${call.from_name || call.from} is calling`, [["Accept", () => this.#accept(call, question)], ["Decline", () => this.presence.decline(call.id).catch(() => {})]],
      { detail: call.video ? "Video call" : "Voice call" });
    this.#questions.set(call.id, question);
    this.#tone ??= ringTone();
  }

  /** Only the tab that accepted joins: others of the same identity fall silent. */
  async #accept(call, question) {
    question.joins = false;
    try {
      const accepted = await this.presence.accept(call.id);
      this.#settle(call.id);
      this.join(accepted.room);
    } catch (error) {
      this.#settle(call.id);
      tell(error.message, "error");
    }
  }

  #settle(id) {
    this.#questions.get(id)?.close();
    this.#questions.delete(id);
    if (this.#questions.size) return;
    this.#tone?.();
    this.#tone = null;
  }
}

/** Two soft tones every three seconds, where the browser lets us; returns what ends it. */
function ringTone() {
  const audio = new AudioContext();
  const sound = () => {
    for (const [n, hertz] of [523, 659].entries()) {
      const gain = new GainNode(audio, { gain: 0 });
      const tone = new OscillatorNode(audio, { frequency: hertz });
      const start = audio.currentTime + n * 0.35;
      gain.gain.setTargetAtTime(0.08, start, 0.02);
      gain.gain.setTargetAtTime(0, start + 0.25, 0.05);
      tone.connect(gain).connect(audio.destination);
      tone.start(start);
      tone.stop(start + 0.7);
    }
  };
  sound();
  const timer = setInterval(sound, 3000);
  return () => {
    clearInterval(timer);
    audio.close();
  };
}
