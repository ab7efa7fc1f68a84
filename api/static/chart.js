/** The chart: four panes of one time axis, drawn by lightweight-charts, with what it leaves out. */

import { serverNow } from "./api.js";
import { byId, make, setText } from "./dom.js";
import * as format from "./format.js";
import { say } from "./text.js";

/** @typedef {import("./bars.js").Bar} Bar */
/** @typedef {import("./view.js").View} View */

// The library is one classic script without types; it leaves this global.
const library = /** @type {any} */ (globalThis).LightweightCharts;

const PRICE = 0;
const VOLUME = 1;
const CVD = 2;
const FOURTH = 3;
const LEVEL = { price: 0, lineWidth: 1, lineStyle: 2, axisLabelVisible: false };
const HEIGHTS = [4, 2.4, 1.8, 1.5];
/** A minute that is later than this after its end is missed. */
const DUE_S = 90;
const FEW_BARS = 40;
const RIGHT_OFFSET = 4;
const CLEAR = "transparent";
/** Lines of the exchanges, told apart by their labels as well. */
const LINES = ["#5aabff", "#f5a04c", "#4bc98f", "#d9a8ff", "#f2c14e", "#5cd3d0", "#ff8fb1", "#b0c76a", "#9db0c3", "#e08a6d"];
const LINES_LIGHT = ["#0b57d0", "#9c4a00", "#08704c", "#8438c4", "#7a5200", "#00707a", "#b3246b", "#55701a", "#4d5c6c", "#9a4a2e"];

/** Return the colours of the theme as the browser worked them out. */
function readColours() {
  const probe = make("i");
  document.body.append(probe);
  /** @param {string} name */
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["ground", "card", "line", "edge", "text", "quiet", "buy", "sell", "buy-bar", "sell-bar", "vwap", "ratio", "cvd", "fourth", "hatch", "gap"];
  const colours = Object.fromEntries(names.map((name) => [name, read(name)]));
  probe.remove();
  return colours;
}

/** Draws behind a pane: hatching where minutes are incomplete, a tint where there are none. */
class Backdrop {
  /** @param {Chart} chart */
  constructor(chart) {
    this.chart = chart;
    this.view = { zOrder: () => "bottom", renderer: () => ({ draw: this.draw.bind(this) }) };
  }

  /** @param {{requestUpdate: () => void}} attached */
  attached(attached) {
    this.requestUpdate = attached.requestUpdate;
  }

  paneViews() {
    return [this.view];
  }

  /** @param {any} target */
  draw(target) {
    target.useBitmapCoordinateSpace((/** @type {any} */ scope) => {
      const { context, bitmapSize, horizontalPixelRatio: ratio } = scope;
      for (const [from, to, missing] of this.chart.marked()) {
        const left = Math.round(from * ratio);
        const width = Math.max(1, Math.round(to * ratio) - left);
        context.save();
        context.beginPath();
        context.rect(left, 0, width, bitmapSize.height);
        context.clip();
        if (missing) {
          context.fillStyle = this.chart.colours.gap;
          context.fillRect(left, 0, width, bitmapSize.height);
        } else {
          hatch(context, left, width, bitmapSize.height, ratio, this.chart.colours.hatch);
        }
        context.restore();
      }
    });
  }
}

/**
 * Draw slanted lines over a rectangle.
 * @param {CanvasRenderingContext2D} context
 * @param {number} left @param {number} width @param {number} height @param {number} ratio @param {string} colour
 */
function hatch(context, left, width, height, ratio, colour) {
  const step = 7 * ratio;
  context.globalAlpha = 0.45;
  context.strokeStyle = colour;
  context.lineWidth = ratio;
  context.beginPath();
  // Anchored to the pane, so that neighbouring bars continue each other's lines.
  for (let x = Math.floor((left - height) / step) * step; x < left + width; x += step) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
}

