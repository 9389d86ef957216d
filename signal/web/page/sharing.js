// Sharing our screen: as many as we like, each with its sound where the browser gives it.
import { $, relabel } from "/page/make.js";
import { tellError } from "/page/notices.js";

export class Sharing {
  /** What belongs to each shared screen. @type {Map<string, { publications: import("/client/pointsman.js").LocalPublication[], stream: MediaStream }>} */
  #shares = new Map();
  #made = 0;

  constructor(call, gallery) {
    Object.assign(this, { call, gallery });
    call.ended.addEventListener("abort", () => this.#forget());
    call.standing.on("you", () => this.show(), call.ended);
    this.show();
  }

  get possible() {
    return Boolean(this.call.standing.you?.can_publish && navigator.mediaDevices?.getDisplayMedia);
  }

  get count() {
    return this.#shares.size;
  }

  /** Keys of the tiles with our screens. */
  get keys() {
    return [...this.#shares.keys()];
  }

  toggle() {
    return this.count ? this.stop() : this.start();
  }

  async start() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: true });
    } catch (error) {
      if (error.name !== "NotAllowedError") tellError(error); // the user closed the picker: nothing to say
      return;
    }
    const key = this.#made++ ? `your screen ${this.#made}` : "your screen";
    const share = { publications: [], stream };
    this.#shares.set(key, share);
    for (const track of stream.getTracks()) {
      const picture = track.kind === "video";
      if (picture) {
        track.contentHint = "detail";
        track.addEventListener("ended", () => this.stop(key));
        this.gallery.tile(key, { identity: this.call.room.you.identity, name: "Your", kind: "screen", local: true }).setVideo(track);
      }
      const publication = await this.call.room.publish(track, { source: picture ? "screen" : "screen_audio" }).catch(tellError);
      if (!publication) continue;
      share.publications.push(publication);
      const tile = this.gallery.get(key);
      if (picture && tile) {
        tile.publication = publication;
        this.gallery.on.screen?.(tile, publication);
      }
    }
    if (!share.publications.length) await this.stop(key);
    this.show();
  }

  /** One shared screen, or all of them. */
  async stop(key) {
    for (const name of key ? [key] : [...this.#shares.keys()]) {
      const share = this.#shares.get(name);
      if (!share) continue;
      this.#shares.delete(name);
      this.gallery.remove(name);
      for (const track of share.stream.getTracks()) track.stop();
      for (const publication of share.publications) await this.call.room.unpublish(publication).catch(tellError);
    }
    this.show();
  }

  #forget() {
    for (const { stream } of this.#shares.values()) for (const track of stream.getTracks()) track.stop();
    this.#shares.clear();
    this.show();
  }

  show() {
    if (!this.possible && this.count && !this.call.ended.aborted) this.stop();
    const on = this.count > 0;
    $("screen-button").hidden = !this.possible;
    $("screen-button").dataset.on = on;
    relabel($("screen-button"), on ? "screen-off" : "screen", on ? "Stop sharing" : "Share screen");
  }
}
