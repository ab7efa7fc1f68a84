/** What the page knows: the last hour of each market, the bars of the chart, and how it stays whole. */

import { address, rows, serverNow } from "./api.js";
import { Bars, dayOf, sumRows, toNumber, toSeconds } from "./bars.js";
import { INTERVALS, SECONDS } from "./view.js";

/** @typedef {import("./view.js").View} View */

const VOLUME = "/v1/taker-volume";
const RECENT_S = 61 * 60;
const OVERLAP_S = 5 * 60;
const FIRST_BARS = 480;
const OLDER_BARS = 240;
const MAX_FINE_BARS = 1_000;
const MAX_BARS = 1_500;
const MAX_ROWS = 10_000;

/** @param {any} row */
export const marketOf = (row) => `${row.exchange}:${row.symbol}`;

/** @param {string} market A coin or a symbol. */
export const asked = (market) => (market.includes("-") ? { symbol: market } : { base: market });

/** What the page knows of one view. */
export class Data {
  /**
   * @param {View} view
   * @param {(error: unknown) => void} onSideFailure Told when what the fourth pane shows cannot be had.
   */
  constructor(view, onSideFailure) {
    this.view = view;
    this.onSideFailure = onSideFailure;
    this.span = SECONDS[view.interval];
    this.bars = new Bars(view.interval);
    /** The last hour, minute by minute. @type {Map<string, Map<number, any>>} */
    this.recent = new Map();
    /** What each exchange's takers bought more than they sold, by the bar's time. @type {Map<string, Map<number, number>>} */
    this.deltas = new Map();
    this.reference = view.reference;
    this.aborter = new AbortController();
    this.isLoaded = false;
    /** Bars end in the past and do not follow what happens. */
    this.isPast = false;
    /** Nothing was there when it was asked for: it is asked for until something is. */
    this.isEmpty = false;
    this.isEnd = false;
    this.loadingOlder = false;
    this.wholeSince = 0;
    /** The first bar that changed since it was drawn. @type {number | null} */
    this.changed = null;
    this.structure = 0;
    this.stale = new Set();
  }

  stop() {
    this.aborter.abort();
  }

  /**
   * @param {string} path
   * @param {Record<string, string | number | boolean | string[] | null | undefined>} parameters
   */
  ask(path, parameters) {
    return rows(path, { limit: MAX_ROWS, ...parameters }, this.aborter.signal);
  }

  /** Load what the view needs. @param {number | null} newest Newest minute that there is of it, if known. */
  async load(newest) {
    const now = serverNow();
    const { span, view } = this;
    let end = now;
    const wanted = Math.min(Math.max(FIRST_BARS, (view.bars ?? 0) + OLDER_BARS), MAX_FINE_BARS);
    if (view.until && now - view.until > (MAX_FINE_BARS - wanted) * span) {
      end = view.until + OLDER_BARS * span;
      this.isPast = true;
    } else if (newest && now - newest > (wanted / 2) * span) {
      end = newest + 10 * span;
    }
    const to = Math.min(Math.floor(now / span) * span + span, Math.ceil(end / span) * span);
    const back = view.until && !this.isPast ? Math.max(0, now - view.until) : 0;
    // Whole hours, so that what was traded earlier in the day can be asked in hours.
    const from = Math.floor((to - back - wanted * span) / 3_600) * 3_600;
    const [, totals] = await Promise.all([this.loadRecent(RECENT_S), this.askTotals(from, to, view.interval)]);
    if (!view.reference) this.reference = this.largest() || this.reference;
    this.isEmpty = !totals.size;
    if (totals.size) this.bars = new Bars(view.interval);
    const first = totals.size ? Math.min(...totals.keys()) : to;
    this.bars.extend(Math.max(from, first), to);
    for (const [time, total] of totals) this.bars.putTotal(time, total);
    // What is drawn while the rest is asked for is right as far as it goes.
    this.bars.derive();
    await Promise.all([this.askReference(from, to), this.askFourth(from, to), this.askBefore()]);
    this.bars.derive();
    this.isLoaded = true;
    this.wholeSince = now;
    this.structure += 1;
  }

