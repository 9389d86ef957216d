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
 *   roomMetadata        { metadata }                              the room's metadata changed
 *   data                { participant, topic, text }              a text; `participant` is null when the server's operator sent it
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
 *   closed              { reason, message, error }                the call is over; `error` is null after `leave()`
 */

import { report as reportQuality } from "./stats.js";

/** @typedef {"camera" | "microphone" | "screen" | "screen_audio"} TrackSource */
/** @typedef {"idle" | "signalling" | "joining" | "negotiating" | "waiting" | "connected" | "closed"} RoomState */
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

/** How a track is sent unless the caller says otherwise: cameras as simulcast, in as many layers as the picture is large enough for. */
function encodingsFor({ track, source = "camera" }) {
  if (track.kind !== "video") return undefined;
  if (source === "screen") return [{ maxBitrate: SCREEN_BPS }];
  const pixels = pixelsOf(track);
  const count = layersFor(pixels);
  if (count === 1) return [{ maxBitrate: cameraBps(pixels) }];
  return RIDS.slice(-count).map((rid, n) => ({ rid, ...layer(pixels, n, count) }));
}

/** An error with a machine-readable `code`; the message is for people. */
export class PointsmanError extends Error {
  /**
   * @param {string} code the server's error code, or one of: token, forbidden, unreachable, closed, ice_failed, media_timeout
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
    /** To be shown, always as text: it comes from a stranger. @type {string} */
    this.name = info.name || info.identity;
    /** @type {string} */
    this.metadata = info.metadata;
    /** @type {boolean} */
    this.connected = info.connected;
    /** By id. @type {Map<string, Publication>} */
    this.publications = new Map(info.publications.map((publication) => [publication.id, new Publication(publication)]));
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

/** One call. A Room is used once: after `closed`, make another. */
export class Room extends EventTarget {
  /** @type {RTCPeerConnection | null} For statistics. */
  pc = null;
  /** Others, by id, in order of joining. @type {Map<string, Participant>} */
  participants = new Map();
  /** Who we are, once joined: id, identity, name, can_publish, can_subscribe, admin. */
  you = null;
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
  #closed = null;
  #left = false;

  /**
   * Joins and publishes `tracks` at once; resolves when media flows.
   * @param {string} server address of the server, as in "https://calls.example.org"
   * @param {string} token a join token
   * @param {object} [options]
   * @param {PublishOptions[]} [options.tracks] published with the first offer
   * @param {boolean} [options.autoSubscribe] receive everything without asking (default true)
   * @param {string} [options.room] refuse to join if the token is for another room
   * @param {boolean} [options.relayOnly] all media through the server's TURN relay
   * @param {boolean} [options.dynacast] send only the layers that somebody wants (default true)
   * @param {RTCConfiguration} [options.rtc] more for the RTCPeerConnection
   * @param {number} [options.timeout] milliseconds until media must flow (default 15,000)
   * @param {boolean} [options.report] tell the server every five seconds how well we see and hear (default true)
   */
  async connect(server, token, { tracks = [], autoSubscribe = true, room, relayOnly = false, dynacast = true, rtc = {}, timeout = 15_000, report = true } = {}) {
    if (this.state !== "idle") throw new PointsmanError("closed", "a Room connects once; make a new one");
    this.#dynacast = dynacast;
    try {
      this.#state("signalling");
      await this.#open(server, token);
      this.#state("joining");
      const joined = await this.request("join", { auto_subscribe: autoSubscribe, ...(room === undefined ? {} : { room }) });
      this.#takeJoined(joined, relayOnly, rtc);
      this.#state("negotiating");
      if (joined.you.can_publish) for (const options of tracks) this.#addLocal(options);
      this.#missing = joined.negotiate;
      await this.#negotiate();
      if (this.state === "negotiating") this.#state("waiting");
      await this.#mediaUp(timeout);
      if (report) reportQuality(this);
    } catch (error) {
      const told = this.#closed ?? error;
      this.#end("failed", told);
      throw told;
    }
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

  /** With the grant roomAdmin: stops somebody else's publication at the server, or lets it pass again. @param {Publication} publication @param {boolean} muted */
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
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(this.#closed ?? new PointsmanError("closed", "not connected"));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ ...fields, type, id }));
    });
  }

  // --- signalling ---

  #open(server, token) {
    const url = new URL("/ws", server);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("token", token);
    return new Promise((resolve, reject) => {
      const socket = (this.#socket = new WebSocket(url, "pointsman.v1"));
      let opened = false;
      socket.onopen = () => resolve((opened = true));
      socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
      socket.onclose = async () => {
        if (opened) this.#end("disconnected", new PointsmanError("closed", "the connection to the server was lost"));
        else reject(await whyRefused(url));
      };
    });
  }

  /** One message of the server. */
  #take(message) {
    const pending = this.#pending.get(message.id);
    if (message.id !== undefined && pending) {
      this.#pending.delete(message.id);
      if (message.type === "error") pending.reject(new PointsmanError(message.code, message.message, message.field));
      else pending.resolve(message);
      return;
    }
    const participant = this.participants.get(message.participant?.id ?? message.participant);
    switch (message.type) {
      case "participant_joined": {
        const joined = new Participant(message.participant);
        this.participants.set(joined.id, joined);
        return this.#tell("participantJoined", { participant: joined });
      }
      case "participant_left":
        if (!participant) return;
        for (const publication of participant.publications.values()) this.#endPublication(publication, participant);
        this.participants.delete(participant.id);
        return this.#tell("participantLeft", { participant, reason: message.reason });
      case "participant_updated":
        if (!participant) return;
        participant.connected = message.connected;
        participant.name = message.name || participant.identity;
        participant.metadata = message.metadata;
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
      case "closed":
        return this.#end(message.reason, new PointsmanError(message.reason, message.message));
      case "room_metadata":
        this.#tell("roomMetadata", { metadata: message.metadata });
        break;
      case "data":
        this.#tell("data", { participant: this.participants.get(message.participant) ?? null, topic: message.topic, text: message.text });
        break;
      case "connected": // the peer connection says the same
      case "error": // of a request that was not ours to wait for
        return;
    }
  }

  #takeJoined({ room, you, participants, ice_servers }, relayOnly, rtc) {
    this.name = room;
    this.you = you;
    for (const info of participants) this.participants.set(info.id, new Participant(info));
    this.pc = new RTCPeerConnection({
      iceServers: ice_servers,
      iceTransportPolicy: relayOnly ? "relay" : "all",
      bundlePolicy: "max-bundle",
      ...rtc,
    });
    for (const participant of this.participants.values()) {
      this.#tell("participantJoined", { participant });
      for (const publication of participant.publications.values()) this.#tell("publicationStarted", { publication, participant });
    }
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
  #addLocal(options) {
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
    }
    const publication = new LocalPublication(options, transceiver);
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
      const answer = await this.request("offer", { sdp: this.pc.localDescription.sdp, tracks });
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
        if (this.#closed || this.#left) reject(this.#closed ?? new PointsmanError("closed", "left"));
        else if (pc.connectionState === "connected") {
          this.#state("connected");
          resolve();
        } else if (pc.connectionState === "failed") {
          const error = new PointsmanError("ice_failed", "No media connection to the server: its port is blocked on the way, or the network was lost.");
          reject(error);
          this.#end("failed", error);
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