/** The chart and what lies over it. */
export class Chart {
  /**
   * @param {object} handlers
   * @param {() => void} handlers.onOlder Called when the left edge comes near.
   * @param {(until: number | null, bars: number) => void} handlers.onMove Called when the visible part changed.
   */
  constructor(handlers) {
    this.handlers = handlers;
    /** @type {Bar[]} */
    this.bars = [];
    this.colours = readColours();
    /** @type {View | null} */
    this.view = null;
    this.names = { market: "", reference: "", base: "" };
    /** @type {number | null} */
    this.chosenTime = null;
    /** @type {Map<string, any>} */
    this.lines = new Map();
    /** Which points of each series were drawn as blanks. @type {Map<string, boolean[]>} */
    this.drawn = new Map();
    this.chart = library.createChart(byId("canvas"), { ...this.options(), autoSize: true });
    this.makeSeries();
    this.legends = HEIGHTS.map(() => make("div"));
    byId("legends").append(...this.legends);
    this.backdrops = this.chart.panes().map((/** @type {any} */ pane) => {
      const backdrop = new Backdrop(this);
      pane.attachPrimitive(backdrop);
      return backdrop;
    });
    this.chart.subscribeCrosshairMove((/** @type {any} */ move) => this.onCrosshair(move));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((/** @type {any} */ range) => this.onRange(range));
    const observer = new ResizeObserver(() => this.placeLegends());
    observer.observe(byId("canvas"));
    byId("canvas").addEventListener("pointermove", () => this.placeLegends());
    byId("canvas").addEventListener("pointerleave", () => this.leave());
  }

  options() {
    const { colours } = this;
    return {
      layout: {
        attributionLogo: false, background: { color: colours.card }, textColor: colours.quiet, fontSize: 11,
        fontFamily: getComputedStyle(document.body).fontFamily,
        panes: { separatorColor: colours.line, separatorHoverColor: colours.edge },
      },
      grid: { vertLines: { color: colours.line, style: 1 }, horzLines: { color: colours.line, style: 1 } },
      crosshair: { mode: 0, vertLine: { color: colours.quiet, labelBackgroundColor: colours.quiet }, horzLine: { color: colours.quiet, labelBackgroundColor: colours.quiet } },
      rightPriceScale: { borderColor: colours.line, minimumWidth: 74 },
      timeScale: { borderColor: colours.line, timeVisible: true, secondsVisible: false, rightOffset: RIGHT_OFFSET, minBarSpacing: 0.6, fixLeftEdge: true, tickMarkFormatter: format.tick },
      localization: { timeFormatter: format.dayAndClock },
    };
  }

