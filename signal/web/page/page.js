// The page: a lobby, then a call. Parameters of its address:
//   room (or #room), name   filled in;  join=1   join at once;  token   a join token (production);  relay=1   media through the TURN relay only
//   view=speaker, view=grid   how the tiles stand from the beginning
import { Room } from "/client/pointsman.js";
import { Gallery } from "/page/gallery.js";
import { Statistics } from "/page/statistics.js";
import { Viewing } from "/page/viewing.js";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const token = query.get("token");
const dev = document.documentElement.dataset.dev === "true";
const WORDS = [["amber", "blue", "green", "quiet", "silver", "early", "western", "upper"], ["junction", "signal", "platform", "siding", "bridge", "crossing", "valley", "harbour"]];

/** Our own side: what we send, and what is switched off. */
const own = { camera: null, microphone: null, cameraOn: true, microphoneOn: true, cameraPublication: null, microphonePublication: null, screen: [] };
const gallery = new Gallery($("gallery"), {
  blocked: () => ($("unblock").hidden = false),
  arranged: () => {
    viewing?.touch();
    $("view-button").setAttribute("aria-pressed", gallery.showsSpeaker);
  },
});
/** Of the call that is on. @type {Viewing | null} */
let viewing = null;
/** @type {Statistics | null} */
let statistics = null;
/** @type {Room | null} */
let room = null;
let levels = 0;

// --- devices ---

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

const chosen = (picker) => (picker.value ? { deviceId: { exact: picker.value } } : {});
const wantedVideo = () => ({ ...VIDEO, ...chosen($("camera-picker")) });
const wantedAudio = () => ({ ...AUDIO, ...chosen($("microphone-picker")) });

/** Opens what is wanted and missing; without a camera still the microphone, and the other way round. Returns what to tell the user. */
async function openDevices() {
  const want = { video: own.cameraOn && !own.camera && wantedVideo(), audio: !own.microphone && wantedAudio() };
  if (!want.video && !want.audio) return "";
  if (!navigator.mediaDevices?.getUserMedia) {
    return "This page was not loaded over HTTPS, so the browser gives it no camera and no microphone. You can join to watch and listen.";
  }
  const open = async (constraints) => {
    for (const track of (await navigator.mediaDevices.getUserMedia(constraints)).getTracks()) {
      track.kind === "video" ? useCamera(track) : useMicrophone(track);
    }
  };
  try {
    await open({ video: want.video || false, audio: want.audio || false });
    return "";
  } catch (error) {
    if (!want.video || !want.audio) return deviceTrouble(error, want.video ? "camera" : "microphone");
    if (error.name === "NotAllowedError") return deviceTrouble(error, "camera and microphone");
    const troubles = [];
    await open({ audio: want.audio }).catch((reason) => troubles.push(deviceTrouble(reason, "microphone")));
    await open({ video: want.video }).catch((reason) => troubles.push(deviceTrouble(reason, "camera")));
    return troubles.join(" ");
  }
}

function deviceTrouble(error, what) {
  switch (error.name) {
    case "NotAllowedError": return `The browser was not allowed to use the ${what}. Allow it beside the page's address and reload, or join without.`;
    case "NotFoundError": return `No ${what} was found. You can join without.`;
    case "NotReadableError": return `The ${what} is in use by another program. Close it, or join without.`;
    case "OverconstrainedError": return `The chosen ${what} is gone. Choose another, or join without.`;
    default: return `The ${what} could not be opened: ${error.message || error.name}.`;
  }
}

function useCamera(track) {
  own.camera = track;
  track.contentHint = "motion";
  track.addEventListener("ended", () => own.camera === track && setCamera(false)); // unplugged, or permission withdrawn
}

function useMicrophone(track) {
  own.microphone = track;
  track.enabled = own.microphoneOn;
}

