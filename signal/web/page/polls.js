// Polls: hosts ask, everyone answers, results when they are due.
import { $, button, make } from "/page/make.js";
import { banner } from "/page/notices.js";

const OPTIONS_MAX = 10;

export class Polls {
  constructor(call, { panel }) {
    Object.assign(this, { call, panel });
    const { standing } = call;
    this.page = $("polls-page");
    this.list = make("div", { class: "polls" });
    this.make = this.#form();
    this.page.replaceChildren(make("div", { class: "scroll" }, this.make, this.list));
    standing.on("polls", (change) => this.#changed(change), call.ended);
    standing.on(["you", "entered"], () => this.#draw(), call.ended);
    this.#draw();
  }

  #changed(change) {
    this.#draw();
    const { poll, isNew } = change ?? {};
    if (isNew && !poll.closed && poll.by !== this.call.standing.you.id && this.panel.page !== "polls") {
      banner(`New poll: ${poll.question}`);
      this.panel.open("polls");
    }
  }

  #draw() {
    const { standing } = this.call;
    this.panel.offer("polls", standing.knows("polls") && (standing.isHost || standing.polls.size > 0));
    this.make.hidden = !standing.isHost;
    const polls = [...standing.polls.values()].reverse().sort((a, b) => Number(a.closed) - Number(b.closed));
    // Only what changed is drawn anew: somebody may be about to choose.
    const before = new Map([...this.list.children].map((card) => [card.dataset.poll, card]));
    this.list.replaceChildren(...polls.map((poll) => {
      const state = JSON.stringify([poll, standing.isHost]);
      const card = before.get(poll.id);
      return card?.state === state ? card : Object.assign(this.#card(poll), { state });
    }));
    if (!polls.length && !standing.isHost) this.list.append(make("p", { class: "empty", textContent: "No polls yet." }));
  }

  #card(poll) {
    const { id, question, options, anonymous, multiple, closed, voters, votes, who, yours } = poll;
    const total = Math.max(1, votes?.reduce((sum, count) => sum + count, 0) ?? 0);
    const chosen = new Set(yours);
    const rows = options.map((option, n) => {
      const input = make("input", { type: multiple ? "checkbox" : "radio", name: `poll ${id}`, value: String(n), checked: chosen.has(n), disabled: closed, onchange: () => this.#vote(card, id) });
      const result = votes && make("span", { class: "result" }, make("meter", { min: 0, max: total, value: votes[n], aria: { label: `${option}: ${votes[n]}` } }), make("b", { textContent: String(votes[n]) }));
      return make("li", {}, make("label", { class: "check" }, input, make("span", { textContent: option })), result, who?.[n]?.length ? make("small", { textContent: who[n].join(", ") }) : null);
    });
    const facts = [closed ? "Closed" : "Open", `${voters} ${voters === 1 ? "vote" : "votes"}`, anonymous ? "anonymous" : closed ? "with names" : "names are shown at the end", multiple && !closed ? "more than one may be chosen" : ""];
    const card = make("fieldset", { class: "poll", data: { poll: id, closed } }, make("legend", { textContent: question }), make("ul", {}, rows),
      make("p", { class: "facts", textContent: facts.filter(Boolean).join(" · ") }));
    if (this.call.standing.isHost && !closed) card.append(button("Close and show results", () => this.call.ask("close_poll", { poll: id }), "small plain"));
    return card;
  }

  #vote(card, poll) {
    const options = [...card.querySelectorAll("input:checked")].map(({ value }) => Number(value));
    return this.call.ask("vote", { poll, options });
  }

  #form() {
    const question = make("input", { required: true, maxLength: 300, placeholder: "Ask a question", aria: { label: "Question" }, data: { first: "" } });
    const options = make("div", { class: "options" });
    const add = () => {
      const n = options.children.length + 1;
      if (n > OPTIONS_MAX) return;
      options.append(make("input", { maxLength: 120, placeholder: `Option ${n}`, aria: { label: `Option ${n}` }, required: n < 3 }));
      more.hidden = n >= OPTIONS_MAX;
    };
    const more = button("Add an option", () => (add(), options.lastChild.focus()), "small plain");
    const box = (label, checked) => {
      const input = make("input", { type: "checkbox", checked });
      return [input, make("label", { class: "check" }, input, make("span", { textContent: label }))];
    };
    const [anonymous, anonymousLabel] = box("Anonymous", true);
    const [multiple, multipleLabel] = box("More than one answer", false);
    const form = make("form", { class: "new-poll" }, question, options, more, anonymousLabel, multipleLabel, make("button", { type: "submit", class: "small primary", textContent: "Start the poll" }));
    add();
    add();
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const texts = [...options.children].map(({ value }) => value.trim()).filter(Boolean);
      if (texts.length < 2 || !question.value.trim()) return;
      if (!(await this.call.ask("create_poll", { question: question.value.trim(), options: texts, anonymous: anonymous.checked, multiple: multiple.checked }))) return;
      form.reset();
      options.replaceChildren();
      add();
      add();
      details.open = false;
    });
    const details = make("details", { class: "fold" }, make("summary", { textContent: "New poll" }), form);
    return details;
  }
}
