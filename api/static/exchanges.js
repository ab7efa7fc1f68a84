/** The markets of the view side by side. */

import { serverNow } from "./api.js";
import { byId, make, setAttribute, setText, showShare } from "./dom.js";
import * as format from "./format.js";
import { buyShare, spokenShare, windowStart } from "./strip.js";
import { say } from "./text.js";

const LATE_S = 150;

/** @typedef {{state: string, text: string}} Health */

/** @typedef {{audited: number, equal: number, different: number}} Audit Minutes. */

/**
 * Return for each market how many minutes were held against the exchange's own, and how many differ.
 * @param {any[]} coverage
 * @returns {Map<string, Audit>}
 */
export function auditsOf(coverage) {
  /** @type {Map<string, Audit>} */
  const audits = new Map();
  for (const row of coverage) {
    const market = `${row.exchange}:${row.symbol}`;
    const audit = audits.get(market) ?? { audited: 0, equal: 0, different: 0 };
    audit.audited += row.audited_minutes;
    audit.equal += Math.round(Number(row.audited ?? 0) * row.audited_minutes);
    audit.different += row.different_minutes;
    audits.set(market, audit);
  }
  return audits;
}

/**
 * Return how a market is: by what its feed says, else by the age of its newest minute.
 * @param {Map<number, any> | undefined} minutes
 * @param {boolean} isOut An incident of its feed is open.
 * @returns {Health}
 */
function healthOf(minutes, isOut) {
  if (isOut) return { state: "bad", text: say("healthBad") };
  if (!minutes?.size) return { state: "wait", text: say("healthWait") };
  const newest = Math.max(...minutes.keys());
  const age = serverNow() - newest;
  if (age > LATE_S) return { state: age > 3 * LATE_S ? "bad" : "late", text: say("healthLate", { time: format.duration(age - 60) }) };
  if (minutes.get(newest - 60)?.is_complete === false || minutes.get(newest)?.is_complete === false) return { state: "late", text: say("healthGap") };
  return { state: "good", text: say("healthGood") };
}

/**
 * Return the newest price of a market, and in US dollars.
 * @param {Map<number, any> | undefined} minutes
 */
function priceOf(minutes) {
  let newest = null;
  for (const [time, row] of minutes ?? []) if (row.close !== null && (newest === null || time > newest[0])) newest = [time, row];
  if (!newest) return { price: null, dollars: null };
  const price = Number(newest[1].close);
  const rate = newest[1].usd_rate;
  return { price, dollars: rate === null || rate === undefined ? null : price * Number(rate) };
}

/** The table. */
export class Exchanges {
  /**
   * @param {object} handlers
   * @param {(market: string) => void} handlers.onReference
   * @param {(market: string, isIn: boolean) => void} handlers.onInclude
   */
  constructor(handlers) {
    this.handlers = handlers;
    this.body = /** @type {HTMLTableSectionElement} */ (byId("exchanges").querySelector("tbody"));
    /** @type {Map<string, HTMLTableRowElement>} */
    this.rows = new Map();
  }

  /** @param {string} market @param {string} name */
  row(market, name) {
    let row = this.rows.get(market);
    if (row) return row;
    const symbol = market.split(":")[1];
    const box = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox" }));
    box.addEventListener("change", () => this.handlers.onInclude(market, box.checked));
    const button = make("button", { type: "button" }, name, make("small", {}, symbol));
    button.addEventListener("click", () => this.handlers.onReference(market));
    row = /** @type {HTMLTableRowElement} */ (make("tr", { "data-market": market },
      make("th", { scope: "row" }, make("span", { class: "who" }, box, button)),
      make("td", { class: "number" }), make("td", { class: "number" }),
      make("td", {}, make("span", { class: "sharebar" })), make("td", {}, make("span", { class: "sharebar" })),
      make("td", { class: "number wide" }, make("span"), make("small")),
      make("td", {}, make("span", { class: "state" }), make("small"))));
    this.rows.set(market, row);
    return row;
  }

