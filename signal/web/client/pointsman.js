/**
 * Pointsman's client for browsers: one class, plain ES module, no dependencies.
 *
 *   import { Room } from "https://calls.example.org/client/pointsman.js";
 *   const room = new Room();
 *   room.addEventListener("trackSubscribed", ({ detail: { track, publication, participant } }) => show(track, participant.name));
 *   const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
 *   await room.connect("https://calls.example.org", token, { tracks: stream.getTracks().map((track) => ({ track })) });
 *
 * The protocol underneath is described in PROTOCOL.md. The client always makes the offers, so there is no glare.
 *
 * Events (all are CustomEvents; `detail` holds what is named here):
 *   stateChanged        { state }                                 see {@link Room#state}
 *   participantJoined   { participant }                           somebody else came in
 *   participantLeft     { participant, reason }
 *   participantUpdated  { participant }                           its media path is up, or its name or metadata changed
 *   publicationStarted  { publication, participant }              somebody else publishes something
 *   publicationUpdated  { publication, participant }              source or name changed
 *   publicationEnded    { publication, participant }
 *   publicationMuted    { publication, participant }              `publication.muted` changed; `participant` is null for one's own
 *   trackSubscribed     { track, publication, participant }       a MediaStreamTrack to play
 *   trackUnsubscribed   { track, publication, participant }
 *   quality             { quality, publication, participant }     what we get of a publication, and why it is no more
 *   estimate            { bps }                                   the bandwidth toward us
 *   speakers            { speakers, participants, you }           ids of who speaks, the dominant speaker first; those of others; whether we do
 *   layersWanted        { publication, spatialMax }               the highest layer of ours that anybody wants; we send no more (see `dynacast`)
 *   data                { data, topic, participant, identity, reliable }   a message of another (see {@link Room#sendData}): a string or a Uint8Array; from the
 *                                                                 server itself when `participant` and `identity` are null
 *   dataLost            { messages }                              so many reliable messages to us were lost: we did not take what came before
 *   dataRefused         { error, topic }                          a message of ours went to nobody
 *   held                { you }                                   in the waiting room, until `admitted` or `closed`
 *   admitted            { }                                       out of the waiting room
 *   youUpdated          { you }                                   our role, permissions or name changed
 *   unmuteAsked         { by, source }                            a host would like to hear or see us again; we decide
 *   roomUpdated         { options, metadata }                     locked, waiting_room, mode; what an operator wrote about the room
 *   waitingRoom         { waiting }                               to hosts: who waits
 *   bans                { identities }                            to hosts: who is banned
 *   chat                { message, participant }                  something was said; see {@link Room#chat}
 *   chatRestored        { messages }                              what was said before the room came to life again
 *   chatDeleted         { message }                               the id of one that is gone
 *   reaction            { emoji, participant }                    `participant` is null when it is in a webinar's audience
 *   hands               { hands }                                 whose hands are raised, the first to raise one first
 *   poll                { poll }                                  a poll is there, or has changed
 *   stroke              { board, participant, stroke }            a part of a line, by the id of who draws it
 *   erased              { board, participant, stroke }            null for `stroke`: all of it
 *   breakouts           { breakouts }                             who is where; null: they have closed
 *   moved               { breakout, name }                        we are in another breakout room, or (null) in the main room
 *   breakoutsEnding     { endsInMs }
 *   broadcast           { by, name, text }                        a host says something in all rooms
 *   audience            { count }                                 how large a webinar's audience is
 *   call                { call }                                  an invitation from or to us has changed
 *   message             { message }                               every message of the server as it came, after it was acted on
 *   closed              { reason, message, error }                the call is over; `error` is null after `leave()`
 */

import { report as reportQuality } from "./stats.js";

/** @typedef {"camera" | "microphone" | "screen" | "screen_audio"} TrackSource */
/** @typedef {"idle" | "signalling" | "joining" | "held" | "negotiating" | "waiting" | "connected" | "reconnecting" | "closed"} RoomState held: in the waiting room; waiting: for media */
/** @typedef {"host" | "cohost" | "speaker" | "viewer"} Role */
/** @typedef {{ spatial: number, temporal: number }} Layer counted from the smallest picture and the lowest frame rate */
/** @typedef {{ current: Layer | null, target: Layer | null, bitrateBps: number, reason: string }} Quality reasons are those of PROTOCOL.md */
/**
 * How a publication is shown; what is missing stays as it was.
 * @typedef {{ width?: number, height?: number, visible?: boolean, pinned?: boolean, priority?: number, spatialMax?: number | null, temporalMax?: number | null }} Preferences
 */
/** @typedef {{ track: MediaStreamTrack, source?: TrackSource, name?: string, muted?: boolean, encodings?: RTCRtpEncodingParameters[] }} PublishOptions */

/** How many receiving m-lines more than needed the offers hold: the next one to publish then flows without a new offer. */
const SPARE = 1;
/** Offers in a row that leave m-lines missing before we stop asking. */
const FRUITLESS_OFFERS_MAX = 3;

/** Layers by rid, from the smallest: a quarter, half and all of the picture's width. */
const RIDS = ["q", "h", "f"];
/** Pictures with fewer pixels are not worth three layers, or two. Chromium sends no more than its own, equal table allows, and leaves out the largest. */
const THREE_LAYERS = 960 * 540;
const TWO_LAYERS = 480 * 270;
/** What a shared screen may take: it is read, so it must be sharp. */
const SCREEN_BPS = 2_500_000;

/** Pauses between tries to come back: twice as long each time, up to a longest, and a random part of it, so that not everyone comes at once. */
const RETRY_MS = 250;
const RETRY_MS_MAX = 8_000;
/** After so long without the server we give up. */
const AWAY_MS_MAX = 120_000;
/** A path that is "disconnected" often comes back by itself. */
const PATH_PATIENCE_MS = 2_000;
const RESTART_PAUSE_MS = 3_000;
/** A server that does not answer a ping for so long is not there. */
const PONG_MS_MAX = 4_000;
/** Ends of a participant after which the same call may begin anew. */
const COMES_AGAIN = new Set(["media_closed", "too_slow", "disconnected"]);

const retryPause = (attempt) => Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** attempt) * (0.5 + Math.random() / 2);

/** Waits, but not while the network has just come back. */
function pause(ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    globalThis.addEventListener?.("online", done);
  });
}

/** What a camera's picture of so many pixels may take. */
const cameraBps = (pixels) => Math.round(700 * (pixels / (640 * 360)) ** 0.75) * 1000;

/** The size of a track's picture; some tracks do not tell theirs. */
function pixelsOf(track) {
  const { width = 640, height = 360 } = track?.getSettings?.() ?? {};
  return width * height;
}

const layersFor = (pixels) => (pixels >= THREE_LAYERS ? 3 : pixels >= TWO_LAYERS ? 2 : 1);

/** Layer `n` of `count`. */
function layer(pixels, n, count) {
  const by = 2 ** (count - 1 - n);
  return { scaleResolutionDownBy: by, maxBitrate: cameraBps(pixels / by ** 2) };
}

/**
 * Chromium leaves RID out of m-lines that are added after an answer without it, as one has who began by receiving only, and then refuses its own offer of
 * simulcast.
 */
function wantRids(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
  if (!extensions) return;
  for (const extension of extensions) if (/:(repaired-)?rtp-stream-id$/.test(extension.uri)) extension.direction = "sendrecv";
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}

/** How a track is sent unless the caller says otherwise: cameras as simulcast, in as many layers as the picture is large enough for. */
function encodingsFor({ track, source = "camera" }) {
  if (track.kind !== "video") return undefined;
  if (source === "screen") return [{ maxBitrate: SCREEN_BPS }];
  const pixels = pixelsOf(track);
  const count = layersFor(pixels);
  if (count === 1) return [{ maxBitrate: cameraBps(pixels) }];
  return RIDS.slice(-count).map((rid, n) => ({ rid, ...layer(pixels, n, count) }));
}

