// Plots as inline SVG: lines over time with axes, a readable value under the pointer or the arrow keys, and a table for who cannot see them.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 220;
const MARGIN = { left: 72, right: 12, top: 10, bottom: 26 };

/** An element with attributes and children; texts are always texts, for names come from strangers. */
export function el(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "g", "rect", "circle", "title", "polyline"].includes(name);
  const element = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const clock = (at_s, span) =>
  new Intl.DateTimeFormat(undefined, span > 2 * 86_400 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" }).format(at_s * 1000);

/** Round numbers from 0 (or `min`) to at least `max`, four steps or so. */
function ticks(min, max) {
  const rough = (max - min || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const all = [];
  for (let at = Math.ceil(min / step) * step; at <= max + step * 0.01; at += step) all.push(Number(at.toPrecision(6)));
  return all;
}

/**
 * @param {object} plot
 * @param {string} plot.title what it shows, as a sentence for who hears it
 * @param {{ name: string, points: { at_s: number, value: number | null }[] }[]} plot.series
 * @param {number} plot.since_s @param {number} plot.until_s @param {number} plot.step_s
 * @param {(value: number) => string} plot.show
 * @param {number} [plot.min] @param {number} [plot.max] the axis' ends, at least
 * @param {number} plot.width pixels that there are for it: it is drawn as large as it is shown, so that its words can be read
 */
export function linePlot({ title, series, since_s, until_s, step_s, show, min = 0, max, width }) {
  const values = series.flatMap(({ points }) => points.map(({ value }) => value)).filter((value) => value !== null && value !== undefined);
  if (!values.length) return el("p", { class: "quiet empty" }, "Nothing was measured in this time.");
  const top = Math.max(max ?? 0, ...values, min + 1e-9);
  const x = (at_s) => MARGIN.left + ((at_s - since_s) / Math.max(1, until_s - since_s)) * (width - MARGIN.left - MARGIN.right);
  const y = (value) => HEIGHT - MARGIN.bottom - ((value - min) / (top - min || 1)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const svg = el("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, class: "plot", role: "img", "aria-label": title, tabindex: "0" });
  for (const at of ticks(min, top)) {
    svg.append(el("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(at), y2: y(at) }), el("text", { class: "tick", x: MARGIN.left - 6, y: y(at) + 4, "text-anchor": "end" }, show(at)));
  }
  const times = width < 480 ? 2 : 4;
  for (let n = 0; n <= times; n++) {
    const at = since_s + ((until_s - since_s) * n) / times;
    svg.append(el("text", { class: "tick", x: x(at), y: HEIGHT - 6, "text-anchor": n === 0 ? "start" : n === times ? "end" : "middle" }, clock(at, until_s - since_s)));
  }
  series.forEach(({ points }, n) => {
    // A gap of more than two steps is a gap, not a slope.
    const parts = [];
    let before = -Infinity;
    for (const { at_s, value } of points) {
      if (value === null || value === undefined) continue;
      const middle = at_s + step_s / 2;
      parts.push(`${middle - before > step_s * 2.5 ? "M" : "L"}${x(Math.min(middle, until_s)).toFixed(1)} ${y(Math.min(top, Math.max(min, value))).toFixed(1)}`);
      before = middle;
    }
    // Where a point stands alone, a round end shows it.
    svg.append(el("path", { class: `series s${n % 8}`, d: parts.join("") + (parts.length === 1 ? "h0.1" : "") }));
  });
  return el("figure", { class: "figure" }, svg, pointer({ svg, series, since_s, until_s, step_s, show, x, width }), series.length > 1 ? legend(series.map(({ name }) => name)) : null, table({ title, series, until_s, since_s, show }));
}

export function legend(names) {
  return el("ul", { class: "legend" }, names.map((name, n) => el("li", {}, el("span", { class: `swatch s${n % 8}` }), name || "not told")));
}

/** Says the values at a moment: under the pointer, or where the arrow keys lead. */
function pointer({ svg, series, since_s, until_s, step_s, show, x, width }) {
  const times = [...new Set(series.flatMap(({ points }) => points.map(({ at_s }) => at_s)))].sort((a, b) => a - b);
  const mark = el("line", { class: "mark", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
  const says = el("p", { class: "says", "aria-live": "polite" });
  svg.append(mark);
  let index = times.length;
  const look = (n) => {
    index = Math.min(times.length - 1, Math.max(0, n));
    const at = times[index];
    mark.setAttribute("x1", x(at + step_s / 2));
    mark.setAttribute("x2", x(at + step_s / 2));
    mark.setAttribute("visibility", "visible");
    const told = series.flatMap(({ name, points }) => {
      const value = points.find(({ at_s }) => at_s === at)?.value;
      return value === null || value === undefined ? [] : [`${series.length > 1 ? `${name || "not told"} ` : ""}${show(value)}`];
    });
    says.textContent = `${clock(at, Math.min(until_s - since_s, 86_400))}: ${told.slice(0, 6).join(", ")}`;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = since_s + (((event.clientX - box.left) / box.width) * width - MARGIN.left) / (width - MARGIN.left - MARGIN.right) * (until_s - since_s) - step_s / 2;
    const nearest = times.reduce((best, time, n) => (Math.abs(time - at) < Math.abs(times[best] - at) ? n : best), 0);
    look(nearest);
  });
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    look(index + by);
  });
  return says;
}

/** The same in words, for who hears the page; the last values only. */
function table({ title, series, show }) {
  const last = (points) => points.findLast(({ value }) => value !== null && value !== undefined)?.value;
  return el("div", { class: "unseen" }, el("table", {}, el("caption", {}, `${title}, the latest values`), el("tbody", {}, series.map(({ name, points }) => {
    const value = last(points);
    return el("tr", {}, el("th", { scope: "row" }, name || "all"), el("td", {}, value === undefined ? "not known" : show(value)));
  }))));
}

/** Horizontal bars: `rows` of `{ name, value, says }`; the scale ends at `max`. */
export function bars({ title, rows, max, kind = () => "" }) {
  if (!rows.length) return el("p", { class: "quiet empty" }, "Nothing was measured in this time.");
  return el("ul", { class: "bars", "aria-label": title }, rows.map(({ name, value, says }) => {
    const fill = el("span", { class: `fill ${kind(value)}` });
    fill.style.width = `${Math.max(1, Math.min(100, ((value ?? 0) / max) * 100))}%`;
    return el("li", {}, el("span", { class: "bar-name", title: name }, name || "not told"), el("span", { class: "track", "aria-hidden": "true" }, fill), el("span", { class: "bar-says" }, says));
  }));
}
