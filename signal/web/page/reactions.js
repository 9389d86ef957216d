// Reactions that float over whose they are, and our own hand.
import { $, make, relabel } from "/page/make.js";
import { banner } from "/page/notices.js";

const EMOJI = [["👏", "Applause"], ["👍", "Yes"], ["👎", "No"], ["❤️", "Heart"], ["😂", "Laughter"], ["😮", "Surprise"], ["🎉", "Party"]];
/** So many at once may rise from people who have no tile. */
const FLOATING_MAX = 30;

export class Reactions {
  constructor(call, gallery) {
    Object.assign(this, { call, gallery });
    const { standing } = call;
    const bar = $("reactions");
    bar.replaceChildren(...EMOJI.map(([emoji, label]) => make("button", { type: "button", class: "emoji", textContent: emoji, title: label, aria: { label }, onclick: () => this.#react(emoji) })));
    $("react-button").addEventListener("click", () => this.toggle(), { signal: call.ended });
    bar.addEventListener("keydown", (event) => event.key === "Escape" && (event.stopPropagation(), this.toggle(false)), { signal: call.ended });
    $("hand-button").addEventListener("click", () => this.toggleHand(), { signal: call.ended });
    addEventListener("pointerdown", ({ target }) => !bar.contains(target) && !$("react-button").contains(target) && this.toggle(false, false), { signal: call.ended });
    call.ended.addEventListener("abort", () => this.toggle(false, false));
    standing.on("reaction", ({ participant, emoji }) => this.#float(participant, emoji), call.ended);
    standing.on(["hands", "you", "entered"], () => this.#show(), call.ended);
    let before = new Set(standing.hands.map(({ participant }) => participant));
    standing.on("hands", () => {
      const now = new Set(standing.hands.map(({ participant }) => participant));
      const risen = standing.hands.filter(({ participant }) => !before.has(participant) && participant !== standing.you.id);
      if (risen.length && standing.isHost) banner(`${risen[0].name || risen[0].identity} raised a hand.`, 4);
      before = now;
    }, call.ended);
    this.#show();
  }

  toggle(open = $("reactions").hidden, back = true) {
    const was = !$("reactions").hidden;
    $("reactions").hidden = !open;
    $("react-button").setAttribute("aria-expanded", open);
    if (open) $("reactions").querySelector("button").focus();
    else if (was && back) $("react-button").focus();
  }

  get isRaised() {
    const { standing } = this.call;
    return Boolean(standing.hasHandUp(standing.you?.id));
  }

  toggleHand() {
    return this.call.standing.knows("hands") && this.call.ask("raise_hand", { raised: !this.isRaised });
  }

  async #react(emoji) {
    if (await this.call.ask("react", { emoji })) this.#float(this.call.standing.you.id, emoji);
  }

  #float(participant, emoji) {
    const tile = this.gallery.get(participant === this.call.standing.you?.id ? "you" : participant);
    if (tile) return tile.float(emoji);
    const sky = $("sky");
    if (sky.children.length >= FLOATING_MAX) return;
    const floating = make("span", { class: "floating", textContent: emoji, aria: { hidden: "true" } });
    floating.style.left = `${5 + Math.random() * 30}%`;
    floating.addEventListener("animationend", () => floating.remove());
    sky.append(floating);
  }

  #show() {
    const { standing } = this.call;
    $("react-button").hidden = !(standing.knows("hands") && standing.mayTalk);
    $("hand-button").hidden = !standing.knows("hands");
    const raised = this.isRaised;
    $("hand-button").dataset.on = raised;
    $("hand-button").setAttribute("aria-pressed", raised);
    relabel($("hand-button"), "hand", raised ? "Lower hand" : "Raise hand");
  }
}
