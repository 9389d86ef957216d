// The tiles: one for every camera, one for every shared screen, each as large as the window lets them be. What is pinned, a shared screen or (in
// speaker view) who speaks stands on the stage, the others beside or below it.

import { Tile } from "/page/tile.js";

const GAP = 10;
const RATIO = 16 / 9;
/** With more faces than these the speaker stands on the stage, unless the user chose a view. */
const GRID_MAX = 5;

export class Gallery {
  /** @type {"auto" | "speaker" | "grid"} */
  view = "auto";
  /** Keys of tiles. */
  pinned = null;
  speaker = null;

  /**
   * @param {HTMLElement} element
   * @param {object} on
   * @param {() => void} on.blocked called when the browser refuses to play sound before a click
   * @param {() => void} on.arranged called when tiles have moved
   */
  constructor(element, on) {
    this.element = element;
    this.on = on;
    /** @type {Map<string, Tile>} */
    this.tiles = new Map();
    new ResizeObserver(() => this.layout()).observe(element);
  }

  /** The tile of this key, made when it is new. */
  tile(key, { identity, name, kind = "camera", local = false }) {
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = new Tile({ identity, name, kind, local }, { blocked: this.on.blocked, pin: () => this.pin(this.pinned === key ? null : key) });
      this.tiles.set(key, tile);
      this.element.append(tile.element);
      this.layout();
    }
    return tile;
  }

  get(key) {
    return this.tiles.get(key);
  }

  remove(key) {
    this.tiles.get(key)?.element.remove();
    this.tiles.delete(key);
    if (this.pinned === key) this.pinned = null;
    if (this.speaker === key) this.speaker = null;
    this.layout();
  }

  /** Keeps one tile on the stage, or (null) lets the speaker have it again. */
  pin(key) {
    this.pinned = key;
    this.layout();
  }

  /** Who speaks, or null. Our own tile is marked, and never takes the stage from others. */
  setSpeaker(key) {
    for (const [other, tile] of this.tiles) tile.element.toggleAttribute("data-speaker", other === key);
    if (!key || this.tiles.get(key)?.local || this.speaker === key) return;
    this.speaker = key;
    this.layout();
  }

  setView(view) {
    this.view = view;
    this.layout();
  }

  get showsSpeaker() {
    const faces = [...this.tiles.values()].filter((tile) => tile.kind === "camera").length;
    return this.view === "speaker" || (this.view === "auto" && faces > GRID_MAX);
  }

  /** What stands on the stage. */
  #staged() {
    const pinned = this.tiles.get(this.pinned);
    if (pinned) return [pinned];
    const all = [...this.tiles.values()];
    const screens = all.filter((tile) => tile.kind !== "camera");
    if (screens.length || !this.showsSpeaker || all.length < 2) return screens;
    return [this.tiles.get(this.speaker) ?? all.find((tile) => !tile.local)].filter(Boolean);
  }

  clear() {
    for (const key of [...this.tiles.keys()]) this.remove(key);
  }

  /** The stage, if anything is on it, gets most of the room; the others then stand beside or below it. */
  layout() {
    const staged = this.#staged();
    for (const [key, tile] of this.tiles) tile.setPlace({ pinned: this.pinned === key, stage: staged.includes(tile) });
    this.#arrange(staged);
    this.on.arranged();
  }

  #arrange(staged) {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    const faces = [...this.tiles.values()].filter((tile) => !staged.includes(tile)).sort((a, b) => Number(a.local) - Number(b.local));
    if (!staged.length || !faces.length) return place(staged.length ? staged : faces, { x: 0, y: 0, width, height });
    const wide = width > height * 1.2;
    this.element.dataset.wide = wide;
    const strip = wide ? Math.min(260, width * 0.25) : Math.min(180, height * 0.28);
    const stage = wide ? { x: 0, y: 0, width: width - strip - GAP, height } : { x: 0, y: 0, width, height: height - strip - GAP };
    place(staged, stage);
    place(faces, wide ? { x: stage.width + GAP, y: 0, width: strip, height } : { x: 0, y: stage.height + GAP, width, height: strip });
  }
}

/** Rows and columns that make the tiles largest; a last row that is not full stands in the middle. */
function place(tiles, { x, y, width, height }) {
  const count = tiles.length;
  if (!count) return;
  let best = null;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const roomWide = (width - GAP * (columns - 1)) / columns;
    const roomHigh = (height - GAP * (rows - 1)) / rows;
    // A picture may be cropped a little to fill the window, on a phone held upright even taller than wide.
    const ratio = Math.max(width > height ? 4 / 3 : 0.8, Math.min(RATIO, roomWide / roomHigh));
    const tileWidth = Math.min(roomWide, roomHigh * ratio);
    const area = tileWidth * (tileWidth / ratio);
    if (!best || area > best.area) best = { area, columns, rows, width: tileWidth, height: tileWidth / ratio };
  }
  const top = y + (height - best.rows * best.height - GAP * (best.rows - 1)) / 2;
  tiles.forEach((tile, index) => {
    const row = Math.floor(index / best.columns);
    const inRow = Math.min(best.columns, count - row * best.columns);
    const left = x + (width - inRow * best.width - GAP * (inRow - 1)) / 2;
    const { style } = tile.element;
    style.left = `${left + (index % best.columns) * (best.width + GAP)}px`;
    style.top = `${top + row * (best.height + GAP)}px`;
    style.width = `${best.width}px`;
    style.height = `${best.height}px`;
  });
}