  /** @param {number} seconds */
  async loadRecent(seconds) {
    const from = Math.floor((serverNow() - seconds) / 60) * 60;
    for (const row of await this.ask(VOLUME, { ...asked(this.view.market), exchange: "all_exchange", interval: "1m", from, to: Math.ceil(serverNow()) + 60 })) {
      this.keep(row);
    }
    this.forget();
  }

  /** @param {any} row */
  keep(row) {
    const market = marketOf(row);
    let minutes = this.recent.get(market);
    if (!minutes) this.recent.set(market, (minutes = new Map()));
    minutes.set(toSeconds(row.time), row);
  }

  forget() {
    const oldest = serverNow() - RECENT_S - 60;
    for (const [market, minutes] of this.recent) {
      for (const time of minutes.keys()) if (time < oldest) minutes.delete(time);
      if (!minutes.size) this.recent.delete(market);
    }
  }

  /** Return the market with the most traded dollars in the last hour. */
  largest() {
    let most = -1;
    let largest = "";
    for (const [market, minutes] of this.recent) {
      let dollars = 0;
      for (const row of minutes.values()) dollars += Number(row.notional_usd ?? 0);
      if (dollars > most) [most, largest] = [dollars, market];
    }
    return largest;
  }

  /** Show the first minute that there has ever been; what else there is will be loaded. @param {number} time */
  begin(time) {
    this.reference ||= this.largest();
    this.bars.extend(Math.floor(time / this.span) * this.span, time + 1);
    this.structure += 1;
  }

  /** Totals have to be made here when some markets are left out, or each exchange is drawn. */
  get isEach() {
    return this.view.cvd === "exchange" || this.view.without.length > 0;
  }

  /** @param {number} from @param {number} to @param {string} interval */
  async askTotals(from, to, interval) {
    const question = { ...asked(this.view.market), exchange: "all_exchange", interval, from, to, sort: "asc" };
    if (!this.isEach) return sumRows(await this.ask(VOLUME, { ...question, aggregate: true }));
    const all = (await this.ask(VOLUME, question)).filter((row) => !this.view.without.includes(marketOf(row)));
    for (const row of all) this.keepDelta(row);
    return sumRows(all);
  }

  /** @param {any} row */
  keepDelta(row) {
    const market = marketOf(row);
    let deltas = this.deltas.get(market);
    if (!deltas) this.deltas.set(market, (deltas = new Map()));
    deltas.set(toSeconds(row.time), Number(row.taker_buy_volume) - Number(row.taker_sell_volume));
  }

  /** @param {number} from @param {number} to @param {string} [interval] */
  async askReference(from, to, interval = this.view.interval) {
    if (!this.reference) return;
    const [exchange, symbol] = this.reference.split(":");
    for (const row of await this.ask(VOLUME, { exchange, symbol, interval, from, to, sort: "asc" })) this.bars.putReference(row);
  }

  /** Ask what the reference market traded between midnight and the first bar. */
  async askBefore() {
    const first = this.bars.first?.time ?? 0;
    const day = dayOf(first);
    this.bars.before = { day, base: 0, quote: 0 };
    if (!this.reference || first <= day || this.span >= SECONDS["4h"]) return;
    const [exchange, symbol] = this.reference.split(":");
    const interval = first % 3_600 === 0 ? "1h" : "1m";
    for (const row of await this.ask(VOLUME, { exchange, symbol, interval, from: day, to: first })) {
      this.bars.before.base += Number(row.taker_buy_volume) + Number(row.taker_sell_volume);
      this.bars.before.quote += Number(row.taker_buy_notional) + Number(row.taker_sell_notional);
    }
  }

  /** Three panes are better than none. @param {number} from @param {number} to @param {string} [interval] */
  askFourth(from, to, interval = this.view.interval) {
    return this.askFourthRows(from, to, interval).catch(this.onSideFailure);
  }