async function fillPickers() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
  for (const [picker, kind, what, track] of [[$("camera-picker"), "videoinput", "camera", own.camera], [$("microphone-picker"), "audioinput", "microphone", own.microphone]]) {
    const current = track?.getSettings().deviceId ?? picker.value;
    const options = devices.filter((device) => device.kind === kind).map((device, n) => new Option(device.label || `${what[0].toUpperCase()}${what.slice(1)} ${n + 1}`, device.deviceId));
    picker.replaceChildren(...(options.length ? options : [new Option(`No ${what}`, "")]));
    picker.disabled = !options.length;
    if (options.some((option) => option.value === current)) picker.value = current;
  }
}

// --- switches, in the lobby and in the call ---

async function setMicrophone(on) {
  own.microphoneOn = on;
  if (on && !own.microphone) {
    const trouble = await openDevices();
    if (!own.microphone) own.microphoneOn = false;
    tellTrouble(trouble);
    if (own.microphone && room?.state === "connected" && !own.microphonePublication) {
      own.microphonePublication = await room.publish(own.microphone, { source: "microphone" }).catch(tellError);
    }
  }
  if (own.microphone) own.microphone.enabled = own.microphoneOn;
  if (own.microphonePublication) await room?.setMuted(own.microphonePublication, !own.microphoneOn).catch(tellError);
  showSwitches();
}

/** Off means off: the camera's light goes out. */
async function setCamera(on) {
  own.cameraOn = on;
  if (!on) {
    own.camera?.stop();
    own.camera = null;
  } else if (!own.camera) {
    const trouble = await openDevices();
    if (!own.camera) own.cameraOn = false;
    tellTrouble(trouble);
  }
  await sendCamera().catch(tellError);
  showSwitches();
}

async function sendCamera() {
  const publication = own.cameraPublication;
  if (publication) {
    await room?.replaceTrack(publication, own.camera);
    await room?.setMuted(publication, !own.camera);
  } else if (own.camera && room?.state === "connected") {
    own.cameraPublication = await room.publish(own.camera, { source: "camera" });
    gallery.get("you").publication = own.cameraPublication;
  }
}

function showSwitches() {
  for (const [what, on, verbOn, verbOff] of [["microphone", own.microphoneOn && own.microphone, "Mute microphone", "Unmute microphone"], ["camera", own.cameraOn && own.camera, "Turn camera off", "Turn camera on"]]) {
    for (const button of document.querySelectorAll(`[data-toggle="${what}"]`)) {
      const label = on ? verbOn : verbOff;
      button.dataset.off = !on;
      button.setAttribute("aria-label", label);
      button.title = label;
      button.querySelector("use").setAttribute("href", `#${what === "microphone" ? "mic" : "camera"}${on ? "" : "-off"}`);
    }
  }
  $("preview").hidden = !own.camera;
  if (own.camera && $("preview").srcObject?.getVideoTracks()[0] !== own.camera) $("preview").srcObject = new MediaStream([own.camera]);
  const tile = gallery.get("you");
  if (tile) {
    tile.setVideo(own.camera);
    tile.setCameraOff(!own.camera);
    tile.setMuted(!own.microphoneOn || !own.microphone);
  }
}

// --- telling ---

function tell(text, kind = "") {
  $("status").textContent = text;
  $("status").className = `status ${kind}`;
}

let bannerTimer = 0;
function banner(text, seconds = 6) {
  clearTimeout(bannerTimer);
  $("banner").textContent = text;
  $("banner").hidden = !text;
  if (text && seconds) bannerTimer = setTimeout(() => ($("banner").hidden = true), seconds * 1000);
}

function tellTrouble(text) {
  if (document.body.dataset.view === "call") text && banner(text);
  else $("preview-note").textContent = text || (own.cameraOn ? "" : "Camera is off");
}

function tellError(error) {
  console.warn(error);
  banner(error.message);
}

/** Why it could not join, in words that say what to do. */
function explain(error) {
  switch (error.code) {
    case "token": return /expired/.test(error.message) ? "This link has expired. Ask for a new one." : `This link's token was not accepted: ${error.message}.`;
    case "forbidden": return `You are not allowed in: ${error.message}.`;
    case "full": return `There is no space: ${error.message}. Try again later.`;
    case "busy": return "The server is busy. Try again in a moment.";
    case "ice_failed":
    case "media_timeout": return `${error.message} A firewall may block UDP to the server.`;
    case "replaced": return "You joined from somewhere else, so this call was ended here.";
    default: return error.message || String(error);
  }
}