  makeSeries() {
    const { LineSeries, HistogramSeries, CandlestickSeries } = library;
    const { chart } = this;
    const quiet = { priceLineVisible: false, crosshairMarkerVisible: false };
    this.price = chart.addSeries(CandlestickSeries, { priceFormat: custom(format.price) }, PRICE);
    this.vwap = chart.addSeries(LineSeries, {
      ...quiet, lineWidth: 2, lastValueVisible: false, priceFormat: custom(format.price),
      // A price that has left the day's mean behind must not be squeezed to show both.
      autoscaleInfoProvider: () => null,
    }, PRICE);
    const volume = custom((value) => format.compact(Math.abs(value)));
    this.buy = chart.addSeries(HistogramSeries, { ...quiet, priceFormat: volume, lastValueVisible: false }, VOLUME);
    this.sell = chart.addSeries(HistogramSeries, { ...quiet, priceFormat: volume, lastValueVisible: false }, VOLUME);
    this.ratio = chart.addSeries(LineSeries, {
      ...quiet, priceScaleId: "ratio", lineWidth: 1, lastValueVisible: false,
      priceFormat: custom((value) => `${Math.round(value * 100)}%`),
      autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }),
    }, VOLUME);
    this.ratio.priceScale().applyOptions({ scaleMargins: { top: 0.04, bottom: 0.04 } });
    this.half = this.ratio.createPriceLine({ ...LEVEL, price: 0.5 });
    this.cvd = chart.addSeries(LineSeries, { ...quiet, lineWidth: 2, priceFormat: custom(format.signedCompact) }, CVD);
    this.zero = this.cvd.createPriceLine(LEVEL);
    this.cvd.priceScale().applyOptions({ scaleMargins: { top: 0.2, bottom: 0.06 } });
    this.makeFourth("premium");
    HEIGHTS.forEach((height, pane) => chart.panes()[pane].setStretchFactor(height));
    this.paint();
  }

  /**
   * Fill the fourth pane. An axis is written as its first series is: one of each kind at a time.
   * @param {View["fourth"]} kind
   */
  makeFourth(kind) {
    if (this.fourth === kind) return;
    const { LineSeries, HistogramSeries } = library;
    const { chart } = this;
    /** @type {View["fourth"] | undefined} */
    this.fourth = kind;
    chart.panes()[FOURTH]?.setPreserveEmptyPane(true);
    for (const name of ["premium", "spread", "bid", "ask"]) {
      if (this.series(name)) chart.removeSeries(this.series(name));
      /** @type {any} */ (this)[name] = null;
    }
    const quiet = { priceLineVisible: false, crosshairMarkerVisible: false };
    if (kind === "premium") {
      this.premium = chart.addSeries(LineSeries, { ...quiet, lineWidth: 2, priceFormat: custom((value) => format.signed(value * 100, 2, "%")) }, FOURTH);
      this.premium.createPriceLine({ ...LEVEL, color: this.colours.edge });
    } else if (kind === "spread") {
      this.spread = chart.addSeries(LineSeries, { ...quiet, lineWidth: 2, priceFormat: custom((value) => format.number(value, 2)) }, FOURTH);
    } else {
      const volume = custom((value) => format.compact(Math.abs(value)));
      this.bid = chart.addSeries(HistogramSeries, { ...quiet, priceFormat: volume }, FOURTH);
      this.ask = chart.addSeries(HistogramSeries, { ...quiet, priceFormat: volume }, FOURTH);
    }
    const first = this.premium ?? this.spread ?? this.bid;
    first.priceScale().applyOptions({ scaleMargins: { top: 0.22, bottom: 0.06 } });
    for (const series of [this.premium, this.spread]) series?.applyOptions({ color: this.colours.fourth });
  }

  /** Take the colours of the theme and palette. */
  paint() {
    this.colours = readColours();
    const { colours } = this;
    const [buy, sell] = [colours["buy-bar"], colours["sell-bar"]];
    this.chart.applyOptions(this.options());
    this.price.applyOptions({ upColor: buy, downColor: sell, wickUpColor: buy, wickDownColor: sell, borderVisible: false });
    this.vwap.applyOptions({ color: colours.vwap });
    this.ratio.applyOptions({ color: colours.ratio });
    this.cvd.applyOptions({ color: colours.cvd });
    for (const series of [this.premium, this.spread]) series?.applyOptions({ color: colours.fourth });
    for (const level of [this.zero, this.half]) level.applyOptions({ color: colours.edge });
    let number = 0;
    for (const [exchange, series] of this.lines) series.applyOptions({ color: this.lineColour(number++), title: exchange });
    if (this.bars.length) this.show(this.bars);
  }

  /** @param {number} number */
  lineColour(number) {
    const isLight = getComputedStyle(document.documentElement).colorScheme === "light"
      || (document.documentElement.dataset.theme === "system" && matchMedia("(prefers-color-scheme: light)").matches);
    return (isLight ? LINES_LIGHT : LINES)[number % LINES.length];
  }

  /**
   * Show another view: which series there are, and how they are named.
   * @param {View} view
   * @param {{market: string, reference: string, base: string}} names
   */
  setView(view, names) {
    this.view = view;
    this.names = names;
    this.cvd.applyOptions({ visible: view.cvd === "total" });
    this.makeFourth(view.fourth);
    this.write();
  }

  /**
   * Draw all bars anew.
   * @param {Bar[]} bars
   */
  show(bars) {
    this.bars = bars;
    this.drawnFrom = bars[0]?.time;
    for (const [series, point] of this.points()) this.draw(series, bars.map((bar, place) => point(bar, bars[place + 1])));
    this.refresh();
  }

  /**
   * Draw all points of a series.
   * @param {string} series
   * @param {any[]} points
   */
  draw(series, points) {
    this.series(series).setData(points);
    this.drawn.set(series, points.map(isBlank));
  }

  /**
   * Draw what changed from a place on.
   * @param {Bar[]} bars
   * @param {number} from
   */
  update(bars, from) {
    if (bars[0].time !== this.drawnFrom) {
      // Older bars came in front meanwhile: every place is another one.
      this.show(bars);
      return;
    }
    this.bars = bars;
    for (const [series, point] of this.points()) {
      const drawn = this.drawn.get(series) ?? [];
      // The last point before a gap changes with what comes behind the gap.
      let start = Math.max(0, from - 1);
      while (start > 0 && drawn[start]) start -= 1;
      const changed = bars.slice(start).map((bar, number) => point(bar, bars[start + number + 1]));
      // The library does not let a point appear or vanish in the midst of the others.
      if (changed.some((each, number) => start + number < drawn.length - 1 && drawn[start + number] !== isBlank(each))) {
        this.draw(series, bars.map((bar, place) => point(bar, bars[place + 1])));
        continue;
      }
      const target = this.series(series);
      changed.forEach((each, number) => {
        // Older points may change as well: a late trade, or the gap behind them.
        target.update(each, start + number < drawn.length - 1);
        drawn[start + number] = isBlank(each);
      });
      this.drawn.set(series, drawn);
    }
    this.refresh();
  }

  refresh() {
    for (const backdrop of this.backdrops) backdrop.requestUpdate?.();
    this.write();
  }

  /** @param {string} name */
  series(name) {
    return /** @type {any} */ (this)[name];
  }

  /**
   * Return the visible series with what makes their points.
   * @returns {[string, Point][]}
   */
  points() {
    const [buy, sell] = [this.colours["buy-bar"], this.colours["sell-bar"]];
    /** @type {(field: "buy" | "sell" | "bid" | "ask", sign: number, colour: string) => (bar: Bar) => any} */
    const column = (field, sign, colour) => (bar) => {
      const value = bar[field];
      if (value === null || (bar.missing && (field === "buy" || field === "sell"))) return { time: bar.time };
      // The bars of a coarser past are drawn as their mean, or they would tower over the rest.
      const share = field === "buy" || field === "sell" ? this.span / bar.span : 1;
      return { time: bar.time, value: sign * value * share, color: bar.final || field === "bid" || field === "ask" ? colour : faded(colour) };
    };
    /** @type {[string, Point][]} */
    const all = [["price", candle], ["vwap", line("vwap", this.bars)], ["buy", column("buy", 1, buy)], ["sell", column("sell", -1, sell)], ["ratio", line("ratio", this.bars)]];
    if (this.view?.cvd === "total") all.push(["cvd", line("cvd", this.bars)]);
    if (this.view?.fourth === "depth") all.push(["bid", column("bid", 1, buy)], ["ask", column("ask", -1, sell)]);
    else all.push([this.view?.fourth ?? "premium", line(this.view?.fourth === "spread" ? "spread" : "premium", this.bars)]);
    return all;
  }

  get span() {
    return this.bars[this.bars.length - 1]?.span ?? 60;
  }

  /**
   * Draw the CVD of each exchange.
   * @param {Map<string, (number | null)[]>} curves By the exchange's name, aligned with the bars.
   */
  showCurves(curves) {
    for (const [exchange, series] of this.lines) {
      if (!curves.has(exchange)) {
        this.chart.removeSeries(series);
        this.lines.delete(exchange);
      }
    }
    for (const [exchange, values] of curves) {
      let series = this.lines.get(exchange);
      if (!series) {
        series = this.chart.addSeries(library.LineSeries, {
          color: this.lineColour(this.lines.size), lineWidth: 2, title: exchange, priceLineVisible: false,
          crosshairMarkerVisible: false, priceFormat: custom(format.signedCompact),
        }, CVD);
        this.lines.set(exchange, series);
      }
      series.setData(this.bars.map((bar, place) => {
        const value = values[place];
        if (value === null || value === undefined) return { time: bar.time };
        return values[place + 1] === null ? { time: bar.time, value, color: CLEAR } : { time: bar.time, value };
      }));
    }
    /** @type {Map<string, (number | null)[]>} */
    this.curves = curves;
    this.write();
  }

  /** Return the runs of incomplete and of missing bars that are visible, as pixels. */
  marked() {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    /** @type {[from: number, to: number, missing: boolean][]} */
    const runs = [];
    if (!range) return runs;
    const width = scale.options().barSpacing;
    const now = serverNow();
    const first = Math.max(0, Math.floor(range.from));
    const last = Math.min(this.bars.length - 1, Math.ceil(range.to));
    for (let place = first; place <= last; place += 1) {
      const bar = this.bars[place];
      if (bar.missing ? bar.time + bar.span > now - DUE_S : bar.complete !== false) continue;
      const middle = scale.logicalToCoordinate(place);
      const run = runs[runs.length - 1];
      const [from, to] = [middle - width / 2, middle + width / 2];
      if (run && run[2] === bar.missing && Math.abs(run[1] - from) < 1) run[1] = to;
      else runs.push([from, to, bar.missing]);
    }
    return runs;
  }

  /** @param {any} move */
  onCrosshair(move) {
    // Told of each drawing as well: only a hand chooses here.
    if (!move.sourceEvent || move.logical === undefined || move.logical === null) return;
    this.chosenTime = this.bars[Math.round(move.logical)]?.time ?? null;
    this.write();
  }

  /** The place of the bar that is chosen, by mouse or key. @returns {number | null} */
  get chosen() {
    const place = this.chosenTime === null ? -1 : this.bars.findIndex((bar) => bar.time === this.chosenTime);
    return place < 0 ? null : place;
  }

  /** @param {{from: number, to: number} | null} range */
  onRange(range) {
    if (!range || !this.bars.length) return;
    if (range.from < 30) this.handlers.onOlder();
    const isNow = range.to >= this.bars.length - 1.5;
    const edge = this.bars[Math.max(0, Math.min(this.bars.length - 1, Math.round(range.to)))];
    this.handlers.onMove(isNow ? null : edge.time + edge.span, Math.round(range.to - range.from));
  }

  /** Show so many bars, the last of which ends at a time; null: the newest ones. @param {number | null} until @param {number} bars */
  look(until, bars) {
    const scale = this.chart.timeScale();
    if (until === null) {
      scale.setVisibleLogicalRange({ from: this.bars.length - bars + 3, to: this.bars.length + 3 });
      return;
    }
    const place = this.bars.findIndex((bar) => bar.time + bar.span >= until);
    if (place >= 0) scale.setVisibleLogicalRange({ from: place - bars, to: place });
  }

  /** Show the newest bars, and few of them wide enough to be seen. @param {number} bars How many there are. */
  widen(bars) {
    // A view of few bars leaves much room at their right, which the next view would keep.
    this.chart.timeScale().applyOptions({ barSpacing: bars < FEW_BARS ? 18 : 6, rightOffset: RIGHT_OFFSET });
  }

  get visibleBars() {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    return range ? Math.round(range.to - range.from) : 120;
  }

  /** Go on to the newest bar. */
  toNow() {
    this.chart.timeScale().scrollToRealTime();
  }

  /** @param {number} factor */
  zoom(factor) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range) return;
    const width = Math.max(10, (range.to - range.from) * factor);
    scale.setVisibleLogicalRange({ from: range.to - width, to: range.to });
  }

  /** @param {number} bars */
  scroll(bars) {
    const scale = this.chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  /**
   * Choose a bar as the mouse does, and scroll to it.
   * @param {number} place
   */
  choose(place) {
    const bar = this.bars[place];
    if (!bar) return;
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range && (place < range.from + 1 || place > range.to - 1)) {
      const width = range.to - range.from;
      const from = place < range.from + 1 ? place - 2 : place - width + 2;
      scale.setVisibleLogicalRange({ from, to: from + width });
    }
    // A bar without a price has no crosshair, but it can be read.
    this.chosenTime = bar.time;
    this.write();
    const price = bar.close ?? this.bars.find((each) => each.close !== null)?.close ?? 0;
    if (!this.point(price, bar.time)) {
      // The library scrolls with its next frame: only then there may be prices to point at.
      requestAnimationFrame(() => { if (this.chosenTime === bar.time) this.point(price, bar.time); });
    }
  }

  /** Put the crosshair on a price, if any is visible: without one the library throws. @param {number} price @param {number} time */
  point(price, time) {
    if (this.price.priceToCoordinate(price) === null) return false;
    this.chart.setCrosshairPosition(price, time, this.price);
    return true;
  }

  /** Leave the bar. */
  leave() {
    this.chart.clearCrosshairPosition();
    this.chosenTime = null;
    this.write();
  }

  /** The bar that is read: under the crosshair, else the newest with data. @returns {Bar | undefined} */
  get current() {
    if (this.chosen !== null) return this.bars[this.chosen];
    return this.bars.findLast((bar) => !bar.missing) ?? this.bars[this.bars.length - 1];
  }

  /** Write the line above the chart and the legends for the bar that is read. */
  write() {
    const bar = this.current;
    if (!bar || !this.view) return;
    byId("info").replaceChildren(...infoLine(bar, this.span));
    const first = /** @type {any} */ (this).anchor ?? this.bars[0].time;
    const { colours } = this;
    this.legends[PRICE].replaceChildren(
      item(this.names.reference, format.price(bar.close)),
      item(say(bar.span >= 14_400 ? "vwapBar" : "vwapDay"), format.price(bar.missing ? null : bar.vwap), colours.vwap),
    );
    this.legends[VOLUME].replaceChildren(
      item(say("buy"), `${format.compact(bar.missing ? null : bar.buy)} ${this.names.base}`, colours.buy),
      item(say("sell"), `${format.compact(bar.missing ? null : bar.sell)} ${this.names.base}`, colours.sell),
      item(say("buyShare"), bar.ratio === null ? "–" : `${(bar.ratio * 100).toFixed(1)}%`, colours.ratio),
    );
    const place = this.bars.indexOf(bar);
    this.legends[CVD].replaceChildren(
      make("span", {}, say("cvdSince", { time: format.dayAndClock(first) })),
      ...(this.view.cvd === "total" ? [item("", format.signedCompact(bar.missing ? null : bar.cvd), colours.cvd)]
        // Without a bar that is read the labels at the right edge say the same.
        : [...(this.chosen === null ? [] : (this.curves ?? []))].map(([name, values], number) => item(name, format.signedCompact(values[place]), this.lineColour(number)))),
    );
    this.legends[FOURTH].replaceChildren(...this.fourthLegend(bar));
    this.placeLegends();
  }

  /** @param {Bar} read */
  fourthLegend(read) {
    const { colours, names } = this;
    const field = this.view?.fourth === "depth" ? "bid" : (this.view?.fourth ?? "premium");
    // These are known when a minute is over: of the open one the last that is known is said.
    const bar = this.chosen === null ? (this.bars.findLast((each) => each[field] !== null) ?? read) : read;
    if (this.view?.fourth === "spread") return [item(say("spreadLegend", { market: names.reference }), bar.spread === null ? "–" : format.number(bar.spread, 2), colours.fourth)];
    if (this.view?.fourth === "depth") {
      return [make("span", {}, say("depthLegend", { market: names.reference })),
        item(say("bid"), format.compact(bar.bid), colours.buy), item(say("ask"), format.compact(bar.ask), colours.sell)];
    }
    return [item(say("premium"), bar.premium === null ? "–" : format.signed(bar.premium * 100, 2, "%"), colours.fourth)];
  }

  placeLegends() {
    let top = 4;
    this.chart.panes().forEach((/** @type {any} */ pane, /** @type {number} */ number) => {
      if (!this.legends[number]) return;
      this.legends[number].style.top = `${top}px`;
      top += pane.getHeight() + 1;
    });
  }

  /** Say the bar that is read, in words. */
  speak() {
    const bar = this.current;
    if (!bar || !this.view) return;
    setText(byId("spoken"), [...infoLine(bar, this.span), ...this.legends].map((node) => node.textContent?.trim()).join(", "));
  }
}

