// The page: a lobby, then a call. Parameters of its address:
//   room (or #room), name   filled in;  join=1   join at once;  token   a join token (production);  relay=1   media through the TURN relay only
//   view=speaker, view=grid   how the tiles stand from the beginning;  host=1   as a host (a development server only)
import { Presence, Room } from "/client/pointsman.js";
import { Boards } from "/page/board.js";
import { Breakouts } from "/page/breakouts.js";
import { Call } from "/page/call.js";
import { Chat } from "/page/chat.js";
import { Devices, wireSwitches } from "/page/devices.js";
import { Gallery } from "/page/gallery.js";
import { listenToKeys } from "/page/keys.js";
import { $ } from "/page/make.js";
import { openMenu } from "/page/menu.js";
import { Moderation } from "/page/moderation.js";
import { Network } from "/page/network.js";
import { banner, strip, tell } from "/page/notices.js";
import { Others } from "/page/others.js";
import { Panel } from "/page/panel.js";
import { People } from "/page/people.js";
import { Polls } from "/page/polls.js";
import { Reactions } from "/page/reactions.js";
import { Ringing } from "/page/ringing.js";
import { Sharing } from "/page/sharing.js";
import { SignIn } from "/page/signin.js";
import { Statistics } from "/page/statistics.js";
import { Doorbell, wait } from "/page/waiting.js";

const query = new URLSearchParams(location.search);
const token = query.get("token");
const dev = document.documentElement.dataset.dev === "true";
const WORDS = [["amber", "blue", "green", "quiet", "silver", "early", "western", "upper"], ["junction", "signal", "platform", "siding", "bridge", "crossing", "valley", "harbour"]];

const devices = new Devices();
const panel = new Panel();
const gallery = new Gallery($("gallery"), {
  blocked: () => ($("unblock").hidden = false),
  screen: (tile, publication) => parts?.boards?.over(tile, publication),
  arranged: () => {
    parts?.others.viewing.touch();
    $("view-button").setAttribute("aria-pressed", gallery.showsSpeaker);
    $("view-button").querySelector("span").textContent = gallery.showsSpeaker ? "Gallery view" : "Speaker view";
  },
});
/** For who has no token, where the server has a provider. @type {SignIn | null} */
let signIn = null;
/** The call that is on, or about to be. @type {Call | null} */
let call = null;
/** What the page is made of while a call is on. */
let parts = null;

// --- joining ---

/** Why it could not join, or why it ended, in words that say what to do. */
function explain(error) {
  switch (error.code) {
    case "token": return /expired/.test(error.message) ? "This link has expired. Ask for a new one." : `This link's token was not accepted: ${error.message}.`;
    case "forbidden": return `You are not allowed in: ${error.message}.`;
    case "full": return `There is no space: ${error.message}. Try again later.`;
    case "busy": return "The server is busy. Try again in a moment.";
    case "locked": return "The room is locked: nobody else may come in.";
    case "banned": return "You were banned from this room.";
    case "denied": return "You were not admitted.";
    case "removed": return "A host removed you from the call.";
    case "room_ended": return "The call was ended for everyone.";
    case "ice_failed":
    case "media_timeout": return `${error.message} A firewall may block UDP to the server.`;
    case "replaced": return "You joined from somewhere else, so this call was ended here.";
    default: return error.message || String(error);
  }
}

async function getToken(name, roomName) {
  if (token) return token;
  if (signIn) return signIn.token(roomName);
  if (!dev) throw new Error("This server needs a link with a token. Ask whoever invited you.");
  tell("Asking for a token…", "busy");
  const response = await fetch("/dev/token", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ room: roomName, name, admin: $("host").checked }) });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `No token: the server answered ${response.status}.`);
  return body.token;
}

const PROGRESS = { signalling: "Connecting…", joining: "Joining the room…", negotiating: "Agreeing on media…", waiting: "Waiting for media…" };

async function join() {
  const name = $("name").value.trim();
  const roomName = $("room").value.trim();
  if (roomName && signIn && !signIn.person) return signIn.begin(roomName);
  if (!name || !roomName || call) return;
  if (!$("name").readOnly) localStorage.setItem("name", name);
  $("join-button").disabled = true;
  const room = new Room();
  const next = (call = new Call(room));
  window.pointsman = room; // for tests and for the curious
  try {
    tell("Opening camera and microphone…", "busy");
    const [joinToken, trouble] = await Promise.all([getToken(name, roomName), devices.open()]);
    devices.tell(trouble);
    fillPickers();
    follow(next);
    parts = { others: new Others(next, gallery, devices) };
    await room.connect(location.origin, joinToken, { tracks: devices.tracks(), room: roomName, relayOnly: query.get("relay") === "1" });
    enterCall();
    if (trouble) banner(trouble);
  } catch (error) {
    console.warn(error);
    if (call === next) leaveCall(next.leaving ? "" : explain(error));
  } finally {
    $("join-button").disabled = !canJoin() && !signIn;
  }
}

