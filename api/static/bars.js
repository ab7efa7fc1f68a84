/** The bars of the chart: totals of all chosen markets, the reference market's prices, the fourth pane. */

import { SECONDS } from "./view.js";

/**
 * @typedef {object} Bar
 * @property {number} time Start, unix seconds.
 * @property {number} span Its length in seconds: longer than the interval where the past is coarser.
 * @property {boolean} missing Nothing is known of it: an outage, or not written yet.
 * @property {boolean | null} complete What the page shows: what the rows say, and no market missing.
 * @property {boolean | null} stated What the rows say.
 * @property {Set<string>} markets Which markets are in the totals.
 * @property {boolean} final
 * @property {number} buy Base units.
 * @property {number} sell
 * @property {number | null} ratio
 * @property {number | null} open Of the reference market, as the other prices.
 * @property {number | null} high
 * @property {number | null} low
 * @property {number | null} close
 * @property {number} base Volume of the reference market.
 * @property {number} quote Notional of the reference market.
 * @property {number | null} vwap
 * @property {number} cvd
 * @property {number | null} premium A fraction.
 * @property {number | null} spread In basis points.
 * @property {number | null} bid Depth.
 * @property {number | null} ask
 */

/** @param {string | null | undefined} text */
export const toNumber = (text) => (text === null || text === undefined ? null : Number(text));

/** @param {string} time */
export const toSeconds = (time) => Date.parse(time) / 1000;

/** @type {Set<string>} */
const NO_MARKETS = new Set();

/** @typedef {{buy: number, sell: number, complete: boolean | null, final: boolean, markets: Set<string>}} Total */

/**
 * Sum rows to totals by their time; rows of sums name their exchanges.
 * @param {any[]} rows
 * @returns {Map<number, Total>}
 */
export function sumRows(rows) {
  /** @type {Map<number, Total>} */
  const totals = new Map();
  for (const row of rows) {
    const time = toSeconds(row.time);
    const total = totals.get(time) ?? { buy: 0, sell: 0, complete: true, final: true, markets: new Set() };
    total.buy += Number(row.taker_buy_volume);
    total.sell += Number(row.taker_sell_volume);
    total.complete = both(total.complete, row.is_complete);
    total.final &&= row.is_final;
    for (const exchange of row.exchanges ?? [row.exchange]) total.markets.add(`${exchange}:${row.symbol}`);
    totals.set(time, total);
  }
  return totals;
}

/** @param {boolean | null} one @param {boolean | null} other */
const both = (one, other) => (one === false || other === false ? false : one === null || other === null ? null : true);

/** @param {number} time @param {number} span @returns {Bar} */
const emptyBar = (time, span) => ({
  time, span, missing: true, complete: null, stated: null, markets: NO_MARKETS, final: false, buy: 0, sell: 0, ratio: null,
  open: null, high: null, low: null, close: null, base: 0, quote: 0, vwap: null, cvd: 0,
  premium: null, spread: null, bid: null, ask: null,
});

/** Bars without a hole in their times, oldest first. */
export class Bars {
  /** @param {string} interval */
  constructor(interval) {
    this.span = SECONDS[interval];
    /** @type {Bar[]} */
    this.list = [];
    /** @type {Map<number, number>} Place of each bar by its time. */
    this.places = new Map();
    /** Time at which the CVD begins with zero. @type {number | null} */
    this.anchor = null;
    /** The CVD of bars that were dropped. */
    this.carried = 0;
    /** Traded on the reference market since the day began, before the first bar. */
    this.before = { day: 0, base: 0, quote: 0 };
  }

  get last() {
    return this.list[this.list.length - 1];
  }

  get first() {
    return this.list[0];
  }

  /** @param {number} time */
  at(time) {
    const place = this.places.get(time);
    return place === undefined ? undefined : this.list[place];
  }

