// One tile: a picture or who stands for it, and what is to be known about it.
import { hue, icon, iconButton, initials, make } from "/page/make.js";

export class Tile {
  /** What is shown: somebody else's publication or, in our own tile, ours. */
  publication = null;
  pinned = false;
  stage = false;

  constructor({ identity, name, kind, local }, on) {
    Object.assign(this, { kind, local, on });
    this.element = Object.assign(document.createElement("article"), { className: "tile" });
    const { dataset, style } = this.element;
    dataset.identity = identity;
    dataset.kind = kind;
    if (local) dataset.local = "";
    style.setProperty("--hue", hue(identity));
    this.element.setAttribute("aria-label", kind === "screen" ? `Screen of ${name}` : name);

    // Names come from strangers: they are only ever set as text.
    const avatar = make("div", { class: "avatar" }, make("span", { textContent: initials(name) }));
    const label = make("div", { class: "label" }, icon("mic-off"), make("span", { textContent: labelOf(name, kind, local) }));
    this.note = make("div", { class: "note" });
    this.hand = make("div", { class: "hand", hidden: true, title: "Hand raised", aria: { role: "img", label: "Hand raised" } }, icon("hand"));
    this.video = make("video", { autoplay: true, playsInline: true, muted: true });
    this.video.addEventListener("loadeddata", () => this.show());
    this.weak = make("p", { class: "weak", hidden: true, textContent: "Audio only: your connection is weak", aria: { role: "status" } });
    this.panel = make("dl", { class: "statistics", hidden: true });
    const whose = this.element.getAttribute("aria-label");
    this.pinButton = tool("pin", `Pin ${whose}`, on.pin);
    this.statisticsButton = tool("chart", `Statistics of ${whose}`, () => this.showStatistics(this.panel.hidden));
    this.tools = make("div", { class: "tools" }, this.pinButton, kind !== "board" && this.statisticsButton);
    this.element.append(avatar, this.video, label, this.note, this.hand, this.weak, this.panel, this.tools);
    // With a mouse the whole tile is the button; the keyboard has the one in the corner.
    this.element.addEventListener("click", ({ target }) => !target.closest("button, .statistics, .board") && on.pin());
    this.cameraOff = false;
  }

  /** @param {MediaStreamTrack | null} track */
  setVideo(track) {
    if (this.video.srcObject?.getVideoTracks()[0] === track) return this.show();
    this.video.srcObject = track ? new MediaStream([track]) : null;
    if (track) this.video.play().catch(() => {}); // muted video may always play; an abort is a newer track's
    this.show();
  }

  /** @param {MediaStreamTrack | null} track */
  setAudio(track) {
    this.audio?.remove();
    this.audio = null;
    if (!track) return;
    this.audio = Object.assign(document.createElement("audio"), { autoplay: true, srcObject: new MediaStream([track]) });
    this.element.append(this.audio);
    this.play();
  }

  /** Tries to play; the browser may want a click first. */
  play() {
    this.audio?.play().catch((error) => error.name === "NotAllowedError" && this.on.blocked());
  }

  setCameraOff(off) {
    this.cameraOff = off;
    this.show();
  }

  setMuted(muted) {
    this.element.dataset.muted = muted;
  }

  setSpeaking(speaking) {
    this.element.dataset.speaking = speaking;
  }

  setPlace({ pinned, stage }) {
    Object.assign(this, { pinned, stage });
    this.element.dataset.stage = stage;
    this.pinButton.setAttribute("aria-pressed", pinned);
  }

  /** What the server sends of it: without a picture, the avatar says why. */
  setQuality(quality) {
    this.weak.hidden = quality?.reason !== "audio_only";
    this.element.dataset.reason = quality?.reason ?? "";
    this.show();
  }

  get statisticsOpen() {
    return !this.panel.hidden;
  }

  showStatistics(open) {
    this.panel.hidden = !open;
    this.statisticsButton.setAttribute("aria-pressed", open);
    if (open) this.setStatistics([["Statistics", "in a moment"]]);
  }

  /** @param {[string, string][]} rows */
  setStatistics(rows) {
    this.panel.replaceChildren(...rows.flatMap(([term, text]) => [make("dt", { textContent: term }), make("dd", { textContent: text })]));
  }

  setNote(text) {
    this.note.textContent = text;
  }

  /** @param {number} place in the line of raised hands, from 1; 0: not raised */
  setHand(place) {
    this.hand.hidden = !place;
  }

  /** A symbol that rises over the picture and is gone. */
  float(text) {
    const floating = make("span", { class: "floating", textContent: text, aria: { hidden: "true" } });
    floating.style.left = `${20 + Math.random() * 50}%`;
    floating.addEventListener("animationend", () => floating.remove());
    this.element.append(floating);
  }

  /** The picture once there is one, the avatar until then. */
  show() {
    this.element.dataset.picture = !this.cameraOff && this.weak.hidden && this.video.srcObject !== null && this.video.readyState >= 2;
  }
}

function labelOf(name, kind, local) {
  if (kind === "board") return name;
  if (kind === "screen") return local ? "Your screen" : `${name}’s screen`;
  return local ? `${name} (you)` : name;
}

function tool(symbol, label, act) {
  const element = iconButton(symbol, label, act, "");
  element.setAttribute("aria-pressed", "false");
  return element;
}