const canJoin = () => Boolean(token || dev || signIn?.person);

/** What happens to the call as a whole. */
function follow(next) {
  const { room, standing } = next;
  next.on("stateChanged", ({ state }) => {
    if (PROGRESS[state] && document.body.dataset.view === "lobby") tell(PROGRESS[state], "busy");
    strip(state === "reconnecting" ? "Reconnecting…" : null);
    if (state !== "connected") return;
    room.pc.onconnectionstatechange = watchPath;
    if (parts?.people) document.body.dataset.view = "call"; // held in the waiting room on the way back
  });
  next.on("message", ({ message }) => {
    if (message.type === "waiting") wait(message, () => ((next.leaving = true), room.leave()));
    if (message.type === "admitted") tell("You were admitted.", "busy");
  });
  next.on("closed", ({ error }) => call === next && parts?.people && leaveCall(error ? explain(error) : ""));
  standing.on(["you", "entered"], () => parts?.people && showOurselves(), next.ended);
}

function enterCall() {
  const { room, standing } = call;
  tell("");
  document.body.dataset.view = "call";
  document.title = `${room.name} · Pointsman`;
  $("room-name").textContent = room.name;
  if (!token) history.replaceState(null, "", `/?room=${encodeURIComponent(room.name)}${dev && $("host").checked ? "&host=1" : ""}`);
  $("copy").hidden = Boolean(token);
  const boards = new Boards(call, { gallery });
  Object.assign(parts, { boards });
  const chat = new Chat(call, { panel });
  Object.assign(parts, {
    chat,
    sharing: new Sharing(call, gallery),
    people: new People(call, { gallery, panel, chat, devices }),
    polls: new Polls(call, { panel }),
    reactions: new Reactions(call, gallery),
    moderation: new Moderation(call, { devices }),
    doorbell: new Doorbell(call, { panel }),
    breakouts: new Breakouts(call, { panel }),
    network: new Network(call),
    statistics: new Statistics(() => gallery.tiles.values(), () => room),
  });
  devices.begin(call);
  showOurselves();
  standing.dispatchEvent(new CustomEvent("hands", { detail: null }));
  gallery.layout();
  $("gallery").focus({ preventScroll: true });
}

/** Our own tile, while we may be seen. */
function showOurselves() {
  const { room, standing } = call;
  const may = standing.you?.can_publish ?? room.you.can_publish;
  for (const element of document.querySelectorAll(".controls [data-toggle]")) element.hidden = !may;
  if (!may) return gallery.remove("you");
  const me = gallery.tile("you", { identity: room.you.identity, name: room.you.name || $("name").value, local: true });
  me.publication = devices.cameraPublication;
  me.setVideo(devices.camera);
  me.setCameraOff(!devices.camera);
  me.setMuted(!devices.sendsMicrophone);
}
devices.addEventListener("changed", () => parts?.people && showOurselves());

/** Media may be lost before the server's WebSocket is. */
function watchPath() {
  const state = call?.room.pc?.connectionState;
  if (state === "disconnected" || state === "failed") strip("Reconnecting…");
  else if (call?.room.state === "connected") strip(null);
}

function leaveCall(message) {
  const ended = call;
  call = null;
  parts?.statistics?.end();
  parts = null;
  ended?.end();
  devices.end();
  panel.close();
  gallery.clear();
  banner("", 0);
  strip(null);
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  $("unblock").hidden = true;
  document.body.dataset.view = "lobby";
  document.body.dataset.breakout = false;
  document.title = "Pointsman";
  tell(message, message ? "error" : "");
  $("join-button").focus();
}

// --- what can be done ---

const leave = () => (parts?.moderation ? parts.moderation.leave($("leave-button")) : call?.room.leave());
const toggleView = () => gallery.setView(gallery.showsSpeaker ? "grid" : "speaker");

function openSettings() {
  devices.fill($("settings-pickers"));
  $("settings-dialog").showModal();
}

function openMore() {
  const { boards, moderation, sharing, reactions, breakouts } = parts;
  const narrow = matchMedia("(max-width: 720px)").matches;
  openMenu($("more-button"), [
    narrow && { label: "People", symbol: "people", act: () => panel.open("people") },
    narrow && !$("hand-button").hidden && { label: reactions.isRaised ? "Lower hand" : "Raise hand", symbol: "hand", act: () => reactions.toggleHand() },
    narrow && sharing.possible && { label: sharing.count ? "Stop sharing" : "Share screen", symbol: "screen", act: () => sharing.toggle() },
    sharing.count > 0 && { label: "Share one more screen", symbol: "screen", act: () => sharing.start() },
    boards.offered && { label: "Whiteboard", symbol: "pen", checked: boards.whiteboardOpen, act: () => boards.toggleWhiteboard() },
    panel.isOffered("polls") && { label: "Polls", symbol: "poll", act: () => panel.open("polls") },
    breakouts.offered && { label: "Breakout rooms", symbol: "rooms", act: () => panel.open("rooms") },
    moderation.offered && { label: "Host's controls", symbol: "shield", act: () => moderation.open() },
    null,
    { label: gallery.showsSpeaker ? "Gallery view" : "Speaker view", symbol: "grid", act: toggleView },
    { label: "Camera, sound, background", symbol: "sliders", act: openSettings },
    { label: "Keyboard shortcuts", symbol: "keyboard", act: () => $("keys-dialog").showModal() },
  ]);
}