  /**
   * Make bars for `[from, to)`, in front of those there are or behind them.
   * @param {number} from
   * @param {number} to
   * @param {number} [span]
   */
  extend(from, to, span = this.span) {
    const older = [];
    for (let time = from; time < to && (!this.first || time < this.first.time); time += span) {
      older.push(emptyBar(time, span));
    }
    if (older.length) this.list = older.concat(this.list);
    while (this.last && this.last.time + this.last.span < to) {
      this.list.push(emptyBar(this.last.time + this.last.span, this.span));
    }
    this.anchor ??= this.first?.time ?? null;
    if (older.length || this.places.size !== this.list.length) {
      this.places = new Map(this.list.map((bar, place) => [bar.time, place]));
    }
  }

  /**
   * Drop the oldest bars beyond a limit.
   * @param {number} limit
   */
  trim(limit) {
    if (this.list.length <= limit) return;
    const dropped = this.list.splice(0, this.list.length - limit);
    for (const bar of dropped) {
      const day = dayOf(this.list[0].time);
      if (this.before.day !== day) this.before = { day, base: 0, quote: 0 };
      if (dayOf(bar.time) === day) {
        this.before.base += bar.base;
        this.before.quote += bar.quote;
      }
    }
    // Its curve goes on as it was.
    if (this.anchor !== null && this.anchor < this.list[0].time) {
      this.carried = this.carried + dropped.reduce((sum, bar) => sum + bar.buy - bar.sell, 0);
      this.anchor = this.list[0].time;
    }
    this.places = new Map(this.list.map((bar, place) => [bar.time, place]));
  }

  /**
   * Take the totals of one bar.
   * @param {number} time
   * @param {Total} total
   */
  putTotal(time, total) {
    const bar = this.at(time);
    if (!bar) return;
    bar.missing = false;
    bar.buy = total.buy;
    bar.sell = total.sell;
    bar.ratio = bar.buy + bar.sell > 0 ? bar.buy / (bar.buy + bar.sell) : null;
    bar.stated = total.complete;
    bar.final = total.final;
    bar.markets = total.markets;
  }

  /** Mark bars in which a market is missing that has minutes before and behind them. */
  judge() {
    /** @type {Map<string, [first: number, last: number]>} */
    const seen = new Map();
    for (const bar of this.list) {
      for (const market of bar.markets) {
        const range = seen.get(market);
        if (range) range[1] = bar.time;
        else seen.set(market, [bar.time, bar.time]);
      }
    }
    for (const bar of this.list) {
      const isShort = !bar.missing && [...seen].some(([market, [first, last]]) =>
        first < bar.time && bar.time < last && !bar.markets.has(market));
      bar.complete = isShort ? false : bar.stated;
    }
  }

  /**
   * Take a row of the reference market.
   * @param {any} row
   */
  putReference(row) {
    const bar = this.at(toSeconds(row.time));
    if (!bar) return null;
    bar.open = toNumber(row.open);
    bar.high = toNumber(row.high);
    bar.low = toNumber(row.low);
    bar.close = toNumber(row.close);
    bar.base = Number(row.taker_buy_volume) + Number(row.taker_sell_volume);
    bar.quote = Number(row.taker_buy_notional) + Number(row.taker_sell_notional);
    return bar;
  }

  /** Work out what follows from the rows: the CVD, and the VWAP since the day began (UTC). */
  derive() {
    this.judge();
    const start = this.anchor === null ? 0 : Math.max(0, this.places.get(this.anchor) ?? 0);
    let cvd = this.carried;
    for (let place = start; place < this.list.length; place += 1) {
      const bar = this.list[place];
      cvd += bar.buy - bar.sell;
      bar.cvd = cvd;
    }
    cvd = this.carried;
    for (let place = start - 1; place >= 0; place -= 1) {
      this.list[place].cvd = cvd;
      cvd -= this.list[place].buy - this.list[place].sell;
    }
    let { day, base, quote } = this.before;
    for (const bar of this.list) {
      if (bar.span >= SECONDS["4h"]) {
        bar.vwap = bar.base > 0 ? bar.quote / bar.base : null;
        continue;
      }
      if (dayOf(bar.time) !== day) {
        day = dayOf(bar.time);
        base = 0;
        quote = 0;
      }
      base += bar.base;
      quote += bar.quote;
      bar.vwap = base > 0 ? quote / base : null;
    }
  }
}

/** Return when the day of a time began, UTC. @param {number} time */
export const dayOf = (time) => Math.floor(time / 86_400) * 86_400;
