// Who is here: roles, who may be heard and seen, hands in their order, who waits outside, the audience of a webinar; and what hosts do to each.
import { Invite } from "/page/invite.js";
import { $, button, face, icon, iconButton, keep, make } from "/page/make.js";
import { openMenu } from "/page/menu.js";
import { banner } from "/page/notices.js";

const ROLES = { host: "Host", cohost: "Co-host", speaker: "Speaker", viewer: "Viewer" };
/** How many of the audience are asked for at a time. */
const PAGE = 50;

export class People {
  /** The part of the audience that was asked for. */
  #audience = [];
  #next = null;
  #due = false;

  constructor(call, { gallery, panel, chat, devices }) {
    Object.assign(this, { call, gallery, panel, chat, devices });
    const { standing } = call;
    const refresh = () => this.#refresh();
    call.on(["participantJoined", "participantLeft", "participantUpdated", "publicationStarted", "publicationUpdated", "publicationEnded", "publicationMuted", "trackSubscribed"], refresh);
    standing.on(["people", "you", "hands", "waiting", "audience", "options", "entered"], refresh, call.ended);
    devices.addEventListener("changed", refresh, { signal: call.ended });
    panel.offer("people", true);
    this.page = $("people-page");
    this.page.replaceChildren(
      (this.waiting = make("section", { class: "group waiting-list", aria: { label: "Waiting room" } })),
      (this.hands = make("section", { class: "group", aria: { label: "Raised hands" } })),
      (this.here = make("section", { class: "group", aria: { label: "In the room" } })),
      (this.watching = make("section", { class: "group", aria: { label: "Audience" } })),
      new Invite(call).element,
    );
    refresh();
  }