listenToKeys({
  m: ["Microphone on or off", () => !document.querySelector(".controls [data-toggle]").hidden && devices.setMicrophone(!devices.sendsMicrophone)],
  v: ["Camera on or off", () => !document.querySelector(".controls [data-toggle]").hidden && devices.setCamera(!devices.camera)],
  s: ["Share the screen, or stop", () => parts.sharing.possible && parts.sharing.toggle()],
  h: ["Raise or lower the hand", () => parts.reactions.toggleHand()],
  r: ["Reactions", () => !$("react-button").hidden && parts.reactions.toggle()],
  c: ["Chat", () => panel.toggle("chat")],
  p: ["People", () => panel.toggle("people")],
  w: ["Whiteboard", () => parts.boards.offered && parts.boards.toggleWhiteboard()],
  g: ["Gallery or speaker view", toggleView],
  "?": ["These shortcuts", () => $("keys-dialog").showModal()],
  Escape: ["Close what is open", () => (panel.page ? panel.close() : gallery.pin(null))],
}, () => parts?.people && document.body.dataset.view === "call");

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  join();
});
$("leave-button").addEventListener("click", leave);
$("more-button").addEventListener("click", openMore);
$("screen-button").addEventListener("click", () => parts?.sharing.toggle());
$("view-button").addEventListener("click", toggleView);
$("unblock").addEventListener("click", () => parts?.others.play());
$("copy").addEventListener("click", async () => {
  const link = `${location.origin}/?room=${encodeURIComponent(call.room.name)}`;
  await navigator.clipboard?.writeText(link).then(() => banner("Link copied.", 2), () => banner(link, 12));
});
for (const element of document.querySelectorAll("dialog")) {
  element.addEventListener("click", ({ target }) => target === element && element.close()); // beside it
}
wireSwitches(devices);
const fillPickers = () => devices.fill($("lobby-pickers"));
navigator.mediaDevices?.addEventListener?.("devicechange", fillPickers);
addEventListener("pagehide", () => call?.room.leave());

// --- start ---

const pick = (list) => list[Math.floor(Math.random() * list.length)];
$("name").value = query.get("name") ?? localStorage.getItem("name") ?? "";
$("room").value = query.get("room") ?? decodeURIComponent(location.hash.slice(1)) ?? "";
if (["speaker", "grid"].includes(query.get("view"))) gallery.setView(query.get("view"));
const claims = token ? readToken() : null;
if (claims) {
  $("name").value = claims.name || claims.sub || $("name").value;
  $("name").readOnly = true;
  if (!$("room").value) $("room").value = claims.video?.room ?? "";
}
if (!token && !dev) signIn = await SignIn.look();
signIn?.show();
if (!$("room").value && !token && (dev || signIn)) $("room").value = `${pick(WORDS[0])}-${pick(WORDS[1])}-${Math.floor(10 + Math.random() * 90)}`;
$("host-field").hidden = !dev || Boolean(token);
$("host").checked = dev && !token && (query.has("host") || !query.get("room"));
const who = signIn ? "Whoever signs in and knows the room can come in." : dev && !token ? "Everyone who knows the room can come in." : "";
$("footnote").textContent = `Nothing is recorded. ${who}`;
if (claims?.video?.roomJoin && !claims.video.room) {
  $("join").dataset.presence = "";
  const presence = new Presence();
  new Ringing(presence, (room) => {
    $("room").value = room;
    join();
  });
  tell("Connecting…", "busy");
  presence.connect(location.origin, token).then(() => tell("You can be called."), (error) => tell(explain(error), "error"));
}

/** In production the token says which room it opens and who comes in; the server checks it, here it only fills the form. */
function readToken() {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null; // Not a JWT: the server will say so.
  }
}

if (signIn && !canJoin()) {
  $("join-button").focus();
  devices.tell("The camera opens when you are signed in.");
} else if (!canJoin()) {
  tell("This server needs a link with a token. Ask whoever invited you.", "error");
  $("join-button").disabled = true;
} else if (query.get("join") === "1" && $("name").value && $("room").value) {
  await join();
} else {
  ($("name").value ? $("join-button") : $("name")).focus();
  devices.tell("Opening camera and microphone…");
  devices.tell(await devices.open());
  await fillPickers();
}