// --- joining ---

async function getToken(name, roomName) {
  if (token) return token;
  if (!dev) throw new Error("This server needs a link with a token. Ask whoever invited you.");
  tell("Asking for a token…", "busy");
  const response = await fetch("/dev/token", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ room: roomName, name }) });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `No token: the server answered ${response.status}.`);
  return body.token;
}

const PROGRESS = { signalling: "Connecting…", joining: "Joining the room…", negotiating: "Agreeing on media…", waiting: "Waiting for media…" };

async function join() {
  const name = $("name").value.trim();
  const roomName = $("room").value.trim();
  if (!name || !roomName) return;
  localStorage.setItem("name", name);
  $("join-button").disabled = true;
  const next = new Room();
  window.pointsman = next; // for tests and for the curious
  try {
    tell("Opening camera and microphone…", "busy");
    const [joinToken, trouble] = await Promise.all([getToken(name, roomName), openDevices()]);
    tellTrouble(trouble);
    showSwitches();
    fillPickers();
    listen(next);
    next.addEventListener("stateChanged", ({ detail: { state } }) => PROGRESS[state] && tell(PROGRESS[state], "busy"));
    const tracks = [];
    if (own.microphone) tracks.push({ track: own.microphone, source: "microphone", muted: !own.microphoneOn });
    if (own.camera) tracks.push({ track: own.camera, source: "camera" });
    await next.connect(location.origin, joinToken, { tracks, room: roomName, relayOnly: query.get("relay") === "1" });
    room = next;
    for (const publication of room.local) own[`${publication.source}Publication`] = publication;
    enterCall(name);
    if (trouble) banner(trouble);
  } catch (error) {
    console.warn(error);
    endViewing();
    gallery.clear();
    tell(explain(error), "error");
  } finally {
    $("join-button").disabled = !canJoin();
  }
}

const canJoin = () => Boolean(token || dev);

function enterCall(name) {
  tell("");
  const me = gallery.tile("you", { identity: room.you.identity, name: room.you.name || name, local: true });
  me.setVideo(own.camera);
  me.publication = own.cameraPublication;
  document.body.dataset.view = "call";
  $("room-name").textContent = room.name;
  document.title = `${room.name} · Pointsman`;
  if (dev && !token) history.replaceState(null, "", `/?room=${encodeURIComponent(room.name)}`);
  $("copy").hidden = Boolean(token);
  $("screen-button").hidden = !room.you.can_publish || !navigator.mediaDevices?.getDisplayMedia;
  showSwitches();
  gallery.layout();
  count();
  levels = setInterval(showLevels, 250);
  statistics = new Statistics(() => gallery.tiles.values(), () => room);
}

/** Nothing is told any more of how tiles are shown. */
function endViewing() {
  viewing?.end();
  statistics?.end();
  viewing = statistics = null;
}

function leaveCall(message) {
  clearInterval(levels);
  endViewing();
  for (const publication of own.screen) publication.track?.stop();
  Object.assign(own, { cameraPublication: null, microphonePublication: null, screen: [] });
  room = null;
  gallery.clear();
  banner("", 0);
  $("unblock").hidden = true;
  document.body.dataset.view = "lobby";
  document.title = "Pointsman";
  tell(message, message ? "error" : "");
  showSwitches();
  showScreenButton();
}

// --- others ---

