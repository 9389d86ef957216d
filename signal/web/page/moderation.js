// What hosts do to the room as a whole, and what it means to us when a host asks or takes something.
import { $, button, make } from "/page/make.js";
import { openMenu } from "/page/menu.js";
import { banner, prompt } from "/page/notices.js";

const SWITCHES = [
  ["locked", "Lock the room", "Nobody else comes in, hosts excepted."],
  ["waiting_room", "Waiting room", "Who comes in waits until a host admits them."],
];

export class Moderation {
  constructor(call, { devices }) {
    Object.assign(this, { call, devices });
    const { standing } = call;
    standing.on("unmute", (asked) => this.#asked(asked), call.ended);
    standing.on(["options", "bans", "you", "entered"], () => this.#draw(), call.ended);
    let role = standing.you?.role;
    let might = standing.you?.can_publish;
    standing.on("you", () => {
      const { you } = standing;
      if (you.role !== role) this.#roleChanged(role, you.role);
      else if (might && !you.can_publish) banner("A host took away that you may be heard and seen.");
      else if (!might && you.can_publish) this.#invited("You may be heard and seen now.");
      role = you.role;
      might = you.can_publish;
    }, call.ended);
    this.#draw();
  }

  #roleChanged(before, now) {
    const { standing } = this.call;
    if (now === "viewer") return banner(standing.isWebinar ? "You are in the audience now." : "You may watch and listen now.");
    if (before === "viewer") return this.#invited(standing.isWebinar ? "You are on the stage now." : "You may be heard and seen now.");
    banner(now === "cohost" ? "You are a co-host now." : now === "host" ? "You are a host now." : "You are no longer a host.");
  }

  /** Nobody is put on the air without saying yes. */
  #invited(text) {
    prompt(text, [["Turn on microphone", () => this.devices.setMicrophone(true)], ["With camera", async () => {
      await this.devices.setMicrophone(true);
      await this.devices.setCamera(true);
    }], ["Not yet", () => {}]], { signal: this.call.ended });
  }

  #asked({ by, source }) {
    const video = source === "camera";
    if (video ? this.devices.camera : this.devices.sendsMicrophone) return;
    const name = this.call.nameOf(by);
    prompt(video ? `${name} asks you to turn your camera on.` : `${name} asks you to unmute.`,
      [[video ? "Turn camera on" : "Unmute", () => (video ? this.devices.setCamera(true) : this.devices.setMicrophone(true))], ["Not now", () => {}]], { signal: this.call.ended });
  }

  get offered() {
    return Boolean(this.call.standing.isHost && this.call.standing.options);
  }

  open() {
    this.#draw();
    $("host-dialog").showModal();
  }

  #draw() {
    const { call } = this;
    const { standing } = call;
    const { options } = standing;
    $("locked-mark").hidden = !options?.locked;
    if (!this.offered) return void ($("host-dialog").open && $("host-dialog").close());
    const set = (name, value) => call.ask("set_room", { [name]: value });
    const toggle = ([name, label, what]) => {
      const input = make("input", { type: "checkbox", class: "switch", checked: Boolean(options[name]), data: { option: name }, onchange: () => set(name, input.checked).then((done) => done ?? this.#draw()) });
      return make("label", { class: "check wide" }, make("span", {}, label, make("small", { textContent: what })), input);
    };
    const webinar = make("input", { type: "checkbox", class: "switch", checked: standing.isWebinar, data: { option: "mode" }, onchange: () => set("mode", webinar.checked ? "webinar" : "call").then((done) => done ?? this.#draw()) });
    const bans = standing.bans.map((identity) => make("li", { data: { identity } }, make("span", { class: "who", textContent: identity }), button("Let back in", () => call.ask("unban", { identity }), "small plain")));
    $("host-body").replaceChildren(
      ...SWITCHES.map(toggle),
      make("label", { class: "check wide" }, make("span", {}, "Webinar", make("small", { textContent: "Some are on the stage, all others watch and raise hands." })), webinar),
      bans.length ? make("section", { class: "group" }, make("h3", { textContent: "Banned" }), make("ul", { class: "people" }, bans)) : "",
      make("div", { class: "row end" }, button("Mute everyone", async () => (await call.ask("mute_all")) && banner("Everyone but the hosts is muted."), "plain"),
        standing.you.role === "host" && button("End for everyone", () => this.end(), "plain danger")));
  }

  end() {
    if ($("host-dialog").open) $("host-dialog").close();
    prompt("End the call for everyone?", [["End for everyone", () => this.call.ask("end_room")], ["Cancel", () => {}]], { signal: this.call.ended });
  }

  /** Hosts may leave or end it all; everyone else leaves. */
  leave(anchor) {
    const { room, standing } = this.call;
    const alone = !room.participants.size && !standing.audience;
    if (alone || !this.offered || standing.you.role !== "host") return room.leave();
    openMenu(anchor, [{ label: "Leave", symbol: "leave", act: () => room.leave() }, { label: "End for everyone", symbol: "block", danger: true, act: () => this.end() }]);
  }
}