  /**
   * Show every market of the view, dearest first.
   * @param {import("./data.js").Data} data
   * @param {Map<string, any>} books Newest order book minute of each market.
   * @param {{name: (market: string) => string, listed: string[], audits: Map<string, Audit>, isOut: (market: string) => boolean}} facts
   */
  show(data, books, facts) {
    const reference = priceOf(data.recent.get(data.reference)).dollars;
    const markets = [...new Set([...data.recent.keys(), ...facts.listed])].map((market) => {
      const { price, dollars } = priceOf(data.recent.get(market));
      return { market, price, bps: dollars !== null && reference ? (dollars / reference - 1) * 10_000 : null };
    });
    markets.sort((one, other) => (other.bps ?? -1e9) - (one.bps ?? -1e9) || one.market.localeCompare(other.market));
    for (const [market, row] of this.rows) {
      if (!markets.some((each) => each.market === market)) {
        row.remove();
        this.rows.delete(market);
      }
    }
    markets.forEach(({ market, price, bps }, place) => {
      const row = this.row(market, facts.name(market));
      if (this.body.children[place] !== row && !row.contains(document.activeElement)) this.body.insertBefore(row, this.body.children[place] ?? null);
      this.fill(row, market, data, books.get(market), { price, bps, name: facts.name(market), isOut: facts.isOut(market), audit: facts.audits.get(market) });
    });
    const base = data.view.market.split("-")[0];
    setText(byId("exchanges-note"), data.reference ? say("exchangesNote", { market: `${facts.name(data.reference)} ${data.reference.split(":")[1]}`, base }) : "");
  }

  /**
   * @param {HTMLTableRowElement} row
   * @param {string} market
   * @param {import("./data.js").Data} data
   * @param {any} book
   * @param {{price: number | null, bps: number | null, name: string, isOut: boolean, audit: Audit | undefined}} facts
   */
  fill(row, market, data, book, { price, bps, name, isOut, audit }) {
    const minutes = data.recent.get(market);
    const cells = row.children;
    const isReference = market === data.reference;
    const isIn = !data.view.without.includes(market);
    row.classList.toggle("reference", isReference);
    row.classList.toggle("left-out", !isIn);
    const [box, button] = /** @type {HTMLElement[]} */ ([...cells[0].children[0].children]);
    /** @type {HTMLInputElement} */ (box).checked = isIn;
    const spoken = `${name} ${market.split(":")[1]}`;
    setAttribute(box, "aria-label", say("include", { market: spoken }));
    setAttribute(button, "title", say(isReference ? "isReference" : "reference", { market: spoken }));
    setAttribute(button, "aria-current", isReference ? "true" : null);
    setText(cells[1], format.price(price));
    setText(cells[2], isReference ? "0.0" : format.signed(bps, 1));
    cells[2].className = `number ${bps && !isReference ? (bps > 0 ? "up" : "down") : ""}`;
    [5, 60].forEach((window, number) => {
      const share = minutes ? buyShare([minutes], windowStart(window)) : null;
      showShare(cells[3 + number].children[0], share, spokenShare(share), true);
    });
    setText(cells[5].children[0], book?.spread_bps_twa ? format.number(Number(book.spread_bps_twa), 2) : "–");
    const least = book?.depth_10bps_truncated ? "≥ " : "";
    setText(cells[5].children[1], book?.depth_10bps_bid ? `${least}${format.compact(Number(book.depth_10bps_bid))} / ${format.compact(Number(book.depth_10bps_ask))}` : "–");
    const health = healthOf(minutes, isOut);
    const state = cells[6].children[0];
    setAttribute(state, "data-state", health.state);
    setText(state, health.text);
    const share = audit?.audited ? Math.floor((audit.equal / audit.audited) * 1_000) / 10 : null;
    setText(cells[6].children[1], share === null ? "" : say("auditShare", { share: format.number(share, 1) }));
    setAttribute(cells[6].children[1], "title", audit?.audited ? say("auditTitle", audit) : "");
  }
}
