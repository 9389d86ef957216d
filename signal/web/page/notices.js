// What the page tells: a banner that goes away, a strip while the connection is lost, and questions with buttons.
import { $, button, iconButton, make } from "/page/make.js";

let timer = 0;

/** For `seconds` (0: until the next). */
export function banner(text, seconds = 6) {
  clearTimeout(timer);
  $("banner").textContent = text;
  $("banner").hidden = !text;
  if (text && seconds) timer = setTimeout(() => ($("banner").hidden = true), seconds * 1000);
}

/** The line under the form of the lobby; `kind` is "", "busy" or "error". */
export function tell(text, kind = "") {
  $("status").textContent = text;
  $("status").className = `status ${kind}`;
}

export function tellError(error) {
  console.warn(error);
  banner(error.message);
}

/** While the server is out of reach; null when it is back. */
export function strip(text) {
  $("strip").hidden = !text;
  $("strip-text").textContent = text ?? "";
}

/**
 * A question beside the call, that does not stop it. Returns what takes it away.
 * @param {string} text
 * @param {[string, () => void][]} answers the first is the one that is meant to be chosen
 * @param {{ signal?: AbortSignal, seconds?: number, detail?: string }} [options]
 */
export function prompt(text, answers, { signal, seconds = 0, detail = "" } = {}) {
  const close = () => {
    clearTimeout(lapse);
    card.remove();
  };
  const buttons = answers.map(([label, act], n) => button(label, () => (close(), act()), n ? "plain" : "primary small"));
  const card = make("div", { class: "prompt", aria: { role: "alertdialog", label: text } },
    make("p", { textContent: text }), detail && make("p", { class: "detail", textContent: detail }), make("div", { class: "row" }, buttons), iconButton("close", "Dismiss", close));
  card.addEventListener("keydown", (event) => event.key === "Escape" && (event.stopPropagation(), close()));
  const lapse = seconds ? setTimeout(close, seconds * 1000) : 0;
  signal?.addEventListener("abort", close);
  $("prompts").append(card);
  return close;
}