/** Tiles follow the room. They are made while we still connect, so that pictures are there at once. */
function listen(next) {
  endViewing();
  viewing = new Viewing((publication, preferences) => next.prefer(publication, preferences));
  const on = (type, act) => next.addEventListener(type, ({ detail }) => (act(detail), count()));
  const tileOf = (participant) => gallery.tile(participant.id, { identity: participant.identity, name: participant.name });
  const screenKey = (publication) => `screen ${publication.id}`;
  const showPicture = (tile, publication, track) => {
    if (!tile.publication) viewing?.watch(tile.element, () => tile);
    tile.publication = publication;
    tile.setVideo(track);
    tile.setQuality(publication.quality);
    viewing?.touch();
  };
  const hidePicture = (tile) => {
    if (!tile) return;
    viewing?.forget(tile.element);
    tile.publication = null;
    tile.setVideo(null);
  };
  const pictureOf = ({ id, source }, participant) => gallery.get(source === "screen" ? `screen ${id}` : participant.id);
  const show = ({ publication, participant, track }) => {
    switch (publication.source) {
      case "screen":
        return showPicture(gallery.tile(screenKey(publication), { identity: participant.identity, name: participant.name, kind: "screen" }), publication, track);
      case "camera":
        showPicture(tileOf(participant), publication, track);
        return tileOf(participant).setCameraOff(publication.muted);
      case "microphone":
        tileOf(participant).setAudio(track);
        return tileOf(participant).setMuted(publication.muted);
      case "screen_audio": {
        const audio = (screenSound.get(publication.id) ?? screenSound.set(publication.id, new Audio()).get(publication.id));
        audio.srcObject = new MediaStream([track]);
        return audio.play().catch((error) => error.name === "NotAllowedError" && ($("unblock").hidden = false));
      }
    }
  };
  const hide = ({ publication, participant }) => {
    switch (publication.source) {
      case "screen":
        hidePicture(gallery.get(screenKey(publication)));
        return gallery.remove(screenKey(publication));
      case "camera": return hidePicture(gallery.get(participant.id));
      case "microphone":
        gallery.get(participant.id)?.setAudio(null);
        return gallery.get(participant.id)?.setMuted(true);
      case "screen_audio":
        screenSound.get(publication.id)?.pause();
        return screenSound.delete(publication.id);
    }
  };
  on("participantJoined", ({ participant }) => {
    const tile = tileOf(participant);
    tile.setMuted(true);
    tile.setNote(participant.connected ? "" : "connecting…");
  });
  on("participantUpdated", ({ participant }) => tileOf(participant).setNote(participant.connected ? "" : "connecting…"));
  on("participantLeft", ({ participant }) => gallery.remove(participant.id));
  on("trackSubscribed", show);
  on("trackUnsubscribed", hide);
  on("quality", ({ quality, publication, participant }) => {
    if (publication.kind !== "video") return;
    const wasWeak = weak;
    pictureOf(publication, participant)?.setQuality(quality);
    weak = [...gallery.tiles.values()].some((tile) => !tile.weak.hidden);
    if (weak && !wasWeak) banner("Audio only: your connection is weak. Pictures come back when it is better.");
  });
  on("speakers", ({ speakers: [first] }) => gallery.setSpeaker(first === next.you?.id ? "you" : (first ?? null)));
  on("publicationMuted", ({ publication, participant }) => {
    if (participant) return publication.track && show({ publication, participant, track: publication.track });
    if (publication.mutedByServer) banner(`A moderator muted your ${publication.source.replace("_", " ")}.`);
  });
  on("closed", ({ error }) => room === next && leaveCall(error ? explain(error) : ""));
}

/** Whether pictures are missing as the connection is too weak. */
let weak = false;
/** @type {Map<string, HTMLAudioElement>} */
const screenSound = new Map();

function count() {
  const others = room?.participants.size ?? 0;
  $("count").textContent = others ? `${others + 1} people` : "You are alone here";
}

/** A ring around who speaks. */
function showLevels() {
  for (const participant of room?.participants.values() ?? []) {
    for (const publication of participant.publications.values()) {
      if (publication.source !== "microphone" || !publication.track) continue;
      const receiver = room.pc.getReceivers().find((candidate) => candidate.track === publication.track);
      const level = receiver?.getSynchronizationSources?.()[0]?.audioLevel ?? 0;
      gallery.get(participant.id)?.setSpeaking(!publication.muted && level > 0.02);
    }
  }
}

// --- screen ---

