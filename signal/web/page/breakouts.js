// Breakout rooms: hosts open them, spread people over them, move them, speak to all and call everyone back; everyone sees where they are and how long.
import { $, button, clock, make } from "/page/make.js";
import { banner, prompt } from "/page/notices.js";

const ROOMS_MAX = 50;
const NAMES = ["Red", "Blue", "Green", "Yellow", "Violet", "Orange", "White", "Black"];
const nameOf = (n) => (n < NAMES.length ? NAMES[n] : `Room ${n + 1}`);

export class Breakouts {
  /** Who shall go where, by participant, while rooms are being planned by hand. */
  #plan = new Map();

  constructor(call, { panel }) {
    Object.assign(this, { call, panel });
    const { standing } = call;
    this.page = $("rooms-page");
    this.body = make("div", { class: "scroll" });
    this.page.replaceChildren(this.body);
    standing.on(["breakouts", "you", "entered"], () => this.#draw(), call.ended);
    standing.on("entered", ({ type }) => type === "moved" && this.#arrived(), call.ended);
    standing.on("people", () => standing.isHost && (standing.breakouts ? this.#drawOpen() : this.#drawPlan()), call.ended);
    standing.on("broadcast", ({ by, name, text }) => prompt(`${name || (call.room.participants.has(by) ? call.nameOf(by) : "A host")} to all rooms: ${text}`, [["All right", () => {}]], { signal: call.ended, seconds: 60 }), call.ended);
    standing.on("ending", ({ ends_in_ms }) => banner(`The breakout rooms end in ${Math.round(ends_in_ms / 1000)} seconds.`, 8), call.ended);
    let were = Boolean(standing.breakouts);
    standing.on("breakouts", () => {
      const are = Boolean(standing.breakouts);
      if (!were && are && standing.breakouts.assign === "choice" && standing.breakout === null) {
        banner("Breakout rooms are open: choose one.");
        panel.open("rooms");
      }
      if (were && !are) banner("The breakout rooms have ended.");
      were = are;
    }, call.ended);
    const ticking = setInterval(() => this.#tick(), 500);
    call.ended.addEventListener("abort", () => clearInterval(ticking));
    $("back-button").onclick = () => this.#move(null);
    this.#draw();
  }

  get offered() {
    return this.panel.isOffered("rooms");
  }

  #arrived() {
    const { standing } = this.call;
    const where = standing.breakout === null ? "You are back in the main room." : `You are in the breakout room ${standing.name} now.`;
    banner(where);
  }

  #move(breakout, participant = this.call.standing.you.id) {
    return this.call.ask("move", { breakout, participant });
  }

  #draw() {
    const { standing } = this.call;
    const known = standing.knows("breakouts");
    this.panel.offer("rooms", known && (standing.isHost || Boolean(standing.breakouts)));
    const inside = known && standing.breakout !== null;
    $("room-name").textContent = inside ? (this.#current?.name ?? standing.name) : this.call.room.name;
    document.body.dataset.breakout = inside;
    $("back-button").hidden = !inside;
    if (!known) return;
    if (standing.breakouts) this.#drawOpen();
    else if (standing.isHost) this.#drawForm();
    else this.body.replaceChildren();
    this.#tick();
  }

  get #current() {
    return this.call.standing.breakouts?.rooms.find(({ breakout }) => breakout === this.call.standing.breakout);
  }

  #tick() {
    const { endsAt, breakouts } = this.call.standing;
    $("countdown").hidden = !(breakouts && endsAt);
    if (!endsAt) return;
    const left = endsAt - performance.now();
    $("countdown").textContent = clock(left);
    $("countdown").dataset.soon = left < 60_000;
  }

  // --- before they are open ---

  #drawForm() {
    this.#plan.clear();
    const rooms = make("input", { type: "number", min: 1, max: ROOMS_MAX, value: "2", required: true, data: { first: "" }, aria: { label: "Number of rooms" } });
    const assign = make("select", { aria: { label: "Who goes where" } }, new Option("Spread evenly", "even"), new Option("By hand", "manual"), new Option("Everyone chooses", "choice"));
    const minutes = make("input", { type: "number", min: 0, max: 720, step: "any", value: "10", aria: { label: "Minutes, 0 for no end" } });
    this.names = make("div", { class: "options" });
    this.people = make("ul", { class: "people" });
    this.form = { rooms, assign, minutes };
    const form = make("form", { class: "fields" },
      make("h3", { textContent: "Open breakout rooms" }),
      make("div", { class: "row" }, make("label", {}, "Rooms", rooms), make("label", {}, "Minutes", minutes)),
      make("label", {}, "Who goes where", assign),
      make("details", { class: "fold" }, make("summary", { textContent: "Names" }), this.names), this.people,
      make("button", { type: "submit", class: "primary", textContent: "Open the rooms" }));
    rooms.addEventListener("input", () => (this.#drawNames(), this.#drawPlan()));
    assign.addEventListener("change", () => this.#drawPlan());
    form.addEventListener("submit", (event) => (event.preventDefault(), this.#open()));
    this.body.replaceChildren(form);
    this.#drawNames();
    this.#drawPlan();
  }

  get #count() {
    return Math.max(1, Math.min(ROOMS_MAX, Number(this.form.rooms.value) || 1));
  }

  #drawNames() {
    const { children } = this.names;
    while (children.length > this.#count) this.names.lastChild.remove();
    while (children.length < this.#count) this.names.append(make("input", { value: nameOf(children.length), maxLength: 60, required: true, aria: { label: `Name of room ${children.length + 1}` }, onchange: () => this.#drawPlan() }));
  }

  #drawPlan() {
    if (!this.form) return;
    const byHand = this.form.assign.value === "manual";
    this.people.hidden = !byHand;
    if (!byHand) return this.people.replaceChildren();
    const names = [...this.names.children].map(({ value }) => value);
    this.people.replaceChildren(...[...this.call.room.participants.values()].map(({ id, identity, name }) => {
      const select = make("select", { aria: { label: `Room of ${name}` }, onchange: () => this.#plan.set(id, select.value) }, new Option("Main room", ""), ...names.map((room, n) => new Option(room, String(n))));
      select.value = names[this.#plan.get(id)] === undefined ? "" : this.#plan.get(id);
      return make("li", { data: { identity } }, make("span", { class: "who", textContent: name }), select);
    }));
  }

  async #open() {
    const rooms = [...this.names.children].map(({ value }, n) => value.trim() || nameOf(n));
    const assign = this.form.assign.value;
    const assignments = assign === "manual" ? [...this.#plan].filter(([id, room]) => room !== "" && Number(room) < rooms.length && this.call.room.participants.has(id)).map(([participant, room]) => ({ participant, breakout: Number(room) })) : [];
    const minutes = Number(this.form.minutes.value) || 0;
    const done = await this.call.ask("open_breakouts", { rooms, assign, duration_s: Math.round(minutes * 60), ...(assignments.length ? { assignments } : {}) });
    if (done) this.form = null;
  }

  // --- while they are open ---

  #drawOpen() {
    const { room, standing } = this.call;
    const { rooms, assign } = standing.breakouts;
    // Somebody may be writing, or about to choose: only what changed is drawn anew.
    if (!this.cards?.isConnected || this.cards.dataset.host !== String(standing.isHost)) {
      this.cards = make("div", { data: { host: standing.isHost } });
      this.body.replaceChildren(...(standing.isHost ? [this.#controls()] : []), this.cards);
    }
    const state = JSON.stringify([rooms, assign, standing.breakout, [...room.participants.keys()]]);
    if (this.cards.state === state) return;
    this.cards.state = state;
    const list = rooms.map(({ breakout, name, participants }) => this.#roomCard(breakout, name, participants, assign));
    this.cards.replaceChildren(...(standing.isHost || standing.breakout !== null ? [this.#mainCard()] : []), ...list);
  }

  #controls() {
    const { call } = this;
    const words = make("input", { maxLength: 500, placeholder: "Say something in every room", aria: { label: "Message to all rooms" } });
    const form = make("form", { class: "row" }, words, make("button", { type: "submit", class: "small primary", textContent: "Send" }));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const text = words.value.trim();
      if (text && (await call.ask("broadcast", { text }))) words.value = "";
    });
    const minutes = make("input", { type: "number", min: 0, max: 720, step: "any", value: "5", aria: { label: "Minutes from now" } });
    const timer = make("form", { class: "row" }, make("label", { class: "inline" }, "End in", minutes, "min"), make("button", { type: "submit", class: "small plain", textContent: "Set timer" }));
    timer.addEventListener("submit", (event) => (event.preventDefault(), call.ask("set_breakout_timer", { duration_s: Math.round(Number(minutes.value) * 60) || 0 })));
    return make("section", { class: "group" }, form, timer, button("Close the rooms", () => call.ask("close_breakouts"), "plain danger"));
  }

  #mainCard() {
    const { room, standing } = this.call;
    const here = standing.breakout === null;
    // Who moves is told to be there before it is told to have left.
    const elsewhere = new Set(standing.breakouts.rooms.flatMap(({ participants }) => participants.map(({ participant }) => participant)));
    const people = here ? [...room.participants.values()].filter(({ id }) => !elsewhere.has(id)).map(({ id, identity, name }) => ({ participant: id, identity, name })) : [];
    return make("section", { class: "room-card", data: { here, breakout: "main" } }, make("header", {}, make("h3", { textContent: "Main room" }), !here && button("Return", () => this.#move(null), "small primary")),
      make("ul", { class: "people" }, people.map((person) => this.#person(person, null))));
  }

  #roomCard(breakout, name, participants, assign) {
    const { standing } = this.call;
    const here = standing.breakout === breakout;
    const may = !here && (standing.isHost || assign === "choice");
    return make("section", { class: "room-card", data: { here, breakout: String(breakout) } },
      make("header", {}, make("h3", { textContent: name }), make("small", { textContent: here ? "you are here" : `${participants.length}` }), may && button("Join", () => this.#move(breakout), "small plain")),
      make("ul", { class: "people" }, participants.map((person) => this.#person(person, breakout))));
  }

  #person({ participant, identity, name }, breakout) {
    const { standing } = this.call;
    const row = make("li", { data: { identity } }, make("span", { class: "who", textContent: participant === standing.you.id ? `${name || identity} (you)` : name || identity }));
    if (!standing.isHost || participant === standing.you.id) return row;
    const select = make("select", { aria: { label: `Move ${name || identity}` }, onchange: () => this.#move(select.value === "" ? null : Number(select.value), participant) },
      new Option("Main room", ""), ...standing.breakouts.rooms.map((room) => new Option(room.name, String(room.breakout))));
    select.value = breakout === null ? "" : String(breakout);
    row.append(select);
    return row;
  }
}
