// Shortcuts of the keyboard, in the call and outside of text fields.
import { $, make } from "/page/make.js";

/** @param {Record<string, [string, () => void]>} keys what a key does, and how it is told */
export function listenToKeys(keys, isOn) {
  addEventListener("keydown", (event) => {
    if (!isOn() || event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable], [role=menu]")) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key]?.[1];
    if (!act) return;
    event.preventDefault();
    act();
  });
  $("keys-list").replaceChildren(...Object.entries(keys).flatMap(([key, [text]]) => [make("dt", {}, make("kbd", { textContent: key === "Escape" ? "Esc" : key.toUpperCase() })), make("dd", { textContent: text })]));
}
