// Elements are made here. Texts are only ever set as text: names, chat and metadata come from strangers.

/** An element with properties (`class`, `aria` and `data` are objects or texts of attributes, `on…` listeners) and children. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  const { aria = {}, data = {}, class: className = "", ...rest } = properties;
  if (className) element.className = className;
  for (const [key, value] of Object.entries(aria)) element.setAttribute(key === "role" ? "role" : `aria-${key}`, value);
  Object.assign(element.dataset, data);
  Object.assign(element, rest);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows its text. */
export const button = (text, act, className = "plain") => make("button", { type: "button", class: className, textContent: text, onclick: act });

/** A button that shows a symbol and tells its label. */
export const iconButton = (symbol, label, act, className = "icon-button") =>
  make("button", { type: "button", class: className, title: label, aria: { label }, onclick: act }, icon(symbol));

/** Another symbol and another label for a button that shows one. */
export function relabel(element, symbol, label) {
  if (element.title === label) return;
  element.title = label;
  element.setAttribute("aria-label", label);
  element.querySelector("use").setAttribute("href", `#${symbol}`);
}

export const $ = (id) => document.getElementById(id);

export const initials = (name) => name.trim().split(/\s+/).filter(Boolean).slice(0, 2).map((word) => [...word][0].toUpperCase()).join("") || "?";
export const hue = (text) => [...text].reduce((sum, letter) => (sum * 131 + letter.codePointAt(0) * 47) % 360, 7);

/** The round picture that stands for somebody. */
export function face(identity, name) {
  const element = make("span", { class: "face", textContent: initials(name), aria: { hidden: "true" } });
  element.style.setProperty("--hue", hue(identity));
  return element;
}

/** Keeps the children of `parent` to one element per item, made once and then brought up to date: focus and scrolling stay. */
export function keep(parent, items, key, create, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const name = String(key(item));
    const element = before.get(name) ?? create(item);
    element.dataset.key = name;
    update(element, item);
    before.delete(name);
    return element;
  });
  for (const element of before.values()) element.remove();
  wanted.forEach((element, n) => parent.children[n] !== element && parent.insertBefore(element, parent.children[n] ?? null));
}

export const clock = (ms) => {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return (h ? `${h}:${String(m).padStart(2, "0")}` : `${m}`) + `:${String(s).padStart(2, "0")}`;
};