/** @param {(value: number) => string} formatter */
const custom = (formatter) => ({ type: "custom", formatter, minMove: 1e-8 });

/** @typedef {(bar: Bar, next: Bar | undefined) => any} Point Makes a point of a bar and the one behind it. */

/**
 * Return what makes the points of a line.
 * @param {"vwap" | "ratio" | "cvd" | "premium" | "spread"} field
 * @param {Bar[]} bars
 * @returns {Point}
 */
function line(field, bars) {
  /** @param {Bar} bar */
  const isGap = (bar) => bar[field] === null || (bar.missing && (field === "cvd" || field === "vwap"));
  const newest = bars.findLast((bar) => !isGap(bar))?.time ?? 0;
  return (bar, next) => {
    if (isGap(bar)) return { time: bar.time };
    // The library joins what lies on both sides of a gap, unless the last point before is clear.
    return next && isGap(next) && bar.time < newest ? { time: bar.time, value: bar[field], color: CLEAR } : { time: bar.time, value: bar[field] };
  };
}

/** @type {Point} */
const candle = (bar) => (bar.close === null ? { time: bar.time }
  : { time: bar.time, open: bar.open, high: bar.high, low: bar.low, close: bar.close });

/**
 * Return a part of a legend.
 * @param {string} label @param {string} value @param {string} [colour]
 */