  /** Many things change together: the list is drawn once. */
  #refresh() {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      if (!this.call.ended.aborted && this.call.room.you) this.#draw();
    });
  }

  #draw() {
    const { room, standing } = this.call;
    const others = room.participants.size;
    const all = others + 1 + standing.audience;
    $("count").textContent = others || standing.audience ? `${all} people` : "You are alone here";
    $("people-count").textContent = all > 999 ? "999+" : String(all);
    $("people-badge").hidden = !(standing.isHost && standing.waiting.length);
    $("people-badge").textContent = String(standing.waiting.length);
    $("people-tab").textContent = `People ${all}`;
    this.#drawWaiting();
    this.#drawHands();
    this.#drawHere();
    this.#drawAudience();
  }

  #drawWaiting() {
    const { standing } = this.call;
    const list = standing.isHost ? standing.waiting : [];
    this.waiting.hidden = !list.length;
    if (!list.length) return this.waiting.replaceChildren();
    const rows = list.map(({ participant, identity, name }) =>
      make("li", { data: { identity } }, face(identity, name), make("span", { class: "who", textContent: name || identity }),
        button("Admit", () => this.call.ask("admit", { participant }), "small primary"), button("Deny", () => this.call.ask("deny", { participant }), "small plain")));
    this.waiting.replaceChildren(
      make("header", {}, make("h3", { textContent: `Waiting to come in (${list.length})` }), list.length > 1 && button("Admit all", () => this.call.ask("admit", { all: true }), "small plain")),
      make("ul", { class: "people" }, rows));
  }

  #drawHands() {
    const { standing } = this.call;
    const { hands } = standing;
    this.hands.hidden = !hands.length;
    if (!hands.length) return this.hands.replaceChildren();
    const rows = hands.map(({ participant, identity, name }, n) => {
      const stage = standing.isHost && standing.isWebinar && !this.call.room.participants.has(participant) && participant !== standing.you.id;
      return make("li", { data: { identity } }, make("span", { class: "place", textContent: `${n + 1}` }), make("span", { class: "who", textContent: name || identity }),
        stage && button("Bring to the stage", () => this.#setRole(participant, "speaker"), "small primary"),
        (standing.isHost || participant === standing.you.id) && button("Lower", () => this.call.ask("raise_hand", participant === standing.you.id ? { raised: false } : { raised: false, participant }), "small plain"));
    });
    this.hands.replaceChildren(
      make("header", {}, make("h3", { textContent: `Raised hands (${hands.length})` }), standing.isHost && hands.length > 1 && button("Lower all", () => this.call.ask("raise_hand", { raised: false, all: true }), "small plain")),
      make("ol", { class: "people hands" }, rows));
  }

  #drawHere() {
    const { room, standing } = this.call;
    if (!this.here.firstChild) {
      this.muteAll = button("Mute all", async () => (await this.call.ask("mute_all")) && banner("Everyone but the hosts is muted."), "small plain");
      this.here.append(make("header", {}, (this.title = make("h3")), this.muteAll), (this.list = make("ul", { class: "people" })));
    }
    this.title.textContent = standing.isWebinar ? "On the stage" : "In the room";
    this.muteAll.hidden = !(standing.isHost && standing.options && room.participants.size);
    const { you } = room;
    const me = { id: "you", identity: you.identity, name: you.name || you.identity, you: true };
    keep(this.list, [...(this.#isAudience ? [] : [me]), ...room.participants.values()], ({ id }) => id, (person) => this.#row(person), (row, person) => this.#update(row, person));
  }

  /** In a webinar whoever may not be seen is not on the stage. */
  get #isAudience() {
    const { standing } = this.call;
    return standing.isWebinar && standing.you?.role === "viewer";
  }

  #row(person) {
    const { identity, name } = person;
    const row = make("li", { data: { identity } }, face(identity, name),
      make("span", { class: "who" }, make("span", { class: "name", textContent: person.you ? `${name} (you)` : name }), make("small")),
      make("span", { class: "marks" }, make("span", { class: "hand-mark", title: "Hand raised", aria: { role: "img", label: "hand raised" } }, icon("hand")), icon("mic"), icon("camera")));
    if (!person.you) {
      const more = iconButton("more", `More for ${name}`, () => openMenu(more, this.#entries(person)));
      more.setAttribute("aria-haspopup", "menu");
      row.append(more);
    }
    return row;
  }

  #update(row, person) {
    const { standing } = this.call;
    const id = person.you ? standing.you?.id : person.id;
    const role = standing.role(id);
    const away = !person.you && standing.isReconnecting(person.id) ? "reconnecting…" : person.connected === false ? "connecting…" : "";
    row.querySelector("small").textContent = [ROLES[role] && (role !== "speaker" || standing.isWebinar) ? ROLES[role] : "", away].filter(Boolean).join(" · ");
    row.dataset.role = role ?? "";
    const heard = person.you ? this.devices.sendsMicrophone && this.devices.microphonePublication : publicationOf(person, "microphone")?.muted === false;
    const seen = person.you ? this.devices.camera && this.devices.cameraPublication : publicationOf(person, "camera")?.muted === false;
    const [mic, camera] = row.querySelectorAll(".marks > svg use");
    mic.setAttribute("href", heard ? "#mic" : "#mic-off");
    camera.setAttribute("href", seen ? "#camera" : "#camera-off");
    row.dataset.heard = Boolean(heard);
    row.dataset.seen = Boolean(seen);
    row.querySelector(".hand-mark").hidden = !standing.hasHandUp(id);
  }

  /** What can be done about somebody: everyone may pin and write, hosts more. */
  #entries(person) {
    const { call, gallery } = this;
    const { standing } = call;
    const participant = person.id;
    const pinned = gallery.pinned === participant;
    const entries = [
      { label: pinned ? "Unpin" : "Pin", symbol: "pin", act: () => gallery.pin(pinned ? null : participant) },
      standing.knows("chat") && standing.mayTalk && { label: "Write privately", symbol: "chat", act: () => this.chat.writeTo(participant) },
    ];
    return standing.isHost ? [...entries, null, ...this.#mediaEntries(person), null, ...this.#roleEntries(person)] : entries;
  }

  #mediaEntries(person) {
    const { call } = this;
    const ask = (source) => async () => (await call.ask("ask_unmute", { participant: person.id, source })) && banner(`${person.name} was asked.`, 3);
    return [["microphone", "Mute", "Ask to unmute", "mic"], ["camera", "Stop video", "Ask to start video", "camera"]].flatMap(([source, stop, start, symbol]) => {
      const publication = publicationOf(person, source);
      if (publication && !publication.muted) return { label: stop, symbol: `${symbol}-off`, act: () => call.ask("mute", { publication: publication.id, muted: true }) };
      return call.standing.options ? { label: start, symbol, act: ask(source) } : publication?.mutedByServer ? { label: "Unmute", symbol, act: () => call.ask("mute", { publication: publication.id, muted: false }) } : [];
    }).concat([...person.publications.values()].filter(({ source, muted }) => source === "screen" && !muted)
      .map(({ id }) => ({ label: "Stop screen share", symbol: "screen-off", act: () => call.ask("mute", { publication: id, muted: true }) })));
  }

  #roleEntries({ id: participant, name }) {
    const { call } = this;
    const { standing } = call;
    if (!standing.options) return [];
    const role = standing.role(participant);
    const isHost = standing.you.role === "host";
    const permit = (label, permission) => [{ label: `Allow ${label}`, symbol: "check", act: () => call.ask("set_permissions", { participant, [permission]: true }) },
      { label: `Do not allow ${label}`, symbol: "block", act: () => call.ask("set_permissions", { participant, [permission]: false }) }];
    return [
      isHost && role !== "cohost" && role !== "host" && { label: "Make co-host", symbol: "shield", act: () => this.#setRole(participant, "cohost") },
      isHost && role === "cohost" && { label: "No longer co-host", symbol: "shield", act: () => this.#setRole(participant, "speaker") },
      role === "viewer" && { label: standing.isWebinar ? "Bring to the stage" : "Make speaker", symbol: "mic", act: () => this.#setRole(participant, "speaker") },
      role === "speaker" && { label: standing.isWebinar ? "Move to the audience" : "Make viewer", symbol: "people", act: () => this.#setRole(participant, "viewer") },
      { label: "Permissions…", symbol: "sliders", act: () => openMenu(this.#anchor(participant), [...permit("sound and video", "can_publish"), null, ...permit("chat and reactions", "can_publish_data")]) },
      null,
      { label: "Remove", symbol: "leave", danger: true, act: () => call.ask("remove", { participant }) },
      { label: `Ban ${name}`, symbol: "block", danger: true, act: () => call.ask("remove", { participant, ban: true }) },
    ];
  }

  #anchor(participant) {
    return this.list.querySelector(`[data-key="${CSS.escape(participant)}"] .icon-button`) ?? $("people-tab");
  }

  #setRole(participant, role) {
    return this.call.ask("set_role", { participant, role });
  }

  // --- the audience of a webinar ---

  #drawAudience() {
    const { standing } = this.call;
    const shown = standing.isWebinar || standing.audience > 0;
    this.watching.hidden = !shown;
    if (!shown) return;
    const own = this.#isAudience ? [make("li", { data: { identity: standing.you.identity } }, face(standing.you.identity, standing.you.name || standing.you.identity), make("span", { class: "who", textContent: `${standing.you.name || standing.you.identity} (you)` }))] : [];
    const rows = standing.isHost ? this.#audience.map(({ participant, identity, name }) =>
      make("li", { data: { identity } }, face(identity, name), make("span", { class: "who", textContent: name || identity }),
        button("Bring to the stage", async () => {
          if (await this.#setRole(participant, "speaker")) this.#audience = this.#audience.filter((person) => person.participant !== participant);
          this.#refresh();
        }, "small plain"))) : [];
    const more = standing.isHost && standing.audience > 0 && (this.#next !== null || !this.#audience.length);
    this.watching.replaceChildren(
      make("header", {}, make("h3", { textContent: `Audience (${standing.audience})` }), standing.isHost && this.#audience.length > 0 && button("Refresh", () => this.#list(true), "small plain")),
      make("ul", { class: "people" }, own, rows),
      more ? button(this.#audience.length ? "Show more" : "Show who", () => this.#list(!this.#audience.length), "small plain") : "");
  }

  async #list(anew) {
    const page = await this.call.ask("audience_list", { limit: PAGE, ...(anew || !this.#next ? {} : { after: this.#next }) });
    if (!page) return;
    this.#audience = anew ? page.people : [...this.#audience, ...page.people];
    this.#next = page.next ?? null;
    this.#refresh();
  }
}

const publicationOf = (person, source) => [...(person.publications?.values() ?? [])].find((publication) => publication.source === source);
