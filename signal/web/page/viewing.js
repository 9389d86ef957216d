// Tells the server how each picture is shown: how large, whether at all, whether it is pinned. It then sends no more than that.

/** A change is told when nothing has changed for so long: windows are dragged, tiles glide to their places. */
const QUIET_MS = 200;

export class Viewing {
  #tiles = new Map();
  #timer = 0;
  #resized = new ResizeObserver((entries) => this.#note(entries, (tile, { contentRect: { width, height } }) => Object.assign(tile, { width, height })));
  #crossed = new IntersectionObserver((entries) => this.#note(entries, (tile, { isIntersecting }) => (tile.onScreen = isIntersecting)), { threshold: 0.01 });
  #look = () => this.touch();

  /** @param {(publication: import("/client/pointsman.js").Publication, preferences: object) => Promise<void>} prefer */
  constructor(prefer) {
    this.prefer = prefer;
    document.addEventListener("visibilitychange", this.#look);
  }

  /** What `shown` returns of an element, `{ publication, pinned, stage }`, is told from now on; without a publication nothing is. */
  watch(element, shown) {
    this.#tiles.set(element, { shown, width: 0, height: 0, onScreen: true });
    this.#resized.observe(element);
    this.#crossed.observe(element);
  }

  forget(element) {
    this.#tiles.delete(element);
    this.#resized.unobserve(element);
    this.#crossed.unobserve(element);
  }

  /** Something changed that no observer sees. */
  touch() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), QUIET_MS);
  }

  end() {
    clearTimeout(this.#timer);
    this.#resized.disconnect();
    this.#crossed.disconnect();
    document.removeEventListener("visibilitychange", this.#look);
  }

  #note(entries, take) {
    for (const entry of entries) {
      const tile = this.#tiles.get(entry.target);
      if (tile) take(tile, entry);
    }
    this.touch();
  }

  #tell() {
    for (const { shown, width, height, onScreen } of this.#tiles.values()) {
      const { publication, pinned, stage } = shown();
      if (!publication) continue;
      const visible = onScreen && document.visibilityState === "visible";
      const preferences = { width: Math.round(width * devicePixelRatio), height: Math.round(height * devicePixelRatio), visible, pinned, priority: stage ? 1 : 0 };
      if (Object.entries(preferences).every(([name, value]) => publication.preferences[name] === value)) continue;
      // It may have ended meanwhile: then there is nothing to tell.
      this.prefer(publication, preferences).catch((error) => console.debug(`not told how ${publication.id} is shown: ${error.message}`));
    }
  }
}
