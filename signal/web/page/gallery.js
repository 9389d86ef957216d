// The tiles: one for every camera, one for every shared screen, each as large as the window lets them be. What is pinned, a shared screen or (in
// speaker view) who speaks stands on the stage, the others beside or below it.

const GAP = 10;
const RATIO = 16 / 9;
/** With more faces than these the speaker stands on the stage, unless the user chose a view. */
const GRID_MAX = 5;

const initials = (name) => name.trim().split(/\s+/).filter(Boolean).slice(0, 2).map((word) => [...word][0].toUpperCase()).join("") || "?";
const hue = (text) => [...text].reduce((sum, letter) => (sum * 131 + letter.codePointAt(0) * 47) % 360, 7);

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
    const faces = [...this.tiles.values()].filter((tile) => tile.kind !== "screen").length;
    return this.view === "speaker" || (this.view === "auto" && faces > GRID_MAX);
  }

  /** What stands on the stage. */
  #staged() {
    const pinned = this.tiles.get(this.pinned);
    if (pinned) return [pinned];
    const all = [...this.tiles.values()];
    const screens = all.filter((tile) => tile.kind === "screen");
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

class Tile {
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
    const avatar = Object.assign(document.createElement("div"), { className: "avatar" });
    avatar.append(Object.assign(document.createElement("span"), { textContent: initials(name) }));
    const label = Object.assign(document.createElement("div"), { className: "label" });
    label.append(icon("mic-off"), Object.assign(document.createElement("span"), { textContent: local ? `${name} (you)` : kind === "screen" ? `${name}’s screen` : name }));
    this.note = Object.assign(document.createElement("div"), { className: "note" });
    this.video = Object.assign(document.createElement("video"), { autoplay: true, playsInline: true, muted: true });
    this.video.addEventListener("loadeddata", () => this.show());
    this.weak = Object.assign(document.createElement("p"), { className: "weak", hidden: true, textContent: "Audio only: your connection is weak" });
    this.weak.setAttribute("role", "status");
    this.panel = Object.assign(document.createElement("dl"), { className: "statistics", hidden: true });
    const whose = this.element.getAttribute("aria-label");
    this.pinButton = tool("pin", `Pin ${whose}`, on.pin);
    this.statisticsButton = tool("chart", `Statistics of ${whose}`, () => this.showStatistics(this.panel.hidden));
    const tools = Object.assign(document.createElement("div"), { className: "tools" });
    tools.append(this.pinButton, this.statisticsButton);
    this.element.append(avatar, this.video, label, this.note, this.weak, this.panel, tools);
    // With a mouse the whole tile is the button; the keyboard has the one in the corner.
    this.element.addEventListener("click", ({ target }) => !target.closest("button, .statistics") && on.pin());
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
    const cell = (name, textContent) => Object.assign(document.createElement(name), { textContent });
    this.panel.replaceChildren(...rows.flatMap(([term, text]) => [cell("dt", term), cell("dd", text)]));
  }

  setNote(text) {
    this.note.textContent = text;
  }

  /** The picture once there is one, the avatar until then. */
  show() {
    this.element.dataset.picture = !this.cameraOff && this.weak.hidden && this.video.srcObject !== null && this.video.readyState >= 2;
  }
}

function tool(symbol, label, act) {
  const button = Object.assign(document.createElement("button"), { type: "button", title: label });
  button.setAttribute("aria-label", label);
  button.setAttribute("aria-pressed", "false");
  button.append(icon(symbol));
  button.addEventListener("click", act);
  return button;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}