/** Bytes that may wait in a channel before `sendData` makes its caller wait, and before a lossy message is not sent at all. */
const RELIABLE_BUFFER = 256 * 1024;
const LOSSY_BUFFER = 16 * 1024;
/** How long a message waits for the channels to open, in milliseconds, before it takes the WebSocket. */
const CHANNEL_TIMEOUT = 3_000;

/** A WebSocket must open within so many milliseconds. */
const OPEN_MS_MAX = 10_000;
/** After so long a silence the server is asked whether it is still there, and has so long to answer, in milliseconds. */
const QUIET_MS_MAX = 10_000;
const ANSWER_MS_MAX = 5_000;

/**
 * A network may swallow everything without a word, and a browser says nothing of it for minutes.
 * @param {WebSocket} socket
 * @param {() => void} ask makes the server say something
 * @param {() => void} dead called once when nothing comes
 */
function watch(socket, ask, dead) {
  let timer;
  const wait = (ms, then) => {
    clearTimeout(timer);
    timer = setTimeout(then, ms);
  };
  const listen = () =>
    wait(QUIET_MS_MAX, () => {
      ask();
      wait(ANSWER_MS_MAX, dead);
    });
  wait(OPEN_MS_MAX, dead);
  socket.addEventListener("open", listen);
  socket.addEventListener("message", listen);
  socket.addEventListener("close", () => clearTimeout(timer));
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The bytes of what `sendData` takes beside strings. */
function bytesOf(data) {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw new TypeError("sendData takes a string, an ArrayBuffer or a view of one");
}

function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** A message of a data channel: a line of JSON, then its content. */
function unframe(message) {
  if (typeof message === "string") {
    const end = message.indexOf("\n");
    return { ...JSON.parse(message.slice(0, end) || "{}"), data: message.slice(end + 1) };
  }
  const bytes = new Uint8Array(message);
  const end = bytes.indexOf(10);
  return { ...JSON.parse(decoder.decode(bytes.subarray(0, end)) || "{}"), data: bytes.slice(end + 1) };
}

/** An error with a machine-readable `code`; the message is for people. */
export class PointsmanError extends Error {
  /**
   * @param {string} code the server's error code, or one of: token, forbidden, unreachable, closed, interrupted, ice_failed, media_timeout
   * @param {string} message
   * @param {string | null} [field] the request's field at fault
   */
  constructor(code, message, field = null) {
    super(message);
    this.name = "PointsmanError";
    this.code = code;
    this.field = field;
  }
}

/** Something that another participant publishes. */
export class Publication {
  constructor(info) {
    /** @type {string} */
    this.id = info.id;
    /** @type {"audio" | "video"} */
    this.kind = info.kind;
    /** The track while it is received. @type {MediaStreamTrack | null} */
    this.track = null;
    /** @type {string | null} */
    this.mid = null;
    /** What we get of it, once the server has said so. @type {Quality | null} */
    this.quality = null;
    /** What {@link Room#prefer} said of it. @type {Preferences} */
    this.preferences = {};
    this.update(info);
  }
  /** @internal */
  update(info) {
    /** @type {TrackSource} */
    this.source = info.source;
    /** @type {string} */
    this.name = info.name;
    /** By its owner or by a moderator. @type {boolean} */
    this.muted = info.muted;
    /** @type {boolean} */
    this.mutedByServer = info.muted_by_server;
    /** @type {string} */
    this.codec = info.codec;
    /** @type {boolean} */
    this.simulcast = info.simulcast;
  }
}

/** Somebody else in the room. */
export class Participant {
  constructor(info) {
    /** @type {string} */
    this.id = info.id;
    /** Unique in the room. @type {string} */
    this.identity = info.identity;
    this.update(info);
    /** By id. @type {Map<string, Publication>} */
    this.publications = new Map(info.publications.map((publication) => [publication.id, new Publication(publication)]));
  }
  /** @internal */
  update(info) {
    /** To be shown, always as text: it comes from a stranger. @type {string} */
    this.name = info.name || this.identity;
    /** @type {string} */
    this.metadata = info.metadata;
    /** @type {Role} */
    this.role = info.role;
    /** @type {boolean} */
    this.connected = info.connected;
    /** Its connection is lost, and may come back. @type {boolean} */
    this.reconnecting = info.reconnecting;
  }
}

/** Something that we publish. */
export class LocalPublication {
  /** @param {PublishOptions} options @param {RTCRtpTransceiver} transceiver */
  constructor({ track, source, name = "", muted = false, encodings }, transceiver) {
    this.kind = track.kind;
    /** @type {TrackSource} */
    this.source = source ?? (track.kind === "video" ? "camera" : "microphone");
    this.name = name;
    this.muted = muted;
    /** Muted by a moderator, who alone can lift it. */
    this.mutedByServer = false;
    this.transceiver = transceiver;
    /** Known after the server's answer. @type {string | null} */
    this.id = null;
    /** For when it must be published anew. @internal */
    this.options = { source, name, encodings };
    /** Encodings that the caller switched off stay off. @internal */
    this.off = (encodings ?? []).map(({ active }) => active === false);
    /** Layers follow the size of the track, unless the caller chose them. @internal */
    this.fitted = !encodings && this.source === "camera";
    /** Changes of the sender's parameters, one after another. @internal */
    this.shaped = Promise.resolve();
  }
  /** @returns {MediaStreamTrack | null} */
  get track() {
    return this.transceiver.sender.track;
  }
}

/** Gives a reply to the request that waits for it. @returns {boolean} whether one did */
function takeReply(pending, message) {
  const request = pending.get(message.id);
  if (message.id === undefined || !request) return false;
  pending.delete(message.id);
  if (message.type === "error") request.reject(new PointsmanError(message.code, message.message, message.field));
  else request.resolve(message);
  return true;
}

/** One call. A Room is used once: after `closed`, make another. */
export class Room extends EventTarget {
  /** @type {RTCPeerConnection | null} For statistics. */
  pc = null;
  /** Others, by id, in order of joining. @type {Map<string, Participant>} */
  participants = new Map();
  /** Who we are, once joined: id, identity, name, role, can_publish, can_subscribe, can_publish_data, admin (a host or co-host). */
  you = null;
  /** What hosts decided: locked, waiting_room, mode ("call" or "webinar"). */
  options = { locked: false, waiting_room: false, mode: "call" };
  /** What an operator or application wrote about the room. */
  metadata = "";
  /** What was said, the oldest first, as far as it is known here. See {@link Room#chat}. */
  messages = [];
  /** Whose hands are raised, the first to raise one first: participant, identity, name. */
  hands = [];
  /** By id. @type {Map<string, object>} */
  polls = new Map();
  /** Boards on which there is something. @type {Set<string>} */
  boards = new Set();
  /** How many are in a webinar's audience. */
  audience = 0;
  /** Open breakouts, or null: rooms, assign, ends_in_ms. */
  breakouts = null;
  /** The number of the breakout room that we are in; null: the main room. @type {number | null} */
  breakout = null;
  /** To hosts: who waits to be admitted, and who is banned. */
  waiting = [];
  bans = [];
  /** The room's name, once joined. @type {string | null} */
  name = null;
  /** What we publish. @type {Set<LocalPublication>} */
  local = new Set();
  /** Ids of who speaks, the dominant speaker first; `you.id` may be among them. @type {string[]} */
  speakers = [];
  /** The bandwidth toward us in bits per second, once it is known. @type {number | null} */
  estimateBps = null;
  /** @type {RoomState} */
  state = "idle";

  #socket = null;
  #nextId = 1;
  /** Requests without a reply yet. */
  #pending = new Map();
  /** Receiving m-lines that the server misses. */
  #missing = { audio: 0, video: 0 };
  #negotiation = null;
  /** Transceivers that only receive. */
  #receivers = new Set();
  /** By id of what we publish: the highest layer that anybody wants. */
  #wanted = new Map();
  #dynacast = true;
  #again = false;
  /** Data channels, until the connection has them for good. @type {{ reliable?: RTCDataChannel, lossy?: RTCDataChannel }} */
  #channels = {};
  /** Done when the last reliable message is on its way. */
  #sent = Promise.resolve();
  /** Bytes of one message that the server takes. */
  #dataLimits = { bytes_max: 65_536, lossy_bytes_max: 16_384 };
  #closed = null;
  #left = false;
  #server = "";
  #token = "";
  #join = {};
  #media = { relayOnly: false, rtc: {}, timeout: 15_000, data: true };
  #resume = null;
  /** While we come back: settles when we are. */
  #return = null;
  /** Media has flowed once: from then on a bad path is mended, not given up. */
  #wasUp = false;
  #restarted = 0;
  #pathTimer = null;
  #admitted = null;

  /**
   * Joins and publishes `tracks` at once; resolves when media flows.
   * @param {string} server address of the server, as in "https://calls.example.org"
   * @param {string} token a join token
   * @param {object} [options]
   * @param {PublishOptions[]} [options.tracks] published with the first offer
   * @param {boolean} [options.autoSubscribe] receive everything without asking (default true)
   * @param {string} [options.room] refuse to join if the token is for another room
   * In a room with a waiting room it resolves after a host has admitted us (see the event `held`). A connection that is lost later comes back by itself.
   * @param {boolean} [options.relayOnly] all media through the server's TURN relay
   * @param {boolean} [options.dynacast] send only the layers that somebody wants (default true)
   * @param {boolean} [options.data] have data channels for `sendData` (default true); without, its messages go over the WebSocket
   * @param {RTCConfiguration} [options.rtc] more for the RTCPeerConnection
   * @param {number} [options.timeout] milliseconds until media must flow (default 15,000)
   * @param {boolean} [options.report] tell the server every five seconds how well we see and hear (default true)
   */
  async connect(server, token, { tracks = [], autoSubscribe = true, room, relayOnly = false, dynacast = true, data = true, rtc = {}, timeout = 15_000, report = true } = {}) {
    if (this.state !== "idle") throw new PointsmanError("closed", "a Room connects once; make a new one");
    this.#dynacast = dynacast;
    [this.#server, this.#token] = [server, token];
    this.#join = { auto_subscribe: autoSubscribe, ...(room === undefined ? {} : { room }) };
    this.#media = { relayOnly, rtc, timeout, data };
    try {
      this.#state("signalling");
      await this.#open({ token });
      this.#state("joining");
      await this.#enter();
      if (this.you.can_publish) for (const options of tracks) this.#addLocal(options);
      await this.#begin();
      if (report) reportQuality(this);
    } catch (error) {
      const told = this.#closed ?? error;
      this.#end("failed", told);
      throw told;
    }
  }

  /** Joins; in a waiting room that takes until a host admits us. */
  async #enter() {
    let joined = await this.request("join", this.#join);
    if (joined.type === "waiting") {
      this.you = joined.you;
      this.name = joined.room;
      this.#state("held");
      this.#tell("held", { you: joined.you });
      joined = await new Promise((resolve, reject) => (this.#admitted = { resolve, reject }));
      this.#tell("admitted", {});
    }
    this.#makePeerConnection(joined.ice_servers);
    if (this.#media.data) this.#openChannels();
    this.#takeState(joined);
    this.#takePeople(joined.participants);
    this.#missing = joined.negotiate;
  }

  async #begin() {
    this.#state("negotiating");
    await this.#negotiate();
    if (this.state === "negotiating") this.#state("waiting");
    await this.#mediaUp(this.#media.timeout);
    this.#wasUp = true;
  }

  /**
   * Publishes a track. Resolves when the server has accepted it. Cameras are sent as simulcast, unless `encodings` say otherwise.
   * @param {MediaStreamTrack} track
   * @param {Omit<PublishOptions, "track">} [options]
   * @returns {Promise<LocalPublication>}
   */
  async publish(track, options = {}) {
    const publication = this.#addLocal({ ...options, track });
    await this.#negotiate();
    return publication;
  }

  /** Stops to publish; the track itself goes on. @param {LocalPublication} publication */
  async unpublish(publication) {
    if (!this.local.delete(publication)) return;
    this.#wanted.delete(publication.id);
    publication.transceiver.direction = "inactive";
    await publication.transceiver.sender.replaceTrack(null);
    await this.#negotiate();
  }

  /**
   * Sends another track in place of the one that is published, or none. No new offer.
   * @param {LocalPublication} publication @param {MediaStreamTrack | null} track
   */
  async replaceTrack(publication, track) {
    await publication.transceiver.sender.replaceTrack(track);
    await this.#shape(publication);
  }

  /**
   * Says how a publication is shown, so that the server sends what fits: `width` and `height` in physical pixels, `visible`, `pinned`, `priority` (0 to 255),
   * `spatialMax` and `temporalMax` (null: any). Holds until `unsubscribe`; what is not named stays as it was.
   * @param {Publication} publication @param {Preferences} preferences
   */
  async prefer(publication, preferences) {
    const all = (publication.preferences = { ...publication.preferences, ...preferences });
    const pixels = (length = 0) => Math.min(65_535, Math.max(0, Math.round(length)));
    const { visible, pinned, priority, spatialMax: spatial_max, temporalMax: temporal_max } = all;
    const size = { width: pixels(all.width), height: pixels(all.height) };
    await this.request("prefer", { publication: publication.id, ...size, visible, pinned, priority, spatial_max, temporal_max });
  }

  /**
   * Tells everyone that a publication of ours is muted or not. Silence the track yourself (`track.enabled`, or `sender.replaceTrack(null)`
   * to switch a camera off).
   * @param {LocalPublication} publication @param {boolean} muted
   */
  async setMuted(publication, muted) {
    publication.muted = muted;
    if (publication.id) await this.request("mute", { publication: publication.id, muted });
  }

  /** Hosts: stops somebody else's publication, sound or picture, at the server, or lets it pass again. @param {Publication} publication @param {boolean} muted */
  async muteOther(publication, muted) {
    await this.request("mute", { publication: publication.id, muted });
  }

  /** Only needed with `autoSubscribe: false`, or after `unsubscribe`. @param {Publication} publication */
  async subscribe(publication) {
    await this.request("subscribe", { publication: publication.id });
    if (Object.keys(publication.preferences).length) await this.prefer(publication, {});
  }

  /** @param {Publication} publication */
  async unsubscribe(publication) {
    await this.request("unsubscribe", { publication: publication.id });
    this.#detach(publication);
  }

  /**
   * Sends a message of the application's own to everyone else in the room, or to some. What is `reliable` arrives, and in the order of sending; what is
   * not may be lost and does not wait for what was: for what is soon out of date. Resolves when it is on its way: to `false` if it was lossy and there was too much
   * to send already. Wait for it before you send more, and a slow connection slows the sender.
   * @param {string | ArrayBuffer | ArrayBufferView} data at most 64 KiB, or 16 KiB when not reliable, unless the server is configured otherwise
   * @param {object} [options]
   * @param {(string | Participant)[]} [options.to] identities, or participants (default: everyone else)
   * @param {boolean} [options.reliable] (default true)
   * @param {string} [options.topic] what it is about, for the receivers' event `data`
   * @returns {Promise<boolean>}
   */
  async sendData(data, options = {}) {
    if (options.reliable === false) return this.#send(data, options);
    // One after another: who waits for room must not be overtaken.
    const sent = this.#sent.then(() => this.#send(data, options));
    this.#sent = sent.catch(() => {});
    return sent;
  }

  async #send(data, { to = [], reliable = true, topic = "" }) {
    const text = typeof data === "string";
    const bytes = text ? encoder.encode(data) : bytesOf(data);
    const max = reliable ? this.#dataLimits.bytes_max : this.#dataLimits.lossy_bytes_max;
    if (bytes.length > max) throw new PointsmanError("too_large", `A ${reliable ? "reliable" : "lossy"} message holds at most ${max} bytes, this one has ${bytes.length}.`, "data");
    if (this.#closed) throw this.#closed;
    const identities = to.map((one) => one?.identity ?? one);
    const channel = await this.#channel(reliable ? "reliable" : "lossy");
    if (!channel) {
      await this.request("send_data", { to: identities, topic, reliable, ...(text ? { text: data } : { base64: toBase64(bytes) }) });
      return true;
    }
    if (!reliable && channel.bufferedAmount > LOSSY_BUFFER) return false;
    while (channel.bufferedAmount > RELIABLE_BUFFER) await drained(channel);
    const line = `${JSON.stringify({ ...(identities.length ? { to: identities } : {}), ...(topic ? { topic } : {}) })}\n`;
    if (text) {
      channel.send(line + data);
      return true;
    }
    const header = encoder.encode(line);
    const message = new Uint8Array(header.length + bytes.length);
    message.set(header);
    message.set(bytes, header.length);
    channel.send(message);
    return true;
  }

  /** Starts ICE anew, as after a change of networks: the server's answer has new credentials, and all that is published and received goes on. */
  async restartIce() {
    this.pc.restartIce();
    await this.#negotiate();
  }

  /**
   * Shares a screen, a window or a tab, with its sound where the browser gives it. Ends by itself when the user stops it in the browser.
   * @param {DisplayMediaStreamOptions} [options] @returns {Promise<LocalPublication[]>} picture and, perhaps, sound
   */
  async shareScreen(options = { video: true, audio: true }) {
    const stream = await navigator.mediaDevices.getDisplayMedia(options);
    const sources = { video: "screen", audio: "screen_audio" };
    const publications = stream.getTracks().map((track) => this.#addLocal({ track, source: sources[track.kind] }));
    const stop = () => publications.forEach((publication) => this.unpublish(publication).catch(() => {}));
    stream.getVideoTracks()[0]?.addEventListener("ended", stop);
    await this.#negotiate();
    return publications;
  }

  // --- hosts ---

  /** Mutes everyone but the hosts. @param {TrackSource} [source] */
  muteAll(source = "microphone") {
    return this.#do("mute_all", { source });
  }
  /** Asks somebody to be heard or seen again; it decides. @param {Participant} participant @param {TrackSource} [source] */
  askUnmute(participant, source = "microphone") {
    return this.#do("ask_unmute", { participant: participant.id, source });
  }
  /** @param {{ id: string }} participant @param {Role} role */
  setRole(participant, role) {
    return this.#do("set_role", { participant: participant.id, role });
  }
  /** @param {{ id: string }} participant @param {{ can_publish?: boolean, can_subscribe?: boolean, can_publish_data?: boolean }} permissions what is not named stays */
  setPermissions(participant, permissions) {
    return this.#do("set_permissions", { participant: participant.id, ...permissions });
  }
  /** @param {{ id: string }} participant @param {{ ban?: boolean }} [options] ban: it may not come back while the room lives */
  remove(participant, { ban = false } = {}) {
    return this.#do("remove", { participant: participant.id, ban });
  }
  /** @param {string} identity */
  unban(identity) {
    return this.#do("unban", { identity });
  }
  /** @param {{ locked?: boolean, waiting_room?: boolean, mode?: "call" | "webinar" }} options what is not named stays */
  setRoom(options) {
    return this.#do("set_room", options);
  }
  /** Ends the call for everyone. */
  endRoom() {
    return this.#do("end_room");
  }
  /** Lets somebody in from the waiting room, or (without a name) all. @param {string} [participant] id, as in {@link Room#waiting} */
  admit(participant) {
    return this.#do("admit", participant === undefined ? { all: true } : { participant });
  }
  /** @param {string} [participant] @param {{ ban?: boolean }} [options] */
  deny(participant, { ban = false } = {}) {
    return this.#do("deny", { ban, ...(participant === undefined ? { all: true } : { participant }) });
  }

  // --- what people tell each other ---

  /**
   * Says something to everyone, or to one. Returns the message: id, from, identity, name, to, to_identity, text, at_unix_ms. Show text as text.
   * @param {string} text @param {{ id: string }} [to]
   */
  async chat(text, to) {
    const { message } = await this.request("chat", { text, ...(to ? { to: to.id } : {}) });
    this.messages.push(message);
    return message;
  }
  /** Older messages. @param {string} [before] id @param {number} [limit] */
  async chatHistory(before, limit = 100) {
    const { messages, more } = await this.request("chat_history", { before, limit });
    return { messages, more };
  }
  /** One's own, or (hosts) anyone's to everyone. @param {string} message id */
  deleteChat(message) {
    return this.#do("delete_chat", { message });
  }
  /** @param {string} emoji */
  react(emoji) {
    return this.#do("react", { emoji });
  }
  /** @param {boolean} [raised] */
  raiseHand(raised = true) {
    return this.#do("raise_hand", { raised });
  }
  /** Hosts: somebody's, or (without a name) everyone's. @param {string} [participant] id */
  lowerHand(participant) {
    return this.#do("raise_hand", { raised: false, ...(participant === undefined ? { all: true } : { participant }) });
  }
  /** Hosts. Returns the poll's id. @param {string} question @param {string[]} options @param {{ anonymous?: boolean, multiple?: boolean }} [how] */
  async createPoll(question, options, { anonymous = true, multiple = false } = {}) {
    return (await this.request("create_poll", { question, options, anonymous, multiple })).poll;
  }
  /** @param {string} poll id @param {number[]} options their numbers; none takes the vote back */
  vote(poll, options) {
    return this.#do("vote", { poll, options });
  }
  /** @param {string} poll id */
  closePoll(poll) {
    return this.#do("close_poll", { poll });
  }
  /**
   * Draws a line, or goes on with it.
   * @param {string} board "whiteboard", or the id of a publication that is drawn over
   * @param {{ stroke: string, color: string, width: number, points: number[] }} stroke points x, y, x, y, … from 0 to 65535
   */
  draw(board, stroke) {
    return this.#do("draw", { board, ...stroke });
  }
  /** A line of one's own; hosts: of anyone's, or (without `stroke`) all. @param {string} board @param {string} [stroke] @param {string} [participant] id */
  erase(board, stroke, participant) {
    return this.#do("erase", { board, stroke, participant });
  }
  /** All that is drawn: participant, stroke, color, width, points. @param {string} board */
  async board(board) {
    return (await this.request("board", { board })).strokes;
  }

  // --- breakouts, webinar, invitations ---

  /**
   * Hosts: opens rooms beside the main one.
   * @param {string[]} rooms names
   * @param {{ assign?: "manual" | "even" | "choice", assignments?: { participant: string, breakout: number }[], durationS?: number }} [how]
   */
  openBreakouts(rooms, { assign = "manual", assignments = [], durationS = 0 } = {}) {
    return this.#do("open_breakouts", { rooms, assign, assignments, duration_s: durationS });
  }
  /** Moves people (hosts), or oneself, to a breakout room, or (null) to the main room. @param {number | null} breakout @param {string[]} [participants] ids */
  moveTo(breakout, participants = [this.you.id]) {
    return this.#do("move", { participants, breakout });
  }
  /** Hosts: says something in all rooms. @param {string} text */
  broadcast(text) {
    return this.#do("broadcast", { text });
  }
  /** Hosts: seconds until everyone returns; 0: no end. @param {number} durationS */
  setBreakoutTimer(durationS) {
    return this.#do("set_breakout_timer", { duration_s: durationS });
  }
  /** Hosts: everyone returns. */
  closeBreakouts() {
    return this.#do("close_breakouts");
  }
  /** Hosts: who is in a webinar's audience, a page of it. @param {string} [after] the last page's `next` @param {number} [limit] */
  async audienceList(after, limit = 100) {
    const { people, next } = await this.request("audience_list", { after, limit });
    return { people, next };
  }
  /** Asks somebody who is connected (see {@link Presence}) into this room. @param {string} identity @param {{ video?: boolean }} [options] */
  async invite(identity, { video = true } = {}) {
    return (await this.request("invite", { identity, video })).call;
  }

  /** Leaves the room. */
  async leave() {
    this.#left = true;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type: "leave", id: this.#nextId++ }));
    this.#end("left", null);
  }

  /**
   * Sends a request of the protocol and waits for its reply.
   * @param {string} type @param {object} [fields]
   * @returns {Promise<any>}
   */
  request(type, fields = {}) {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      const error = this.#resume ? new PointsmanError("interrupted", "reconnecting") : new PointsmanError("closed", "not connected");
      return Promise.reject(this.#closed ?? error);
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ ...fields, type, id }));
    });
  }

  async #do(type, fields) {
    await this.request(type, fields);
  }

  // --- signalling ---

  /** @param {{ token: string } | { resume: string }} key */
  #open(key) {
    const url = new URL("/ws", this.#server);
    url.protocol = url.protocol.replace("http", "ws");
    for (const [name, value] of Object.entries(key)) url.searchParams.set(name, value);
    return new Promise((resolve, reject) => {
      const socket = (this.#socket = new WebSocket(url, "pointsman.v1"));
      let opened = false;
      socket.onopen = () => resolve((opened = true));
      socket.onmessage = ({ data }) => this.#socket === socket && this.#receive(JSON.parse(data));
      socket.onclose = async () => {
        if (this.#socket !== socket) return;
        if (opened) this.#lost();
        else reject(await whyRefused(url));
      };
      const ask = () => this.request("ping").catch(() => {});
      watch(socket, ask, () => {
        if (this.#socket !== socket) return;
        this.#socket = null;
        socket.close();
        if (opened) this.#lost();
        else reject(new PointsmanError("unreachable", "the server does not answer"));
      });
    });
  }

  /** The connection to the server is gone. Media goes on meanwhile. */
  #lost() {
    if (this.#closed || this.#left) return this.#end("left", null);
    const error = new PointsmanError("interrupted", "the connection to the server was lost");
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    if (!this.#resume) return this.#end("disconnected", new PointsmanError("closed", "the connection to the server was lost"));
    // While we come back, the loop there sees to it.
    this.#return ??= this.#comeBack().finally(() => (this.#return = null));
    this.#return.catch(() => {});
  }

  async #comeBack() {
    this.#state("reconnecting");
    const since = performance.now();
    for (let attempt = 0; !this.#closed; attempt++) {
      await pause(attempt === 0 ? Math.random() * RETRY_MS : retryPause(attempt));
      if (this.#closed) break;
      try {
        if (this.#resume) await this.#resumeOnce();
        else await this.#joinAnew();
        return this.#look();
      } catch (error) {
        // Too late to resume: the same call from its beginning, if our token is still good.
        if (this.#resume && ["token", "not_found", "not_joined"].includes(error.code)) this.#resume = null;
        else if (!["unreachable", "interrupted", "full", "busy", "ice_failed", "media_timeout"].includes(error.code)) throw this.#end("disconnected", error), error;
        if (performance.now() - since > AWAY_MS_MAX) throw this.#end("disconnected", error), error;
      }
    }
    throw this.#closed;
  }

  async #resumeOnce() {
    await this.#open({ resume: this.#resume });
    const resumed = await this.request("resume");
    this.#takeState(resumed);
    this.#takePeople(resumed.participants);
    for (const { publication, mid } of resumed.published) {
      const own = [...this.local].find(({ transceiver }) => transceiver.mid === mid);
      if (own) own.id = publication;
    }
    this.#takePlaced(resumed.placed);
    this.#missing = resumed.negotiate;
    if (resumed.negotiate.audio + resumed.negotiate.video > 0 || this.pc.iceConnectionState === "failed") this.#again = true;
    if (this.pc.iceConnectionState === "failed") this.pc.restartIce();
    if (this.#again && !this.#negotiation) this.#negotiate().catch((error) => this.#end("failed", error));
  }

  /** With the join token: another participant of the same identity, who publishes what we did. */
  async #joinAnew() {
    this.#takePeople([]);
    this.pc?.close();
    this.#receivers.clear();
    this.#wanted.clear();
    await this.#open({ token: this.#token });
    await this.#enter();
    for (const publication of this.local) {
      publication.id = null;
      if (this.you.can_publish && publication.track) publication.transceiver = this.#takeLine({ ...publication.options, source: publication.source, track: publication.track });
      else this.local.delete(publication);
    }
    await this.#negotiate();
    await this.#mediaUp(this.#media.timeout);
  }

  /** Whether the server is still there: a connection may be dead for long before the browser says so. */
  async #probe() {
    const socket = this.#socket;
    const answered = Promise.race([this.request("ping").then(() => true, () => false), new Promise((resolve) => setTimeout(() => resolve(false), PONG_MS_MAX))]);
    if ((await answered) || this.#socket !== socket || this.#closed || this.#return) return;
    this.#socket = null;
    // A code of our own: it means to come back.
    socket.close(4000);
    this.#lost();
  }

  #receive(message) {
    this.#take(message);
    this.#tell("message", { message });
  }

  /** One message of the server. */
  #take(message) {
    if (takeReply(this.#pending, message)) return;
    const participant = this.participants.get(message.participant?.id ?? message.participant);
    switch (message.type) {
      case "participant_joined": {
        const joined = new Participant(message.participant);
        this.participants.set(joined.id, joined);
        return this.#tell("participantJoined", { participant: joined });
      }
      case "participant_left":
        return participant && this.#dropParticipant(participant, message.reason);
      case "participant_updated":
        if (message.participant === this.you.id) {
          this.you = { ...this.you, name: message.name };
          return this.#tell("youUpdated", { you: this.you });
        }
        if (!participant) return;
        participant.update(message);
        return this.#tell("participantUpdated", { participant });
      case "publication_started": {
        if (!participant) return;
        const publication = new Publication(message.publication);
        participant.publications.set(publication.id, publication);
        return this.#tell("publicationStarted", { publication, participant });
      }
      case "publication_updated": {
        const publication = participant?.publications.get(message.publication.id);
        publication?.update(message.publication);
        return publication && this.#tell("publicationUpdated", { publication, participant });
      }
      case "publication_ended": {
        const publication = participant?.publications.get(message.publication);
        return publication && this.#endPublication(publication, participant);
      }
      case "publication_muted":
        return this.#takeMuted(message, participant);
      case "placed":
        return this.#place(message);
      case "negotiate":
        this.#missing = { audio: message.audio, video: message.video };
        return void this.#negotiate().catch((error) => this.#end("failed", error));
      case "quality":
        return this.#takeQuality(message);
      case "estimate":
        this.estimateBps = message.estimate_bps;
        return this.#tell("estimate", { bps: message.estimate_bps });
      case "speakers":
        return this.#takeSpeakers(message.participants);
      case "layers_wanted":
        return this.#takeWanted(message);
      case "data":
        return this.#takeData({ ...message, data: message.text ?? fromBase64(message.base64) }, message.reliable);
      case "data_lost":
        return this.#tell("dataLost", { messages: message.messages });
      case "data_refused":
        return this.#tell("dataRefused", { error: new PointsmanError(message.code, message.message, message.field), topic: message.topic });
      case "closed":
        return this.#takeClosed(message);
      case "connected": // the peer connection says the same
      case "error": // of a request that was not ours to wait for
        return;
      default:
        return this.#takeNews(message, participant);
    }
  }

  /** What is neither media nor who is there. */
  #takeNews(message, participant = null) {
    switch (message.type) {
      case "admitted":
        return this.#admitted?.resolve(message);
      case "you_updated":
        this.you = message.you;
        return this.#tell("youUpdated", { you: this.you });
      case "unmute_asked":
        return this.#tell("unmuteAsked", { by: this.participants.get(message.by) ?? null, source: message.source });
      case "room_updated":
        this.options = message.options;
        this.metadata = message.metadata;
        return this.#tell("roomUpdated", { options: this.options, metadata: this.metadata });
      case "waiting_room":
        this.waiting = message.waiting;
        return this.#tell("waitingRoom", { waiting: this.waiting });
      case "bans":
        this.bans = message.identities;
        return this.#tell("bans", { identities: this.bans });
      case "chat":
        this.messages.push(message.message);
        return this.#tell("chat", { message: message.message, participant: this.participants.get(message.message.from) ?? null });
      case "chat_restored":
        this.messages.unshift(...message.messages);
        return this.#tell("chatRestored", { messages: message.messages });
      case "chat_deleted":
        this.messages = this.messages.filter(({ id }) => id !== message.message);
        return this.#tell("chatDeleted", { message: message.message });
      case "reaction":
        return this.#tell("reaction", { emoji: message.emoji, participant });
      case "hands":
        this.hands = message.hands;
        return this.#tell("hands", { hands: this.hands });
      case "poll":
        this.polls.set(message.poll.id, message.poll);
        return this.#tell("poll", { poll: message.poll });
      case "stroke": {
        const { board, participant: by, stroke, color, width, points } = message;
        this.boards.add(board);
        return this.#tell("stroke", { board, participant: by, stroke: { stroke, color, width, points } });
      }
      case "erased":
        if (message.stroke === null) this.boards.delete(message.board);
        return this.#tell("erased", { board: message.board, participant: message.participant, stroke: message.stroke });
      case "breakouts":
        this.breakouts = message.breakouts;
        return this.#tell("breakouts", { breakouts: this.breakouts });
      case "moved":
        return this.#takeMoved(message);
      case "breakouts_ending":
        return this.#tell("breakoutsEnding", { endsInMs: message.ends_in_ms });
      case "broadcast":
        return this.#tell("broadcast", { by: message.by, name: message.name, text: message.text });
      case "audience":
        this.audience = message.count;
        return this.#tell("audience", { count: this.audience });
      case "call":
        return this.#tell("call", { call: message.call });
    }
  }

  #takeClosed({ reason, message }) {
    const error = new PointsmanError(reason, message);
    this.#admitted?.reject(error);
    // The server has let go of us, and nobody meant it to: the same call from its beginning.
    if (!COMES_AGAIN.has(reason) || !this.#wasUp || this.#return) return this.#end(reason, error);
    this.#resume = "over";
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#lost();
  }

  /** What `joined`, `admitted`, `resumed` and `moved` say of ourselves and the room. */
  #takeState({ room, metadata, you, options, state, resume, data }) {
    this.name = room ?? this.name;
    this.metadata = metadata;
    this.#dataLimits = { ...this.#dataLimits, ...data };
    this.you = you;
    this.options = options;
    this.#resume = resume?.token ?? this.#resume;
    this.messages = state.chat;
    this.hands = state.hands;
    this.polls = new Map(state.polls.map((poll) => [poll.id, poll]));
    this.boards = new Set(state.boards);
    this.audience = state.audience;
    this.breakouts = state.breakouts;
    this.breakout = state.breakout;
    this.waiting = state.waiting;
    this.bans = state.bans;
  }

  /** Who is there now, whoever was there before. */
  #takePeople(infos) {
    const ids = new Set(infos.map(({ id }) => id));
    for (const participant of [...this.participants.values()]) if (!ids.has(participant.id)) this.#dropParticipant(participant, "disconnected");
    for (const info of infos) {
      const known = this.participants.get(info.id);
      if (!known) {
        const participant = new Participant(info);
        this.participants.set(info.id, participant);
        this.#tell("participantJoined", { participant });
        for (const publication of participant.publications.values()) this.#tell("publicationStarted", { publication, participant });
        continue;
      }
      known.update(info);
      this.#tell("participantUpdated", { participant: known });
      this.#takePublications(known, info.publications);
    }
  }

  #takePublications(participant, infos) {
    const ids = new Set(infos.map(({ id }) => id));
    for (const publication of [...participant.publications.values()]) if (!ids.has(publication.id)) this.#endPublication(publication, participant);
    for (const info of infos) {
      const known = participant.publications.get(info.id);
      if (known) {
        known.update(info);
        this.#tell("publicationUpdated", { publication: known, participant });
        continue;
      }
      const publication = new Publication(info);
      participant.publications.set(info.id, publication);
      this.#tell("publicationStarted", { publication, participant });
    }
  }

  #dropParticipant(participant, reason) {
    for (const publication of [...participant.publications.values()]) this.#endPublication(publication, participant);
    this.participants.delete(participant.id);
    this.#tell("participantLeft", { participant, reason });
  }

  /** All that comes, and on which m-lines. */
  #takePlaced(placed) {
    const mids = new Map(placed.map(({ publication, mid }) => [publication, mid]));
    for (const participant of this.participants.values()) {
      for (const publication of participant.publications.values()) {
        if (publication.mid !== null && mids.get(publication.id) !== publication.mid) this.#detach(publication, participant);
      }
    }
    for (const place of placed) this.#place(place);
  }

  /** We are in another room of the same breakouts. Nobody has offered anything: its people come on the m-lines that are there. */
  #takeMoved(message) {
    for (const participant of [...this.participants.values()]) this.#dropParticipant(participant, "moved");
    const { breakouts } = message.state;
    this.#takeState({ ...message, room: this.name });
    this.breakouts = breakouts ?? this.breakouts;
    this.#tell("moved", { breakout: message.breakout, name: message.name });
    this.#takePeople(message.participants);
    this.#takePlaced(message.placed);
    const { audio, video } = message.negotiate;
    if (audio + video === 0) return;
    this.#missing = message.negotiate;
    this.#negotiate().catch((error) => this.#end("failed", error));
  }

  #makePeerConnection(iceServers) {
    const { relayOnly, rtc } = this.#media;
    const pc = (this.pc = new RTCPeerConnection({
      iceServers,
      iceTransportPolicy: relayOnly ? "relay" : "all",
      bundlePolicy: "max-bundle",
      ...rtc,
    }));
    pc.addEventListener("iceconnectionstatechange", () => this.pc === pc && this.#watchPath());
    pc.addEventListener("connectionstatechange", () => this.pc === pc && this.#look());
    globalThis.addEventListener?.("online", this.#onNetwork);
    globalThis.navigator?.connection?.addEventListener?.("change", this.#onNetwork);
  }

  /** Another network, perhaps: the path is looked for anew, and so is the server. */
  #onNetwork = () => {
    if (!this.#wasUp || this.#closed) return;
    this.#restartIce();
    if (!this.#return) this.#probe();
  };

  #watchPath() {
    clearTimeout(this.#pathTimer);
    if (!this.#wasUp || this.#closed) return;
    const { iceConnectionState: state } = this.pc;
    if (state === "failed") this.#restartIce();
    else if (state === "disconnected") this.#pathTimer = setTimeout(() => this.pc.iceConnectionState === "disconnected" && this.#restartIce(), PATH_PATIENCE_MS);
  }

  /** RFC 8445 section 9: other paths are looked for; keys, publications and subscriptions stay. */
  #restartIce() {
    const pause = this.#restarted + RESTART_PAUSE_MS - performance.now();
    clearTimeout(this.#pathTimer);
    if (pause > 0) {
      this.#pathTimer = setTimeout(() => this.#watchPath(), pause);
      return;
    }
    this.#restarted = performance.now();
    this.pc.restartIce();
    if (!this.#return) this.#negotiate().catch((error) => error.code === "interrupted" || this.#end("failed", error));
    // Not every restart succeeds at once.
    this.#pathTimer = setTimeout(() => this.#watchPath(), RESTART_PAUSE_MS);
  }

  /** Are we in the call, or on our way back? */
  #look() {
    if (!this.#wasUp || this.#closed) return;
    const up = this.#socket?.readyState === WebSocket.OPEN && this.pc.connectionState === "connected";
    this.#state(up ? "connected" : "reconnecting");
  }

  #takeMuted({ publication: id, muted, muted_by_server }, participant) {
    const own = [...this.local].find((publication) => publication.id === id);
    const publication = own ?? participant?.publications.get(id);
    if (!publication) return;
    publication.muted = muted;
    publication.mutedByServer = muted_by_server;
    this.#tell("publicationMuted", { publication, participant: own ? null : participant });
  }

  #takeQuality({ publication: id, current, target, bitrate_bps: bitrateBps, reason }) {
    for (const participant of this.participants.values()) {
      const publication = participant.publications.get(id);
      if (!publication) continue;
      publication.quality = { current, target, bitrateBps, reason };
      this.#tell("quality", { quality: publication.quality, publication, participant });
    }
  }

  #takeSpeakers(ids) {
    this.speakers = ids;
    const participants = ids.map((id) => this.participants.get(id)).filter(Boolean);
    this.#tell("speakers", { speakers: ids, participants, you: ids.includes(this.you?.id) });
  }

  /** What nobody wants need not be encoded. */
  #takeWanted({ publication: id, spatial_max: spatialMax }) {
    this.#wanted.set(id, spatialMax);
    // The answer that names it may still be on its way into the peer connection: it is looked at then.
    const publication = [...this.local].find((own) => own.id === id);
    if (!publication) return;
    this.#shape(publication);
    this.#tell("layersWanted", { publication, spatialMax });
  }

  // --- data ---

  #openChannels() {
    for (const [name, options] of [["reliable", {}], ["lossy", { ordered: false, maxRetransmits: 0 }]]) {
      const channel = (this.#channels[name] = this.pc.createDataChannel(name, { ...options, protocol: "pointsman.v1" }));
      channel.binaryType = "arraybuffer";
      channel.bufferedAmountLowThreshold = RELIABLE_BUFFER / 2;
      channel.onmessage = ({ data }) => this.#takeData(unframe(data), name === "reliable");
    }
  }

  /** The channel, if there is one that is open or about to be. */
  async #channel(name) {
    const channel = this.#channels[name];
    if (channel?.readyState === "connecting") await settled(channel, ["open", "close", "error"], CHANNEL_TIMEOUT);
    return channel?.readyState === "open" ? channel : null;
  }

  #takeData({ participant: id, identity = null, topic = "", data }, reliable) {
    this.#tell("data", { data, topic, participant: this.participants.get(id) ?? null, identity, reliable });
  }

  // --- media ---

  /** Brings a sender's encodings in line with what is wanted of it and with its track's size. */
  #shape(publication) {
    if (publication.kind !== "video") return Promise.resolve();
    const shape = async () => {
      if (!this.local.has(publication) || this.#closed) return;
      const { sender } = publication.transceiver;
      const parameters = sender.getParameters();
      const { encodings } = parameters;
      if (!encodings?.length) return;
      const before = JSON.stringify(encodings);
      const wanted = this.#dynacast ? this.#wanted.get(publication.id) : undefined;
      const pixels = pixelsOf(sender.track);
      const count = publication.fitted && sender.track ? Math.min(layersFor(pixels), encodings.length) : encodings.length;
      for (const [n, encoding] of encodings.entries()) {
        // One encoding may hold all layers (SVC): then it is all or nothing.
        const needed = wanted === undefined || (wanted !== null && (n <= wanted || encodings.length === 1));
        encoding.active = needed && n < count && !publication.off[n];
        if (publication.fitted && sender.track && n < count) Object.assign(encoding, layer(pixels, n, count));
      }
      if (JSON.stringify(encodings) !== before) await sender.setParameters(parameters);
    };
    // A failure leaves what is sent as it was: more than is needed, at worst.
    publication.shaped = publication.shaped.then(shape).catch((error) => console.warn("pointsman: layers not changed:", error.message));
    return publication.shaped;
  }

  /** Takes an m-line for a track: a free one that sent the same kind before, or a new one. */
  #takeLine(options) {
    const { track } = options;
    const encodings = options.encodings ?? encodingsFor(options);
    const alike = ({ sender }) => !options.encodings && Math.max(1, sender.getParameters().encodings?.length ?? 1) === (encodings?.length ?? 1);
    const used = new Set([...this.local].map((publication) => publication.transceiver));
    let transceiver = this.pc
      .getTransceivers()
      .find((t) => t.direction === "inactive" && !used.has(t) && !this.#receivers.has(t) && t.sender.track === null && t.receiver.track.kind === track.kind && alike(t));
    if (transceiver) {
      transceiver.direction = "sendonly";
      transceiver.sender.replaceTrack(track);
    } else {
      transceiver = this.pc.addTransceiver(track, { direction: "sendonly", streams: [new MediaStream([track])], ...(encodings ? { sendEncodings: encodings } : {}) });
      if (encodings?.length > 1) wantRids(transceiver);
    }
    return transceiver;
  }

  #addLocal(options) {
    const publication = new LocalPublication(options, this.#takeLine(options));
    this.local.add(publication);
    return publication;
  }

  /** Offers what there is now. Calls while an offer is out are answered by one more offer after it. */
  #negotiate() {
    this.#again = true;
    this.#negotiation ??= this.#offers().finally(() => (this.#negotiation = null));
    return this.#negotiation;
  }

  async #offers() {
    let fruitless = 0;
    while (this.#again && !this.#closed && fruitless < FRUITLESS_OFFERS_MAX) {
      this.#again = false;
      const missed = this.#missing;
      this.#missing = { audio: 0, video: 0 };
      this.#addReceivers(missed);
      await this.pc.setLocalDescription();
      const tracks = [...this.local].map(({ transceiver, source, name, muted }) => ({ mid: transceiver.mid, source, name, muted }));
      let answer;
      try {
        answer = await this.request("offer", { sdp: this.pc.localDescription.sdp, tracks });
      } catch (error) {
        if (error.code !== "interrupted") throw error;
        // Once more, when we are back; `resumed` says what is missing then.
        this.#again = true;
        return;
      }
      // At once: a `negotiate` that comes while the answer is being applied is newer.
      this.#missing = answer.negotiate;
      const { audio, video } = answer.negotiate;
      if (audio + video > 0) {
        this.#again = true;
        fruitless += 1;
      }
      await this.pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
      for (const { publication, mid } of answer.published) {
        const own = [...this.local].find(({ transceiver }) => transceiver.mid === mid);
        if (!own) continue;
        own.id = publication;
        this.#shape(own);
      }
      for (const placed of answer.placed) this.#place(placed);
    }
  }

  /** Receiving m-lines for what is missing, and one more of each kind while there are none at all or some must be added anyway. */
  #addReceivers(missing) {
    if (!this.you.can_subscribe && this.pc.getTransceivers().length) return;
    const first = this.#receivers.size === 0;
    for (const kind of ["audio", "video"]) {
      const count = missing[kind] > 0 || first ? missing[kind] + SPARE : 0;
      for (let n = 0; n < count; n++) this.#receivers.add(this.pc.addTransceiver(kind, { direction: "recvonly" }));
    }
  }

  /** A publication comes on an m-line from now on. */
  #place({ publication: id, mid }) {
    const transceiver = this.pc?.getTransceivers().find((candidate) => candidate.mid === mid);
    for (const participant of this.participants.values()) {
      const publication = participant.publications.get(id);
      if (!publication || !transceiver || publication.mid === mid) continue;
      this.#detach(publication, participant);
      publication.mid = mid;
      publication.track = transceiver.receiver.track;
      this.#tell("trackSubscribed", { track: publication.track, publication, participant });
    }
  }

  #detach(publication, participant = [...this.participants.values()].find((p) => p.publications.has(publication.id))) {
    const { track } = publication;
    publication.mid = publication.track = null;
    if (track) this.#tell("trackUnsubscribed", { track, publication, participant });
  }

  #endPublication(publication, participant) {
    this.#detach(publication, participant);
    participant.publications.delete(publication.id);
    this.#tell("publicationEnded", { publication, participant });
  }

  #mediaUp(timeout) {
    const { pc } = this;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(mediaTimeout(pc, timeout)), timeout);
      const look = () => {
        if (this.pc !== pc) return;
        if (this.#closed || this.#left) reject(this.#closed ?? new PointsmanError("closed", "left"));
        else if (pc.connectionState === "connected") {
          this.#state("connected");
          resolve();
        } else if (pc.connectionState === "failed") {
          reject(new PointsmanError("ice_failed", "No media connection to the server: its port is blocked on the way, or the network was lost."));
        } else return;
        clearTimeout(timer);
      };
      pc.addEventListener("connectionstatechange", look);
      this.addEventListener("closed", look);
      look();
    });
  }

  // --- life ---

  #state(state) {
    if (this.state === state || this.state === "closed") return;
    this.state = state;
    this.#tell("stateChanged", { state });
  }

  #end(reason, error) {
    if (this.state === "closed") return;
    this.#closed = error ?? new PointsmanError("closed", "left");
    this.#wanted.clear();
    clearTimeout(this.#pathTimer);
    globalThis.removeEventListener?.("online", this.#onNetwork);
    globalThis.navigator?.connection?.removeEventListener?.("change", this.#onNetwork);
    this.#admitted?.reject(this.#closed);
    for (const { reject } of this.#pending.values()) reject(this.#closed);
    this.#pending.clear();
    this.#state("closed");
    this.pc?.close();
    this.#socket?.close();
    this.#tell("closed", { reason, message: error?.message ?? "", error });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Waits for the first of some events of a channel. */
function settled(channel, events, timeout) {
  return new Promise((resolve) => {
    const timer = timeout && setTimeout(done, timeout);
    function done() {
      clearTimeout(timer);
      for (const event of events) channel.removeEventListener(event, done);
      resolve();
    }
    for (const event of events) channel.addEventListener(event, done);
  });
}

/** Waits until a channel has room again. */
async function drained(channel) {
  if (channel.readyState !== "open") throw new PointsmanError("closed", "The data channel was closed.");
  await settled(channel, ["bufferedamountlow", "close", "error"]);
}

/**
 * Being reachable without being in a room: for lists of who is there, and for ringing. Needs a token of `roomJoin` without a `room`.
 *
 * Events: call { call }: one rings, was accepted, or ended (`state`, `reason`); roomEvent { event, room, identity, name }; closed { reason, message }.
 * To talk, after `accept` or once `call` says connected: `new Room().connect(server, token, { room: call.room, … })` with the same token.
 */
export class Presence extends EventTarget {
  #socket = null;
  #pending = new Map();
  #nextId = 1;
  #attempt = 0;
  #closed = false;
  identity = null;
  /** Calls of this identity, by id. @type {Map<string, object>} */
  calls = new Map();

  /** @param {string} server @param {string} token */
  async connect(server, token) {
    const url = new URL("/ws", server);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("token", token);
    await new Promise((resolve, reject) => {
      const socket = (this.#socket = new WebSocket(url, "pointsman.v1"));
      let opened = false;
      socket.onopen = () => resolve((opened = true));
      socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
      socket.onclose = async () => {
        if (!opened) return reject(await whyRefused(url));
        for (const pending of this.#pending.values()) pending.reject(new PointsmanError("interrupted", "the connection to the server was lost"));
        this.#pending.clear();
        this.#again(server, token);
      };
      const ask = () => this.request("ping").catch(() => {});
      watch(socket, ask, () => {
        // It says so itself, but no sooner than it has given up its farewell.
        const { onclose } = socket;
        socket.onclose = null;
        socket.close();
        if (opened) onclose();
        else reject(new PointsmanError("unreachable", "the server does not answer"));
      });
    });
    const { identity, calls } = await this.request("hello");
    this.identity = identity;
    this.calls = new Map(calls.map((call) => [call.id, call]));
    this.#attempt = 0;
    for (const call of calls) this.dispatchEvent(new CustomEvent("call", { detail: { call } }));
  }

  async #again(server, token) {
    while (!this.#closed) {
      await pause(retryPause(this.#attempt++));
      try {
        if (!this.#closed) await this.connect(server, token);
        return;
      } catch (error) {
        if (error.code !== "unreachable" && error.code !== "full" && error.code !== "interrupted") return this.#end(error.code, error.message);
        // A connection that opened and was lost again tries for itself.
        if (error.code === "interrupted") return;
      }
    }
  }

  request(type, fields = {}) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new PointsmanError("interrupted", "not connected"));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ ...fields, type, id }));
    });
  }

  #take(message) {
    if (takeReply(this.#pending, message)) return;
    if (message.type === "call") {
      if (message.call.state === "ended") this.calls.delete(message.call.id);
      else this.calls.set(message.call.id, message.call);
      this.dispatchEvent(new CustomEvent("call", { detail: { call: message.call } }));
    } else if (message.type === "room_event") {
      const { event, room, identity, name } = message;
      this.dispatchEvent(new CustomEvent("roomEvent", { detail: { event, room, identity, name } }));
    } else if (message.type === "closed") this.#end(message.reason, message.message);
  }

  #end(reason, message) {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket?.close();
    this.dispatchEvent(new CustomEvent("closed", { detail: { reason, message } }));
  }

  /** Rings somebody. @param {string} identity @param {{ video?: boolean }} [options] */
  async invite(identity, { video = true } = {}) {
    const { call } = await this.request("invite", { identity, video });
    this.calls.set(call.id, call);
    return call;
  }
  /** Then join `call.room`. @param {string} call id */
  async accept(call) {
    return (await this.request("accept", { call })).call;
  }
  /** @param {string} call id */
  async decline(call) {
    await this.request("decline", { call });
  }
  /** Takes an invitation back, or hangs up. @param {string} call id */
  async cancel(call) {
    await this.request("cancel", { call });
  }
  /** With the grant roomList: who is where. @param {{ watch?: boolean }} [options] watch: and is told from now on (`roomEvent`) */
  async rooms({ watch = false } = {}) {
    return (await this.request("rooms", { watch })).rooms;
  }
  close() {
    this.#end("left", "");
  }
}

/** A browser is not told why its WebSocket was refused; the same address without an upgrade says it. */
async function whyRefused(url) {
  const http = new URL(url);
  http.protocol = http.protocol.replace("ws", "http");
  let response;
  try {
    response = await fetch(http);
  } catch {
    return new PointsmanError("unreachable", "The server cannot be reached.");
  }
  if (response.status === 426) return new PointsmanError("unreachable", "The server is there, but something on the way does not let WebSockets through.");
  const problem = await response.json().catch(() => ({}));
  const code = { 401: "token", 403: "forbidden", 503: "full" }[response.status] ?? "unreachable";
  return new PointsmanError(code, problem.detail ?? `The server answered ${response.status}.`);
}

function mediaTimeout(pc, timeout) {
  const where = pc.iceConnectionState === "connected" || pc.iceConnectionState === "completed" ? "The encryption handshake did not finish" : "No path to the server's media port was found";
  return new PointsmanError("media_timeout", `${where} within ${timeout / 1000} s.`);
}
