// A menu that opens from a button: arrows move in it, Escape and a click elsewhere close it.
import { icon, make } from "/page/make.js";

let open = null;

/**
 * @param {HTMLElement} anchor the button
 * @param {({ label: string, symbol?: string, act: () => void, danger?: boolean, checked?: boolean } | null | false)[]} entries null: a line between
 */
export function openMenu(anchor, entries) {
  if (open?.anchor === anchor) return closeMenu();
  closeMenu();
  const list = make("div", { class: "menu", popover: "manual", aria: { role: "menu", label: anchor.getAttribute("aria-label") ?? "" } },
    entries.filter((entry) => entry !== false && entry !== undefined).map((entry) => (entry ? item(entry) : make("hr"))));
  document.body.append(list);
  list.showPopover();
  place(list, anchor);
  anchor.setAttribute("aria-expanded", "true");
  const abort = new AbortController();
  open = { anchor, list, abort };
  list.addEventListener("keydown", move);
  addEventListener("pointerdown", ({ target }) => !list.contains(target) && !anchor.contains(target) && closeMenu(false), { signal: abort.signal, capture: true });
  addEventListener("resize", () => closeMenu(false), { signal: abort.signal });
  list.querySelector("button")?.focus();
}

/** @param {boolean} [back] whether the button has the focus again */
export function closeMenu(back = true) {
  if (!open) return;
  const { anchor, list, abort } = open;
  open = null;
  abort.abort();
  list.remove();
  anchor.setAttribute("aria-expanded", "false");
  if (back && anchor.isConnected) anchor.focus();
}

function item({ label, symbol, act, danger = false, checked }) {
  const role = checked === undefined ? "menuitem" : "menuitemcheckbox";
  const element = make("button", { type: "button", class: danger ? "entry danger" : "entry", tabIndex: -1, aria: { role }, onclick: () => (closeMenu(), act()) },
    symbol ? icon(symbol) : make("span", { class: "no-icon" }), make("span", { textContent: label }));
  if (checked !== undefined) {
    element.setAttribute("aria-checked", checked);
    if (checked) element.append(icon("check"));
  }
  return element;
}

function move(event) {
  const items = [...open.list.querySelectorAll("button")];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (to !== undefined) items.at(to % items.length)?.focus();
  else if (event.key === "Escape" || event.key === "Tab") closeMenu();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** Above or below the button, whole on the window. */
function place(list, anchor) {
  const at = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = list;
  const above = at.top - height - 8;
  const top = above >= 8 ? above : Math.min(at.bottom + 8, innerHeight - height - 8);
  const left = Math.max(8, Math.min(at.left + at.width / 2 - width / 2, innerWidth - width - 8));
  list.style.left = `${left}px`;
  list.style.top = `${Math.max(8, top)}px`;
}
