// What a tile's statistics panel says: the layer and why it is no better, as the server tells it; size, rate and losses, as the browser measures them.

const INTERVAL_MS = 1000;

/** The server's reasons in words for who watches. */
const REASONS = {
  best: "the best there is",
  silent: "the sender sends nothing",
  viewport: "shown no larger here",
  hidden: "not shown here",
  preference: "no more was asked for",
  estimate: "your connection allows no more",
  loss: "too much is lost on the way to you",
  audio_only: "your connection is weak: sound only",
  layer_absent: "the sender sends no better",
  awaiting_keyframe: "a better picture is about to begin",
  backlog: "your connection (TCP) is congested",
  not_speaking: "others speak",
  administrator: "stopped by the server",
};

export const reasonInWords = (reason) => REASONS[reason] ?? reason.replaceAll("_", " ");

const rate = (bps) => (bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`);
const layer = (id) => (id ? `${id.spatial + 1}, frame rate ${id.temporal + 1}` : "none");

export class Statistics {
  #before = new Map();
  #timer;

  /** @param {() => Iterable<Tile>} tiles @param {() => import("/client/pointsman.js").Room | null} room */
  constructor(tiles, room) {
    this.tiles = tiles;
    this.room = room;
    this.#timer = setInterval(() => this.update(), INTERVAL_MS);
  }

  end() {
    clearInterval(this.#timer);
  }

  /** Brings the open panels up to date. */
  async update() {
    const room = this.room();
    const open = [...this.tiles()].filter((tile) => tile.statisticsOpen);
    if (!room?.pc || !open.length) return;
    const stats = [...(await room.pc.getStats()).values()];
    for (const tile of open) tile.setStatistics(tile.local ? this.#sent(tile, stats) : this.#received(tile, stats, room));
  }

  #received(tile, stats, room) {
    const { publication } = tile;
    if (!publication) return [["Picture", "none"]];
    const rows = [];
    const { quality } = publication;
    if (quality) {
      rows.push(["Layer", layer(quality.current)]);
      if (layer(quality.target) !== layer(quality.current)) rows.push(["Wanted layer", `${layer(quality.target)} (${rate(quality.bitrateBps)})`]);
      rows.push(["Why no more", reasonInWords(quality.reason)]);
    }
    const inbound = stats.find((stat) => stat.type === "inbound-rtp" && stat.kind === "video" && (stat.mid === publication.mid || stat.trackIdentifier === publication.track?.id));
    if (inbound) {
      const { frameWidth, frameHeight, framesPerSecond = 0, packetsLost = 0, packetsReceived = 0, freezeCount = 0, jitter = 0 } = inbound;
      rows.push(["Picture", frameWidth ? `${frameWidth} × ${frameHeight}, ${Math.round(framesPerSecond)} a second` : "none yet"]);
      rows.push(["Arrives", rate(this.#rate(inbound.id, inbound.bytesReceived, inbound.timestamp))]);
      rows.push(["Lost", `${packetsLost} of ${packetsLost + packetsReceived} packets, jitter ${Math.round(jitter * 1000)} ms`]);
      rows.push(["Freezes", `${freezeCount}`]);
    }
    if (room.estimateBps !== null) rows.push(["Your connection", rate(room.estimateBps)]);
    return rows;
  }

  #sent(tile, stats) {
    const mid = tile.publication?.transceiver.mid;
    const layers = stats.filter((stat) => mid && stat.type === "outbound-rtp" && stat.kind === "video" && stat.mid === mid);
    const rows = layers.map((stat) => {
      const sends = stat.active !== false && stat.frameWidth;
      const text = sends ? `${stat.frameWidth} × ${stat.frameHeight}, ${rate(this.#rate(stat.id, stat.bytesSent, stat.timestamp))}` : "nobody needs it";
      return [`Sent${stat.rid ? ` (${stat.rid})` : ""}`, text];
    });
    return rows.length ? rows : [["Sent", "nothing"]];
  }

  /** Bits per second since this counter was last read. */
  #rate(id, bytes, timestamp) {
    const before = this.#before.get(id);
    this.#before.set(id, { bytes, timestamp });
    return before && timestamp > before.timestamp ? (Math.max(0, bytes - before.bytes) * 8000) / (timestamp - before.timestamp) : 0;
  }
}
