// Ringing somebody into the call that is on: who is called need not have its link.
import { make } from "/page/make.js";
import { banner } from "/page/notices.js";

const ENDS = { declined: "declined", cancelled: "was not rung any longer", timeout: "did not answer" };

export class Invite {
  constructor(call) {
    this.call = call;
    const { standing } = call;
    const whom = make("input", { required: true, maxLength: 100, spellcheck: false, placeholder: "Identity", aria: { label: "Ring somebody in" } });
    const form = make("form", { class: "row" }, whom, make("button", { type: "submit", class: "small plain", textContent: "Ring" }));
    this.element = make("details", { class: "fold" }, make("summary", { textContent: "Ring somebody in" }), form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const identity = whom.value.trim();
      const reply = identity && (await call.ask("invite", { identity }));
      if (!reply) return;
      whom.value = "";
      banner(reply.call.reachable ? `Ringing ${identity}…` : `${identity} is not online now, and is rung when they are.`);
    });
    call.on("message", ({ message }) => message.type === "call" && this.#follow(message.call));
    const show = () => (this.element.hidden = !standing.options || !(standing.isHost || !(standing.options.locked || standing.options.waiting_room)));
    standing.on(["options", "you", "entered"], show, call.ended);
    show();
  }

  #follow({ to, state, reason }) {
    if (state === "connected") banner(`${to} accepted.`, 4);
    else if (state === "ended" && ENDS[reason]) banner(`${to} ${ENDS[reason]}.`);
  }
}