  /** @param {number} from @param {number} to @param {string} interval */
  async askFourthRows(from, to, interval) {
    if (this.view.fourth === "premium") {
      const base = this.view.market.split("-")[0];
      for (const row of await this.ask("/v1/premium", { base, interval, from, to, sort: "asc" })) {
        const bar = this.bars.at(toSeconds(row.time));
        if (bar) bar.premium = toNumber(row.premium);
      }
      return;
    }
    if (!this.reference) return;
    const [exchange, symbol] = this.reference.split(":");
    for (const row of await this.ask("/v1/orderbook", { exchange, symbol, interval, from, to, sort: "asc" })) {
      const bar = this.bars.at(toSeconds(row.time));
      if (!bar) continue;
      bar.spread = toNumber(row.spread_bps_twa);
      bar.bid = toNumber(row.depth_10bps_bid);
      bar.ask = toNumber(row.depth_10bps_ask);
    }
  }

  /** Load the bars before those there are: coarser ones where the past is far. @returns {Promise<boolean>} */
  async older() {
    if (!this.isLoaded || this.loadingOlder || this.isEnd || this.bars.list.length >= MAX_BARS) return false;
    this.loadingOlder = true;
    try {
      const { bars } = this;
      const fine = bars.list.length < MAX_FINE_BARS;
      const interval = fine ? this.view.interval : (INTERVALS.find((each) => SECONDS[each] > this.span && SECONDS[each] >= 5 * this.span) ?? this.view.interval);
      const span = SECONDS[interval];
      // Coarse bars begin at their own times: the fine ones between are loaded first.
      const edge = Math.floor(bars.first.time / span) * span;
      if (edge < bars.first.time) await this.fill(edge, bars.first.time, this.view.interval);
      const count = Math.min(OLDER_BARS, MAX_BARS - bars.list.length);
      const found = await this.fill(edge - count * span, edge, interval);
      this.isEnd = !found;
      bars.derive();
      this.structure += 1;
      return true;
    } finally {
      this.loadingOlder = false;
    }
  }

  /** @param {number} from @param {number} to @param {string} interval */
  async fill(from, to, interval) {
    const totals = await this.askTotals(from, to, interval);
    if (!totals.size) return 0;
    this.bars.extend(Math.max(from, Math.min(...totals.keys())), to, SECONDS[interval]);
    for (const [time, total] of totals) this.bars.putTotal(time, total);
    await Promise.all([this.askReference(from, to, interval), this.askFourth(from, to, interval)]);
    await this.askBefore();
    return totals.size;
  }

  /** Ask for all that may have been missed, however long ago it was whole. @param {number | null} newest As for `load`. */
  async catchUp(newest) {
    const now = serverNow();
    const away = now - this.wholeSince;
    await this.loadRecent(away < 60 ? OVERLAP_S : RECENT_S);
    if (this.isPast) return;
    const { bars, span } = this;
    const to = Math.floor(now / span) * span + span;
    if (this.isEmpty || !bars.first || to - bars.last.time > MAX_FINE_BARS * span) {
      // Nothing was there, or so long ago that a new beginning is less.
      this.deltas.clear();
      await this.load(newest);
      return;
    }
    // Late trades revise minutes for an hour.
    const reach = away < 60 ? OVERLAP_S : Math.max(RECENT_S, away + OVERLAP_S);
    const from = Math.max(bars.list.find((bar) => bar.span === span)?.time ?? 0, Math.floor((now - Math.max(reach, 2 * span)) / span) * span);
    await this.refetch(from, to);
    this.structure += 1;
    this.wholeSince = now;
  }

  /** @param {number} from @param {number} to */
  async refetch(from, to) {
    const totals = await this.askTotals(from, to, this.view.interval);
    this.bars.extend(this.bars.first.time, to);
    for (const [time, total] of totals) this.bars.putTotal(time, total);
    await Promise.all([this.askReference(from, to), this.askFourth(from, to)]);
    this.touch(from);
  }

