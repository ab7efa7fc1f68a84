/** Every key of the page, in one list: what `?` shows is what works. */

import { byId, make } from "./dom.js";
import { say } from "./text.js";
import { INTERVALS } from "./view.js";

/**
 * @typedef {object} Actions
 * @property {() => void} search
 * @property {(interval: string) => void} interval
 * @property {(bars: number) => void} step
 * @property {(pages: number) => void} page
 * @property {(edge: "first" | "last") => void} edge
 * @property {(factor: number) => void} zoom
 * @property {() => void} live
 * @property {() => void} table
 * @property {() => void} cvd
 * @property {() => void} fourth
 * @property {(part: "chart" | "exchanges" | "feeds") => void} go
 * @property {() => void} theme
 * @property {() => void} palette
 * @property {() => void} language
 * @property {() => void} help
 * @property {() => void} escape
 */

/** Keys that only mean something while the chart has the focus. */
const CHART_KEYS = new Set(["ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End"]);

/** @type {[keys: string[], shown: string[], text: string, act: (actions: Actions, event: KeyboardEvent) => void][]} */
const KEYS = [
  [["/"], ["/"], "keySearch", (actions) => actions.search()],
  [["1", "2", "3", "4", "5", "6", "7"], ["1", "…", "7"], "keyInterval", (actions, event) => actions.interval(INTERVALS[Number(event.key) - 1])],
  [["ArrowLeft", "ArrowRight"], ["←", "→"], "keyStep", (actions, event) => actions.step((event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 10 : 1))],
  [["PageUp", "PageDown"], ["PgUp", "PgDn"], "keyPage", (actions, event) => actions.page(event.key === "PageUp" ? -1 : 1)],
  [["Home", "End"], ["Home", "End"], "keyHome", (actions, event) => actions.edge(event.key === "Home" ? "first" : "last")],
  [["+", "=", "-"], ["+", "−"], "keyZoom", (actions, event) => actions.zoom(event.key === "-" ? 1.25 : 0.8)],
  [["n", "N"], ["N"], "keyLive", (actions) => actions.live()],
  [["t", "T"], ["T"], "keyTable", (actions) => actions.table()],
  [["c", "C"], ["C"], "keyCvd", (actions) => actions.cvd()],
  [["p", "P"], ["P"], "keyFourth", (actions) => actions.fourth()],
  [["g", "G"], ["G"], "keyChart", (actions) => actions.go("chart")],
  [["e", "E", "f", "F"], ["E", "F"], "keyExchanges", (actions, event) => actions.go(event.key.toLowerCase() === "e" ? "exchanges" : "feeds")],
  [["d", "D"], ["D"], "keyTheme", (actions) => actions.theme()],
  [["b", "B"], ["B"], "keyPalette", (actions) => actions.palette()],
  [["l", "L"], ["L"], "keyLanguage", (actions) => actions.language()],
  [["?"], ["?"], "keyHelp", (actions) => actions.help()],
  [["Escape"], ["Esc"], "keyEscape", (actions) => actions.escape()],
];

/**
 * Let the keys act, but not while somebody types.
 * @param {Actions} actions
 */
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (target.matches("input[type=text], select, textarea") || document.querySelector("dialog[open]")) return;
    const inChart = target === document.body || Boolean(target.closest("#chart"));
    if (CHART_KEYS.has(event.key) && !inChart) return;
    const found = KEYS.find(([keys]) => keys.includes(event.key));
    if (!found) return;
    event.preventDefault();
    found[3](actions, event);
  });
}

/** Write the list of the keys. */
export function listKeys() {
  byId("key-list").replaceChildren(...KEYS.flatMap(([, shown, text]) => [
    make("dt", {}, ...shown.map((key) => make(key === "…" ? "span" : "kbd", {}, key))),
    make("dd", {}, say(text)),
  ]));
}
