/** The same data as a table: rows as the API answers them, to the last digit. */

import { ask } from "./api.js";
import { byId, make } from "./dom.js";
import * as format from "./format.js";
import { say } from "./text.js";
import { toSeconds } from "./bars.js";

const ROWS = 60;

/** Columns: the heading, and what of a row stands below it. @type {[string, (row: any) => string][]} */
const COLUMNS = [
  ["symbol", (row) => row.symbol],
  ["taker_buy_volume", (row) => row.taker_buy_volume],
  ["taker_sell_volume", (row) => row.taker_sell_volume],
  ["delta", (row) => row.delta],
  ["taker_buy_ratio", (row) => row.taker_buy_ratio ?? "–"],
  ["buy_count", (row) => String(row.buy_count)],
  ["sell_count", (row) => String(row.sell_count)],
  ["vwap", (row) => row.vwap ?? "–"],
  ["notional_usd", (row) => row.notional_usd ?? "–"],
  ["exchanges", (row) => row.exchanges.join(" ")],
];

/** @param {any} row */
function stateOf(row) {
  const whole = row.is_complete === null ? "unknown" : row.is_complete ? "whole" : "incomplete";
  return `${say(row.is_final ? "final" : "open")}, ${say(whole)}`;
}

/** The table below the chart. */
export class Table {
  constructor() {
    this.isOpen = false;
    this.until = 0;
    this.rows = ROWS;
    this.isAsking = false;
  }

  /**
   * Show or hide it.
   * @param {boolean} isOpen
   */
  toggle(isOpen) {
    this.isOpen = isOpen;
    this.rows = ROWS;
    byId("table-section").hidden = !isOpen;
    byId("show-table").setAttribute("aria-expanded", String(isOpen));
  }

  /**
   * Ask for the rows again and show them.
   * @param {import("./data.js").Data} data
   */
  async show(data) {
    if (!this.isOpen || this.isAsking || !data.bars.last) return;
    this.isAsking = true;
    try {
      const to = data.bars.last.time + data.span;
      const from = to - this.rows * data.span;
      const answer = await ask(data.tableAddress(from, to), data.aborter.signal);
      byId("table-csv").setAttribute("href", data.tableAddress(from, to, "csv"));
      this.fill(answer.rows);
    } finally {
      this.isAsking = false;
    }
  }

  /** @param {any[]} rows */
  fill(rows) {
    const [head, body] = byId("minutes").children;
    head.replaceChildren(make("tr", {}, make("th", { scope: "col" }, say("time")),
      ...COLUMNS.map(([name]) => make("th", { scope: "col", class: /symbol|exchanges/.test(name) ? null : "number" }, name)),
      make("th", { scope: "col" }, say("state"))));
    body.replaceChildren(...rows.map((row) => make("tr", { "data-complete": String(row.is_complete) },
      make("th", { scope: "row" }, make("time", { datetime: row.time }, format.dayAndClock(toSeconds(row.time)))),
      ...COLUMNS.map(([name, read]) => make("td", { class: /symbol|exchanges/.test(name) ? null : "number", "data-column": name }, read(row))),
      make("td", {}, stateOf(row)))));
  }
}