async function toggleScreen() {
  if (own.screen.length) return stopScreen();
  let stream;
  try {
    stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: true });
  } catch (error) {
    if (error.name !== "NotAllowedError") tellError(error); // the user closed the picker: nothing to say
    return;
  }
  for (const track of stream.getTracks()) {
    const picture = track.kind === "video";
    if (picture) {
      track.contentHint = "detail";
      track.addEventListener("ended", stopScreen);
      gallery.tile("your screen", { identity: room.you.identity, name: "Your", kind: "screen", local: true }).setVideo(track);
    }
    const publication = await room.publish(track, { source: picture ? "screen" : "screen_audio" }).catch(tellError);
    if (!publication) continue;
    own.screen.push(publication);
    if (picture && gallery.get("your screen")) gallery.get("your screen").publication = publication;
  }
  showScreenButton();
}

async function stopScreen() {
  const publications = own.screen;
  own.screen = [];
  gallery.remove("your screen");
  showScreenButton();
  for (const publication of publications) {
    publication.track?.stop();
    await room?.unpublish(publication).catch(tellError);
  }
}

function showScreenButton() {
  const on = own.screen.length > 0;
  const label = on ? "Stop sharing" : "Share screen";
  $("screen-button").dataset.on = on;
  $("screen-button").setAttribute("aria-label", label);
  $("screen-button").title = label;
  $("screen-button").querySelector("use").setAttribute("href", on ? "#screen-off" : "#screen");
}

// --- start ---

const pick = (list) => list[Math.floor(Math.random() * list.length)];
$("name").value = query.get("name") ?? localStorage.getItem("name") ?? "";
$("room").value = query.get("room") ?? decodeURIComponent(location.hash.slice(1)) ?? "";
if (!$("room").value && dev) $("room").value = `${pick(WORDS[0])}-${pick(WORDS[1])}-${Math.floor(10 + Math.random() * 90)}`;
if (token) useTokensNames();

/** In production the token says which room it opens and who comes in; the server checks it, here it only fills the form. */
function useTokensNames() {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    $("name").value = claims.name || claims.sub || $("name").value;
    $("name").readOnly = true;
    if (!$("room").value) $("room").value = claims.video?.room ?? "";
  } catch {
    // Not a JWT: the server will say so.
  }
}

for (const button of document.querySelectorAll("[data-toggle]")) {
  button.addEventListener("click", () => (button.dataset.toggle === "camera" ? setCamera(!own.camera) : setMicrophone(!(own.microphoneOn && own.microphone))));
}
$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  join();
});
$("leave-button").addEventListener("click", () => room?.leave());
$("screen-button").addEventListener("click", toggleScreen);
$("view-button").addEventListener("click", () => gallery.setView(gallery.showsSpeaker ? "grid" : "speaker"));
if (["speaker", "grid"].includes(query.get("view"))) gallery.setView(query.get("view"));
$("copy").addEventListener("click", async () => {
  const link = `${location.origin}/?room=${encodeURIComponent(room.name)}`;
  await navigator.clipboard?.writeText(link).then(() => banner("Link copied.", 2), () => banner(link, 12));
});
$("unblock").addEventListener("click", () => {
  $("unblock").hidden = true;
  for (const tile of gallery.tiles.values()) tile.play();
  for (const audio of screenSound.values()) audio.play().catch(() => {});
});
for (const [id, kind] of [["camera-picker", "camera"], ["microphone-picker", "microphone"]]) {
  $(id).addEventListener("change", async () => {
    own[kind]?.stop();
    own[kind] = null;
    tellTrouble(await openDevices());
    showSwitches();
  });
}
navigator.mediaDevices?.addEventListener?.("devicechange", fillPickers);
addEventListener("pagehide", () => room?.leave());
showSwitches();
showScreenButton();

if (!canJoin()) {
  tell("This server needs a link with a token. Ask whoever invited you.", "error");
  $("join-button").disabled = true;
} else if (query.get("join") === "1" && $("name").value && $("room").value) {
  await join();
} else {
  ($("name").value ? $("join-button") : $("name")).focus();
  tellTrouble("Opening camera and microphone…");
  tellTrouble(await openDevices());
  showSwitches();
  await fillPickers();
}
