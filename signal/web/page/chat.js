// The chat: to everyone or to one, what was said before, and taking it back. Texts are shown as texts.
import { $, button, icon, iconButton, keep, make } from "/page/make.js";
import { banner } from "/page/notices.js";

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
/** How many are in what one is told on coming in: there may be older ones. */
const KNOWN = 50;

export class Chat {
  #unread = 0;
  #more;

  constructor(call, { panel }) {
    Object.assign(this, { call, panel });
    const { standing } = call;
    this.page = $("chat-page");
    this.earlier = button("Earlier messages", () => this.#earlier(), "small plain earlier");
    this.list = make("ol", { class: "messages", tabIndex: 0, aria: { label: "Messages", live: "polite", role: "log" } });
    this.empty = make("p", { class: "empty", textContent: "Nothing has been said yet." });
    this.to = make("select", { aria: { label: "To whom" } });
    this.text = make("textarea", { rows: 1, maxLength: 4000, placeholder: "Write to everyone", aria: { label: "Message" }, data: { first: "" }, enterKeyHint: "send" });
    const form = make("form", { class: "write" }, make("label", { class: "to" }, "To", this.to), make("div", { class: "row" }, this.text, iconButton("send", "Send", null, "icon-button accent")));
    form.querySelector("button").type = "submit";
    form.addEventListener("submit", (event) => (event.preventDefault(), this.#send()));
    this.text.addEventListener("keydown", (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && (event.preventDefault(), this.#send()));
    this.to.addEventListener("change", () => this.#showTo());
    this.form = form;
    this.page.replaceChildren(make("div", { class: "scroll" }, this.earlier, this.empty, this.list), form);
    standing.on("chat", (message) => this.#changed(message), call.ended);
    standing.on("entered", () => this.#enter(), call.ended);
    standing.on(["people", "you"], () => this.#showTo(), call.ended);
    let host = standing.isHost;
    standing.on("you", () => {
      if (host === standing.isHost) return;
      host = standing.isHost;
      this.list.replaceChildren(); // whose messages we may delete has changed
      this.#draw();
    }, call.ended);
    call.on(["participantJoined", "participantLeft"], () => this.#showTo());
    panel.addEventListener("changed", () => this.panel.page === "chat" && this.#read(), { signal: call.ended });
    this.#enter();
  }

  #enter() {
    const { standing } = this.call;
    const known = standing.knows("chat");
    this.panel.offer("chat", known);
    $("chat-button").hidden = !known;
    this.#more = standing.chat.length >= KNOWN;
    this.#unread = 0;
    this.#showTo();
    this.#draw();
  }

  /** Opens the chat to write to one participant alone. */
  writeTo(participant) {
    this.#showTo();
    this.to.value = participant;
    this.#showTo();
    this.panel.open("chat");
  }

  #showTo() {
    const { room, standing } = this.call;
    const current = this.to.value;
    const people = [...room.participants.values()];
    this.to.replaceChildren(new Option("Everyone", ""), ...people.map(({ id, name }) => new Option(name, id)));
    this.to.value = people.some(({ id }) => id === current) ? current : "";
    this.form.dataset.private = Boolean(this.to.value);
    this.text.disabled = !standing.mayTalk;
    this.text.placeholder = !standing.mayTalk ? "You may not write here" : this.to.value ? `Only ${room.participants.get(this.to.value)?.name} sees it` : "Write to everyone";
  }

  async #send() {
    const text = this.text.value.trim();
    if (!text) return;
    const sent = await this.call.ask("chat", { text, ...(this.to.value ? { to: this.to.value } : {}) });
    if (sent && this.text.value.trim() === text) this.text.value = "";
    this.text.focus();
  }

  async #earlier() {
    const [oldest] = this.call.standing.chat;
    const history = await this.call.ask("chat_history", { limit: 100, ...(oldest ? { before: oldest.id } : {}) });
    if (history) this.#more = history.more;
    this.#draw();
  }

  #changed(message) {
    const box = this.list.parentElement;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
    this.#draw();
    if (message && (atEnd || message.from === this.call.standing.you?.id)) box.scrollTop = box.scrollHeight;
    if (!message || message.from === this.call.standing.you?.id || this.panel.page === "chat") return;
    this.#unread += 1;
    this.#badge();
    banner(`${message.to ? "Privately, " : ""}${message.name || message.identity}: ${message.text.length > 90 ? `${message.text.slice(0, 90)}…` : message.text}`, 4);
  }

  #read() {
    this.#unread = 0;
    this.#badge();
    const box = this.list.parentElement;
    box.scrollTop = box.scrollHeight;
  }

  #badge() {
    $("chat-badge").hidden = !this.#unread;
    $("chat-badge").textContent = String(Math.min(99, this.#unread));
    $("chat-button").setAttribute("aria-label", this.#unread ? `Chat, ${this.#unread} unread` : "Chat");
  }

  #draw() {
    const { chat } = this.call.standing;
    this.empty.hidden = chat.length > 0;
    this.earlier.hidden = !this.#more;
    keep(this.list, chat, ({ id }) => id, (message) => this.#row(message), () => {});
    this.#badge();
  }

  #row({ id, identity, name, to, to_identity, text, at_unix_ms }) {
    const { standing } = this.call;
    const own = identity === standing.you.identity;
    const whom = to || to_identity ? (own ? `to ${this.#named(to, to_identity)} alone` : "to you alone") : "";
    const row = make("li", { class: own ? "own" : "", data: { private: Boolean(whom) } },
      make("header", {}, make("b", { textContent: own ? "You" : name || identity }), whom && make("span", { class: "private" }, icon("lock"), whom), make("time", { textContent: TIME.format(at_unix_ms), dateTime: new Date(at_unix_ms).toISOString() })),
      make("p", { textContent: text }));
    if (own || standing.isHost) row.append(iconButton("trash", "Delete this message", () => this.call.ask("delete_chat", { message: id }), "icon-button delete"));
    return row;
  }

  #named(id, identity) {
    return this.call.room.participants.get(id)?.name ?? identity ?? "somebody";
  }
}
