// The waiting room: what who waits sees, and what hosts are told of who waits. The list itself stands among the people.
import { $ } from "/page/make.js";
import { banner, prompt } from "/page/notices.js";

/** While we wait; nothing of the room is known but its name. */
export function wait(message, leave) {
  $("waiting-room-name").textContent = message.room;
  document.body.dataset.view = "waiting";
  $("waiting-leave").onclick = leave;
  $("waiting-leave").focus();
}

export class Doorbell {
  #known;
  #close = null;

  constructor(call, { panel }) {
    Object.assign(this, { call, panel });
    this.#known = new Set();
    call.standing.on(["waiting", "you"], () => this.#ring(), call.ended);
    this.#ring();
  }

  #ring() {
    const { standing } = this.call;
    const waiting = standing.isHost ? standing.waiting : [];
    const arrived = waiting.filter(({ participant }) => !this.#known.has(participant));
    this.#known = new Set(waiting.map(({ participant }) => participant));
    if (!waiting.length || arrived.length) this.#close?.();
    if (!arrived.length || this.panel.page === "people") return;
    const [{ participant, identity, name }] = arrived;
    if (waiting.length > 1) {
      this.#close = prompt(`${waiting.length} people wait to come in.`, [["Admit all", () => this.call.ask("admit", { all: true })], ["Look", () => this.panel.open("people")]], { signal: this.call.ended });
      return;
    }
    const admit = async () => (await this.call.ask("admit", { participant })) && banner(`${name || identity} was admitted.`, 3);
    this.#close = prompt(`${name || identity} waits to come in.`, [["Admit", admit], ["Deny", () => this.call.ask("deny", { participant })]], { signal: this.call.ended });
  }
}
