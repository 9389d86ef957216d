// Signing in, going from view to view, and keeping them fresh.
import * as api from "./api.js";
import { el } from "./plot.js";
import * as views from "./views.js";

const find = (id) => document.getElementById(id);
const main = find("main");
const banner = find("banner");

let timer;
/** Counts up with each view, so that an answer which comes late is not drawn over the next view. */
let turn = 0;
/** The last answer, to draw again without asking. */
let answer;

function place() {
  const [view, ...rest] = location.hash.slice(1).split("/");
  return { view: Object.hasOwn(views, view) ? view : "now", detail: rest.length ? decodeURIComponent(rest.join("/")) : "" };
}

function say(text) {
  banner.textContent = text ?? "";
  banner.hidden = !text;
}

const isActedOn = (element) => element?.tagName === "BUTTON" || (element?.tagName === "SELECT" && !element.id);

/** Draws anew, and leaves the keyboard, the typing and the scrolling where they were. */
function draw(view) {
  const focused = document.activeElement;
  const id = main.contains(focused) ? focused.id : "";
  const caret = id && focused.selectionStart;
  const open = main.contains(focused) && !id;
  // Somebody is at a button or a list of a table: it stays until they leave.
  if (open && isActedOn(focused)) return;
  const again = (ask = true, problem) => {
    if (isActedOn(document.activeElement)) document.activeElement.blur();
    if (ask) refresh(problem);
    else draw(view);
  };
  main.replaceChildren(...view.draw(answer, again).filter(Boolean));
  if (!id) return;
  const same = find(id);
  same?.focus({ preventScroll: true });
  if (typeof caret === "number" && same?.setSelectionRange) same.setSelectionRange(caret, caret);
}

async function refresh(problem) {
  clearTimeout(timer);
  if (!api.token.get()) return;
  const { view: name, detail } = place();
  const view = views[name];
  const mine = ++turn;
  try {
    const loaded = await view.load(detail);
    if (mine !== turn) return;
    answer = loaded;
    say(problem);
    draw(view);
    main.removeAttribute("aria-busy");
    find("fresh").textContent = `as of ${new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }).format(Date.now())}`;
  } catch (error) {
    if (mine !== turn) return;
    if (error.status === 401) return signOut("The token is not taken any more: sign in again.");
    if (error.status === 404 && detail) {
      main.replaceChildren(el("section", { class: "panel" }, el("h2", {}, detail), el("p", {}, "This room is not open now."), el("p", {}, el("a", { href: "#rooms" }, "← All rooms"))));
    } else say(error.message);
  }
  if (!document.hidden) timer = setTimeout(refresh, view.every);
}

function show() {
  const { view, detail } = place();
  answer = undefined;
  for (const tab of document.querySelectorAll("#tabs a")) {
    if (tab.getAttribute("href") === `#${view}`) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  document.title = `${detail || view[0].toUpperCase() + view.slice(1)} – Pointsman dashboard`;
  main.setAttribute("aria-busy", "true");
  main.replaceChildren(el("p", { class: "quiet empty" }, "Loading…"));
  scrollTo(0, 0);
  refresh();
}

function signedIn() {
  document.body.dataset.view = "dashboard";
  show();
}

function signOut(why = "") {
  clearTimeout(timer);
  turn += 1;
  api.token.forget();
  document.body.dataset.view = "sign-in";
  main.replaceChildren();
  status(why, Boolean(why));
  find("token").value = "";
  find("token").focus();
}

function status(text, wrong = false) {
  find("sign-in-status").textContent = text;
  find("sign-in-status").classList.toggle("error", wrong);
}

/** A token is good when it lists rooms and may look into all of them. */
async function tryToken(value) {
  api.token.set(value);
  try {
    await api.quality({ by: "all" }).catch((error) => {
      if (error.status !== 404 && error.status !== 503) throw error;
    });
    await api.rooms();
    signedIn();
  } catch (error) {
    api.token.forget();
    status(error.message, true);
  }
}

find("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  status("Signing in…");
  tryToken(find("token").value.trim());
});
find("sign-out").addEventListener("click", () => signOut());
addEventListener("hashchange", () => api.token.get() && show());
let resized;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => answer && api.token.get() && draw(views[place().view]), 150);
});
document.addEventListener("visibilitychange", () => document.hidden || refresh());

/** A token without typing one: from the development mode, or for an administrator who is signed in with the provider. */
async function mintedToken() {
  if (document.documentElement.dataset.dev === "true") return api.devToken().catch(() => null);
  const person = await api.person();
  find("provider").hidden = !person;
  if (!person?.signed_in) return null;
  const minted = await api.providerToken();
  if (!minted) status(`${person.name ?? "You"} may not run this server.`, true);
  return minted;
}

if (api.token.get()) signedIn();
else {
  const minted = await mintedToken();
  if (minted) await tryToken(minted);
  else find("token").focus();
}