  /** Refetch the newest bars of what the stream does not carry. */
  async refresh() {
    if (!this.isLoaded || this.isPast || this.isEmpty || !this.bars.first) return;
    const { span } = this;
    const to = Math.floor(serverNow() / span) * span + span;
    const from = Math.max(this.bars.first.time, to - 3 * span);
    if (this.view.interval === "1m") {
      await this.askFourth(from, to);
      this.touch(from);
    } else {
      await this.refetch(from, to);
    }
  }

  /** @param {number} time */
  touch(time) {
    const place = this.bars.places.get(time) ?? 0;
    this.changed = this.changed === null ? place : Math.min(this.changed, place);
  }

  /** Take a row of the stream. @param {any} row */
  take(row) {
    this.keep(row);
    if (this.isEmpty && this.isLoaded && !this.bars.first) this.begin(toSeconds(row.time));
    if (this.view.interval !== "1m" || this.isPast || !this.isLoaded) return;
    const time = toSeconds(row.time);
    const isNew = !this.bars.last || time > this.bars.last.time;
    if (isNew) this.bars.extend(this.bars.first.time, time + 60);
    if (time < serverNow() - RECENT_S + 60) {
      // Not all markets of that minute are at hand: the API knows the sum.
      this.stale.add(time);
      return;
    }
    const all = [];
    for (const [market, minutes] of this.recent) {
      const each = minutes.get(time);
      if (each && !this.view.without.includes(market)) all.push(each);
    }
    for (const [at, total] of sumRows(all)) this.bars.putTotal(at, total);
    if (!this.view.without.includes(marketOf(row)) && this.view.cvd === "exchange") this.keepDelta(row);
    if (marketOf(row) === this.reference) this.bars.putReference(row);
    this.touch(time);
  }

  /** Refetch old minutes that were revised. */
  async mend() {
    const times = [...this.stale].filter((time) => this.bars.places.has(time));
    this.stale.clear();
    if (times.length) await this.refetch(Math.min(...times), Math.max(...times) + 60);
  }

  /** Return the CVD of each exchange, aligned with the bars; null where it has no minutes. @param {(exchange: string) => string} nameOf */
  curves(nameOf) {
    /** @type {Map<string, (number | null)[]>} */
    const curves = new Map();
    /** @type {Map<string, Map<number, number>>} */
    const exchanges = new Map();
    for (const [market, deltas] of this.deltas) {
      const name = nameOf(market.split(":")[0]);
      const sums = exchanges.get(name) ?? new Map();
      for (const [time, delta] of deltas) sums.set(time, (sums.get(time) ?? 0) + delta);
      exchanges.set(name, sums);
    }
    const { list, anchor, places } = this.bars;
    const start = Math.max(0, places.get(anchor ?? 0) ?? 0);
    for (const [name, sums] of [...exchanges].toSorted()) {
      /** @type {(number | null)[]} */
      const values = list.map((bar) => (sums.has(bar.time) ? 0 : null));
      for (let place = start, cvd = 0; place < list.length; place += 1) {
        cvd += sums.get(list[place].time) ?? 0;
        if (values[place] !== null) values[place] = cvd;
      }
      for (let place = start - 1, cvd = 0; place >= 0; place -= 1) {
        if (values[place] !== null) values[place] = cvd;
        cvd -= sums.get(list[place].time) ?? 0;
      }
      curves.set(name, values);
    }
    return curves;
  }

  /** Return when the newest minute of any market begins; null: there is none. */
  get newest() {
    let newest = null;
    for (const minutes of this.recent.values()) for (const time of minutes.keys()) newest = Math.max(newest ?? 0, time);
    return newest ?? this.bars.list.findLast((bar) => !bar.missing)?.time ?? null;
  }

  /** Return the address of the rows that the chart's totals are made of. @param {number} from @param {number} to @param {string} format */
  tableAddress(from, to, format = "json") {
    return address(VOLUME, {
      ...asked(this.view.market), exchange: "all_exchange", interval: this.view.interval, aggregate: true,
      from, to, sort: "desc", limit: MAX_ROWS, format: format === "json" ? null : format,
    });
  }
}
