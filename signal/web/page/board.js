// Drawing together: on a whiteboard, and over a shared screen. A board is a canvas over a picture; strokes are kept as they are told, in whole numbers
// from 0 to 65535 over all of the picture, and drawn anew when its size changes.
import { iconButton, make } from "/page/make.js";

const WHOLE = 65535;
const COLORS = [["#e5484d", "Red"], ["#2f7df6", "Blue"], ["#1f9d61", "Green"], ["#e8a317", "Yellow"], ["#1b1f24", "Black"]];
const WIDTHS = [[200, "Thin"], [520, "Thick"]];
/** Points are told so often while drawing. */
const TELL_MS = 60;
const NUMBERS_MAX = 512;

class Board {
  /** By participant and stroke, in the order in which they began. @type {Map<string, { participant: string, stroke: string, color: string, width: number, points: number[] }>} */
  strokes = new Map();
  /** Our own, the newest last: what can be taken back. */
  own = [];
  #drawing = null;
  #due = 0;
  drawable = false;

  constructor(name, tile, boards) {
    Object.assign(this, { name, tile, boards });
    this.canvas = make("canvas", { class: "board", aria: { role: "img", label: name === "whiteboard" ? "Whiteboard" : "Drawing over the screen" } });
    tile.element.insertBefore(this.canvas, tile.video.nextSibling);
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(tile.element);
    tile.video.addEventListener("resize", () => this.redraw());
    this.canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.#go(event));
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => this.#finish());
  }

  end() {
    this.observer.disconnect();
    this.canvas.remove();
    this.bar?.remove();
  }

  /** Where the picture stands in its tile: all of it is shown. */
  #frame() {
    const { clientWidth, clientHeight } = this.tile.element;
    const { videoWidth, videoHeight } = this.tile.video;
    const ratio = this.name === "whiteboard" ? 16 / 9 : videoWidth && videoHeight ? videoWidth / videoHeight : 16 / 9;
    const width = Math.min(clientWidth, clientHeight * ratio);
    return { x: (clientWidth - width) / 2, y: (clientHeight - width / ratio) / 2, width, height: width / ratio };
  }

  redraw() {
    const { x, y, width, height } = this.#frame();
    const { style } = this.canvas;
    Object.assign(style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    for (const stroke of this.strokes.values()) this.#paint(stroke);
  }

  /** One stroke, or what is new of it. */
  #paint({ color, width, points }, from = 0) {
    const pen = this.canvas.getContext("2d");
    const [w, h] = [this.canvas.width / WHOLE, this.canvas.height / WHOLE];
    Object.assign(pen, { strokeStyle: color, fillStyle: color, lineWidth: Math.max(1.5, width * w), lineCap: "round", lineJoin: "round" });
    pen.beginPath();
    const start = Math.max(0, from - 2);
    pen.moveTo(points[start] * w, points[start + 1] * h);
    if (points.length <= start + 2) pen.lineTo(points[start] * w + 0.1, points[start + 1] * h);
    for (let n = start + 2; n < points.length; n += 2) pen.lineTo(points[n] * w, points[n + 1] * h);
    pen.stroke();
  }

  add({ participant, stroke, color, width, points }) {
    const key = `${participant} ${stroke}`;
    const known = this.strokes.get(key);
    if (!known) this.strokes.set(key, { participant, stroke, color, width, points: [...points] });
    const from = known?.points.length ?? 0;
    known?.points.push(...points);
    this.#paint(this.strokes.get(key), from);
  }

  erase(participant, stroke) {
    for (const [key, it] of this.strokes) if ((participant === null || it.participant === participant) && (stroke === null || it.stroke === stroke)) this.strokes.delete(key);
    this.own = this.own.filter((own) => this.strokes.has(`${this.boards.me} ${own}`));
    this.redraw();
  }

  // --- our own hand ---

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const whole = (value, size) => Math.max(0, Math.min(WHOLE, Math.round((value / size) * WHOLE)));
    return [whole(event.clientX - box.left, box.width), whole(event.clientY - box.top, box.height)];
  }

  #begin(event) {
    if (!this.drawable || event.button) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    const stroke = this.boards.nextStroke();
    this.own.push(stroke);
    this.#drawing = { stroke, color: this.boards.color, width: this.boards.width, waiting: [] };
    this.#point(this.#at(event));
  }

  #go(event) {
    if (!this.#drawing) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) this.#point(this.#at(each));
  }

  #point([x, y]) {
    const { stroke, color, width, waiting } = this.#drawing;
    const last = waiting.length ? waiting : (this.strokes.get(`${this.boards.me} ${stroke}`)?.points ?? []);
    if (Math.hypot(x - last.at(-2), y - last.at(-1)) < 60) return;
    waiting.push(x, y);
    this.add({ participant: this.boards.me, stroke, color, width, points: [x, y] });
    this.#due ||= setTimeout(() => this.#tell(), TELL_MS);
  }

  #finish() {
    if (!this.#drawing) return;
    this.#tell();
    this.#drawing = null;
  }

  #tell() {
    clearTimeout(this.#due);
    this.#due = 0;
    const { stroke, color, width, waiting } = this.#drawing ?? { waiting: [] };
    while (waiting.length) this.boards.tell({ board: this.name, stroke, color, width, points: waiting.splice(0, NUMBERS_MAX) });
  }

  undo() {
    const stroke = this.own.pop();
    if (stroke === undefined) return;
    this.erase(this.boards.me, stroke);
    this.boards.ask("erase", { board: this.name, stroke });
  }

  /** Hosts clear all of it, others what is theirs. */
  async clear() {
    if (this.boards.isHost) return (await this.boards.ask("erase", { board: this.name })) && this.erase(null, null);
    while (this.own.length) this.undo();
  }
}

