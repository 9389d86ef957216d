// The others' tiles follow the room. They are made while we still connect, so that pictures are there at once.
import { $ } from "/page/make.js";
import { banner } from "/page/notices.js";
import { Viewing } from "/page/viewing.js";

const screenKey = (publication) => `screen ${publication.id}`;

export class Others {
  /** Whether pictures are missing as the connection is too weak. */
  #weak = false;
  /** Sound of shared screens, by id of its publication. @type {Map<string, HTMLAudioElement>} */
  #screenSound = new Map();

  constructor(call, gallery, devices) {
    Object.assign(this, { call, gallery, devices });
    this.viewing = new Viewing((publication, preferences) => call.room.prefer(publication, preferences));
    call.ended.addEventListener("abort", () => this.#end());
    const { standing } = call;
    call.on(["participantJoined", "participantUpdated"], ({ participant }) => this.#note(participant));
    call.on("participantLeft", ({ participant }) => gallery.remove(participant.id));
    call.on("trackSubscribed", (what) => this.#show(what));
    call.on("trackUnsubscribed", (what) => this.#hide(what));
    call.on("quality", (what) => this.#quality(what));
    call.on("speakers", ({ speakers: [first] }) => gallery.setSpeaker(first === call.room.you?.id ? "you" : (first ?? null)));
    call.on(["publicationMuted", "publicationUpdated"], ({ publication, participant }) => participant && publication.track && this.#show({ publication, participant, track: publication.track }));
    standing.on("people", () => [...call.room.participants.values()].forEach((participant) => this.#note(participant)), call.ended);
    standing.on("hands", () => {
      for (const [key, tile] of gallery.tiles) tile.setHand(standing.hasHandUp(key === "you" ? standing.you?.id : key));
    }, call.ended);
    const levels = setInterval(() => this.#levels(), 250);
    call.ended.addEventListener("abort", () => clearInterval(levels));
    devices.addEventListener("changed", () => this.#route(), { signal: call.ended });
  }

  #tile({ id, identity, name }) {
    const isNew = !this.gallery.get(id);
    const tile = this.gallery.tile(id, { identity, name });
    if (isNew) tile.setMuted(true);
    return tile;
  }

  #note(participant) {
    const note = !participant.connected ? "connecting…" : this.call.standing.isReconnecting(participant.id) ? "reconnecting…" : "";
    this.#tile(participant).setNote(note);
  }

  #show({ publication, participant, track }) {
    switch (publication.source) {
      case "screen":
        return this.#showPicture(this.gallery.tile(screenKey(publication), { identity: participant.identity, name: participant.name, kind: "screen" }), publication, track);
      case "camera":
        this.#showPicture(this.#tile(participant), publication, track);
        return this.#tile(participant).setCameraOff(publication.muted);
      case "microphone":
        this.#tile(participant).setAudio(track);
        this.#route();
        return this.#tile(participant).setMuted(publication.muted);
      case "screen_audio": {
        const audio = this.#screenSound.get(publication.id) ?? new Audio();
        this.#screenSound.set(publication.id, audio);
        if (audio.srcObject?.getAudioTracks()[0] !== track) audio.srcObject = new MediaStream([track]);
        this.#route();
        return audio.play().catch((error) => error.name === "NotAllowedError" && ($("unblock").hidden = false));
      }
    }
  }

  #showPicture(tile, publication, track) {
    if (!tile.publication) this.viewing.watch(tile.element, () => tile);
    tile.publication = publication;
    tile.setVideo(track);
    tile.setQuality(publication.quality);
    if (tile.kind === "screen") this.gallery.on.screen?.(tile, publication);
    this.viewing.touch();
  }

  #hide({ publication, participant }) {
    const { gallery } = this;
    switch (publication.source) {
      case "screen":
        this.#hidePicture(gallery.get(screenKey(publication)));
        return gallery.remove(screenKey(publication));
      case "camera": return this.#hidePicture(gallery.get(participant.id));
      case "microphone":
        gallery.get(participant.id)?.setAudio(null);
        return gallery.get(participant.id)?.setMuted(true);
      case "screen_audio":
        this.#screenSound.get(publication.id)?.pause();
        return this.#screenSound.delete(publication.id);
    }
  }

  #hidePicture(tile) {
    if (!tile) return;
    this.viewing.forget(tile.element);
    tile.publication = null;
    tile.setVideo(null);
  }

  #quality({ quality, publication, participant }) {
    if (publication.kind !== "video") return;
    const wasWeak = this.#weak;
    this.gallery.get(publication.source === "screen" ? screenKey(publication) : participant.id)?.setQuality(quality);
    this.#weak = [...this.gallery.tiles.values()].some((tile) => !tile.weak.hidden);
    if (this.#weak && !wasWeak) banner("Audio only: your connection is weak. Pictures come back when it is better.");
  }

  /** A ring around who speaks. */
  #levels() {
    const { room } = this.call;
    for (const participant of room.participants.values()) {
      for (const publication of participant.publications.values()) {
        if (publication.source !== "microphone" || !publication.track) continue;
        const receiver = room.pc.getReceivers().find((candidate) => candidate.track === publication.track);
        const level = receiver?.getSynchronizationSources?.()[0]?.audioLevel ?? 0;
        this.gallery.get(participant.id)?.setSpeaking(!publication.muted && level > 0.02);
      }
    }
  }

  get #sounds() {
    return [...[...this.gallery.tiles.values()].map(({ audio }) => audio).filter(Boolean), ...this.#screenSound.values()];
  }

  /** Sound comes out where the user wants it. */
  #route() {
    const { speaker } = this.devices;
    for (const audio of this.#sounds) if (audio.setSinkId && audio.sinkId !== speaker) audio.setSinkId(speaker).catch((error) => console.debug(error.message));
  }

  /** After a click the browser lets sound play. */
  play() {
    $("unblock").hidden = true;
    for (const audio of this.#sounds) audio.play().catch(() => {});
  }

  #end() {
    this.viewing.end();
    for (const audio of this.#screenSound.values()) audio.pause();
  }
}
