// The tiles: one for every camera, one for every shared screen, each as large as the window lets them be.

const GAP = 10;
const RATIO = 16 / 9;

const initials = (name) => name.trim().split(/\s+/).filter(Boolean).slice(0, 2).map((word) => [...word][0].toUpperCase()).join("") || "?";
const hue = (text) => [...text].reduce((sum, letter) => (sum * 131 + letter.codePointAt(0) * 47) % 360, 7);

export class Gallery {
  /** @param {HTMLElement} element @param {() => void} onBlocked called when the browser refuses to play sound before a click */
  constructor(element, onBlocked) {
    this.element = element;
    this.onBlocked = onBlocked;
    /** @type {Map<string, Tile>} */
    this.tiles = new Map();
    new ResizeObserver(() => this.layout()).observe(element);
  }

  /** The tile of this key, made when it is new. */
  tile(key, { identity, name, kind = "camera", local = false }) {
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = new Tile({ identity, name, kind, local }, this.onBlocked);
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
    this.layout();
  }

  clear() {
    for (const key of [...this.tiles.keys()]) this.remove(key);
  }

  /** Screens, if any, get most of the room; faces then stand beside or below them. */
  layout() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    const all = [...this.tiles.values()];
    const screens = all.filter((tile) => tile.kind === "screen");
    const faces = all.filter((tile) => tile.kind !== "screen").sort((a, b) => Number(a.local) - Number(b.local));
    if (!screens.length) return place(faces, { x: 0, y: 0, width, height });
    const wide = width > height * 1.2;
    const strip = wide ? Math.min(260, width * 0.25) : Math.min(180, height * 0.28);
    const stage = wide ? { x: 0, y: 0, width: width - strip - GAP, height } : { x: 0, y: 0, width, height: height - strip - GAP };
    place(screens, stage);
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
  constructor({ identity, name, kind, local }, onBlocked) {
    Object.assign(this, { kind, local, onBlocked });
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
    this.element.append(avatar, this.video, label, this.note);
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
    this.audio?.play().catch((error) => error.name === "NotAllowedError" && this.onBlocked());
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

  setNote(text) {
    this.note.textContent = text;
  }

  /** The picture once there is one, the avatar until then. */
  show() {
    this.element.dataset.picture = !this.cameraOff && this.video.srcObject !== null && this.video.readyState >= 2;
  }
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}