export class Boards {
  #boards = new Map();
  #strokes = 0;
  #closed = false;
  color = COLORS[0][0];
  width = WIDTHS[0][0];

  constructor(call, { gallery }) {
    Object.assign(this, { call, gallery });
    const { standing } = call;
    // Two tabs of one identity must not write on each other's strokes.
    this.prefix = Math.random().toString(36).slice(2, 8);
    standing.on("stroke", (stroke) => this.#take(stroke), call.ended);
    standing.on("erased", ({ board, participant, stroke }) => this.#boards.get(board)?.erase(participant, stroke), call.ended);
    standing.on("entered", ({ type }) => (type === "resumed" ? this.#again() : this.#enter()), call.ended);
    standing.on("you", () => this.#permit(), call.ended);
    call.on("publicationEnded", ({ publication }) => this.#end(publication.id));
    call.ended.addEventListener("abort", () => [...this.#boards.keys()].forEach((name) => this.#end(name)));
    this.#enter();
  }

  get me() {
    return this.call.standing.you.id;
  }

  get isHost() {
    return this.call.standing.isHost;
  }

  get offered() {
    return this.call.standing.knows("boards");
  }

  ask(type, fields) {
    return this.call.ask(type, fields);
  }

  nextStroke() {
    return `${this.prefix}${this.#strokes++}`;
  }

  async tell(stroke) {
    if (await this.call.ask("draw", stroke)) return;
    this.#boards.get(stroke.board)?.erase(this.me, stroke.stroke); // what nobody else sees is not shown to us, either
  }

  #enter() {
    for (const name of [...this.#boards.keys()]) if (name === "whiteboard") this.#end(name);
    for (const board of this.#boards.values()) {
      board.strokes.clear();
      board.redraw();
    }
    this.#closed = false;
    if (!this.offered) return;
    if (this.call.standing.boards.has("whiteboard")) this.openWhiteboard(false);
    for (const tile of this.gallery.tiles.values()) if (tile.kind === "screen" && tile.publication) this.over(tile, tile.publication);
  }

  /** The connection was away: what was drawn meanwhile was not told. */
  #again() {
    for (const board of this.#boards.values()) this.#load(board);
    if (this.call.standing.boards.has("whiteboard") && !this.#closed) this.openWhiteboard(false);
  }

  #take(stroke) {
    if (stroke.board === "whiteboard" && !this.#boards.has("whiteboard") && !this.#closed) return void this.openWhiteboard(false);
    this.#boards.get(stroke.board)?.add(stroke);
  }

  // --- the whiteboard ---

  get whiteboardOpen() {
    return this.#boards.has("whiteboard");
  }

  toggleWhiteboard() {
    if (!this.whiteboardOpen) return this.openWhiteboard(true);
    this.#closed = true;
    this.#end("whiteboard");
  }

  openWhiteboard(draw) {
    const tile = this.gallery.tile("whiteboard", { identity: "whiteboard", name: "Whiteboard", kind: "board" });
    const board = this.#make("whiteboard", tile);
    if (draw) this.#draw(board, true);
    return board;
  }

  // --- over a shared screen ---

  /** A shared screen is shown: it may be drawn over. */
  over(tile, publication) {
    for (const [name, board] of this.#boards) if (!board.tile.element.isConnected) this.#end(name); // our own screens end without an event
    if (this.offered && publication.id && !this.#boards.has(publication.id)) this.#make(publication.id, tile);
  }

  // --- all of them ---

  #make(name, tile) {
    const known = this.#boards.get(name);
    if (known) return known;
    const board = new Board(name, tile, this);
    this.#boards.set(name, board);
    board.pen = iconButton("pen", name === "whiteboard" ? "Draw" : "Draw over the screen", () => this.#draw(board, !board.drawable), "");
    board.pen.hidden = !this.call.standing.mayTalk;
    tile.tools.append(board.pen);
    if (name === "whiteboard") tile.tools.append((board.close = iconButton("close", "Close the whiteboard", () => this.toggleWhiteboard(), "")));
    if (this.call.standing.boards.has(name)) this.#load(board);
    board.redraw();
    return board;
  }

  /** What was drawn before; what comes meanwhile may be in it already. */
  async #load(board) {
    const reply = await this.call.ask("board", { board: board.name });
    if (!reply) return;
    board.strokes.clear();
    for (const stroke of reply.strokes) board.add(stroke);
    board.redraw();
  }

  #draw(board, on) {
    board.drawable = on;
    board.tile.element.dataset.drawing = on;
    board.pen.setAttribute("aria-pressed", on);
    board.bar?.remove();
    board.bar = on ? this.#bar(board) : null;
    if (board.bar) board.tile.element.append(board.bar);
  }

  #bar(board) {
    const bar = make("div", { class: "board drawing-bar", aria: { role: "toolbar", label: "Drawing" } });
    const choice = (name, value, label, inside) => {
      const element = make("button", { type: "button", class: name, title: label, aria: { label, pressed: this[name] === value }, onclick: () => {
        this[name] = value;
        for (const other of bar.querySelectorAll(`.${name}`)) other.setAttribute("aria-pressed", other === element);
      } }, inside);
      return element;
    };
    const dot = (style) => {
      const element = make("i");
      Object.assign(element.style, style);
      return element;
    };
    bar.append(...COLORS.map(([color, label]) => choice("color", color, label, dot({ background: color }))),
      ...WIDTHS.map(([width, label], n) => choice("width", width, label, dot({ background: "currentColor", width: `${6 + 6 * n}px`, height: `${6 + 6 * n}px` }))),
      iconButton("undo", "Take back the last stroke", () => board.undo(), ""),
      iconButton("trash", this.isHost ? "Clear everything" : "Clear what I drew", () => board.clear(), ""),
      iconButton("check", "Stop drawing", () => this.#draw(board, false), ""));
    return bar;
  }

  #permit() {
    for (const board of this.#boards.values()) {
      board.pen.hidden = !this.call.standing.mayTalk;
      if (!this.call.standing.mayTalk) this.#draw(board, false);
    }
  }

  #end(name) {
    const board = this.#boards.get(name);
    if (!board) return;
    this.#boards.delete(name);
    board.end();
    board.pen.remove();
    if (name === "whiteboard") this.gallery.remove("whiteboard");
  }
}