const item = (label, value, colour) => make("span", colour ? { style: `color:${colour}` } : {}, `${label} `, make("b", {}, value));

/** @param {any} point */
const isBlank = (point) => point.value === undefined && point.close === undefined;

/** @param {string} colour */
const faded = (colour) => colour.replace(/^rgb\((.*)\)$/, "rgba($1, 0.5)");

/**
 * Return the line that says what a bar holds.
 * @param {Bar} bar
 * @param {number} span
 */
function infoLine(bar, span) {
  const parts = [make("b", {}, format.fullTime(bar.time))];
  /** @param {string} label @param {string} value @param {string} [kind] */
  const add = (label, value, kind) => parts.push(make("span", {}, `${label} `, make("b", kind ? { class: kind } : {}, value)));
  if (bar.close !== null) {
    add("O", format.price(bar.open));
    add("H", format.price(bar.high));
    add("L", format.price(bar.low));
    add("C", format.price(bar.close), (bar.close ?? 0) >= (bar.open ?? 0) ? "up" : "down");
  }
  if (!bar.missing) add("Δ", format.signedCompact(bar.buy - bar.sell), bar.buy >= bar.sell ? "up" : "down");
  const state = bar.missing ? (bar.time + bar.span > serverNow() - DUE_S ? "awaited" : "missing") : bar.complete === false ? "incomplete" : !bar.final ? "open" : bar.complete === null ? "unknown" : "";
  if (state) parts.push(make("span", {}, `· ${say(state)}`));
  if (bar.span !== span) parts.push(make("span", {}, `· ${say("coarse", { span: format.duration(bar.span), interval: format.duration(span) })}`));
  return parts;
}
