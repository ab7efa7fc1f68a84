/** The dashboard: what is asked and when, and what is shown of it. */

import { address, ApiError, rows, serverNow } from "./api.js";
import { toSeconds } from "./bars.js";
import { Chart } from "./chart.js";
import { asked, Data, marketOf } from "./data.js";
import { byId, make, setText } from "./dom.js";
import { auditsOf, Exchanges } from "./exchanges.js";
import { isOpen, showFlows, showIncidents } from "./feeds.js";
import * as format from "./format.js";
import { listen, listKeys } from "./keys.js";
import { Live } from "./live.js";
import { Picker } from "./picker.js";
import { showNotices, showStrip } from "./strip.js";
import { Table } from "./table.js";
import { language, say, translatePage } from "./text.js";
import { DEFAULT_VIEW, formatView, INTERVALS, parseView, remember, remembered } from "./view.js";

/** @typedef {import("./view.js").View} View */

const FLUSH_MS = matchMedia("(max-width: 560px)").matches ? 500 : 250;
const REFRESH_MS = 3_000;
const SLOW_MS = 15_000;
const MARKETS_MS = 60_000;
const RETRY_MS = 4_000;
/** So few minutes look like a broken page, unless it is said that there are no more. */
const YOUNG_BARS = 10;
const DAY_S = 86_400;
const FOURTHS = /** @type {const} */ (["premium", "spread", "depth"]);

const root = document.documentElement;

/** Everything the page is at the moment. */
const page = {
  view: location.search ? parseView(location.search) : parseView(remembered().view ?? ""),
  data: new Data(DEFAULT_VIEW, () => {}),
  /** @type {import("./strip.js").Status} */
  status: { connection: "connecting", detail: "", missing: "", isRefused: false, goodAt: 0, sleptS: 0 },
  /** @type {any[]} */
  symbols: [],
  /** @type {Map<string, string>} */
  names: new Map(),
  /** @type {Map<string, any>} */
  books: new Map(),
  /** What the audit says of each market in the last day. @type {Map<string, import("./exchanges.js").Audit>} */
  audits: new Map(),
  /** @type {number | null} */
  newestTicker: null,
  /** @type {any[]} */
  incidents: [],
  /** @type {number | null} */
  premium: null,
  isCatchingUp: false,
  isLoading: false,
  /** The stream began anew while the view was loaded. */
  isGap: false,
  needsCatchUp: false,
  structure: -1,
  isMoved: false,
  moveTimer: 0,
};

/** @param {string} exchange */
const exchangeName = (exchange) => page.names.get(exchange) ?? exchange;
/** @param {string} market */
const marketName = (market) => exchangeName(market.split(":")[0]);

const chart = new Chart({ onOlder: () => void loadOlder(), onMove: onChartMove });
const exchanges = new Exchanges({ onReference: (market) => go({ reference: market }), onInclude });
const picker = new Picker((market) => go({ market, reference: "", without: [], until: null }));
const table = new Table();
const live = new Live({
  onRow: (row) => { page.data.take(row); answered(); },
  onGap: () => void catchUp(),
  onState: (open) => { if (!open && page.status.connection === "live") page.status.connection = "polling"; },
  onSlept: (seconds) => { page.status.sleptS = seconds; },
});

/* What is asked. */

/** Note that the API answered. */
function answered() {
  page.status.goodAt = serverNow();
  // Until all is there again, what failed is what is said.
  if (page.needsCatchUp) return;
  page.status.isRefused = false;
  page.status.connection = live.isOpen ? "live" : "polling";
}

/**
 * Note what went wrong; what was given up on purpose is no failure.
 * @param {unknown} error
 */
function failed(error) {
  if (!(error instanceof ApiError)) {
    if (error instanceof DOMException && error.name === "AbortError") return;
    throw error;
  }
  page.status.detail = error.message;
  page.needsCatchUp = true;
  if (error.status === 0 || error.status === 502 || error.status === 504) page.status.connection = "offline";
  else if (error.status >= 500) page.status.connection = "database";
  else page.status.isRefused = true;
}

/**
 * Note that a part of the page is missing; the question that decides on its state is asked next.
 * @param {unknown} error
 */
function failedInPart(error) {
  if (error instanceof ApiError) {
    page.status.missing = error.message;
    void catchUp();
  } else {
    failed(error);
  }
}

/** Load a view from the beginning, and go on until it is there. */
async function load() {
  page.data.stop();
  const data = new Data(page.view, failedInPart);
  page.data = data;
  page.structure = -1;
  page.isMoved = false;
  page.premium = null;
  page.books.clear();
  chart.show([]);
  chart.showCurves(new Map());
  showEmpty();
  const query = { ...asked(page.view.market), exchange: "all_exchange" };
  live.follow(address("/v1/stream", query));
  page.isLoading = true;
  try {
    await data.load(newestMinute());
    page.needsCatchUp = false;
    answered();
  } catch (error) {
    failed(error);
  } finally {
    if (page.data === data) page.isLoading = false;
  }
  if (page.data !== data) return;
  if (page.isGap) void catchUp();
  page.isGap = false;
  flush();
  if (page.view.bars && data.bars.first) chart.look(page.view.until, page.view.bars);
  else chart.widen(data.bars.list.length);
  void slowly();
}

/** Return the newest minute that there is of the view; null: nobody knows. */
function newestMinute() {
  const times = page.symbols.filter(isInView).map((row) => (row.last_minute ? toSeconds(row.last_minute) : 0));
  return Math.max(0, ...times) || null;
}

/** @param {any} row */
const isInView = (row) => (page.view.market.includes("-") ? row.symbol === page.view.market : row.base === page.view.market);

/** Fetch what may have been missed: after each break, and while there is no stream. */
async function catchUp() {
  if (page.isLoading) page.isGap = true;
  if (page.isCatchingUp || page.isLoading) return;
  page.isCatchingUp = true;
  const { data } = page;
  try {
    if (!page.symbols.length || data.isEmpty) await loadMarkets();
    if (data.isLoaded) await data.catchUp(newestMinute());
    else await data.load(newestMinute());
    const wasAway = page.needsCatchUp;
    page.needsCatchUp = false;
    page.status.sleptS = 0;
    answered();
    if (wasAway || page.status.missing) void slowly();
  } catch (error) {
    if (page.data === data) failed(error);
  } finally {
    page.isCatchingUp = false;
  }
}

/** Load which exchanges and symbols there are. */
async function loadMarkets() {
  const [symbols, names] = await Promise.all([rows("/v1/symbols", {}), rows("/v1/exchanges", {})]);
  page.symbols = symbols.filter((row) => row.first_minute);
  page.names = new Map(names.map((row) => [row.exchange, row.name]));
  /** @type {Map<string, {symbol: string, base: string, exchanges: string[]}>} */
  const known = new Map();
  for (const { symbol, base, exchange } of page.symbols) {
    const entry = known.get(symbol) ?? { symbol, base, exchanges: /** @type {string[]} */ ([]) };
    entry.exchanges.push(exchangeName(exchange));
    known.set(symbol, entry);
  }
  picker.setSymbols([...known.values()]);
}

/** Ask for what changes slowly: order books, tickers, incidents, the premium. */
async function slowly() {
  const { data } = page;
  const now = serverNow();
  const market = asked(page.view.market);
  const range = { from: Math.floor(now - 600), to: Math.ceil(now), interval: "1m", sort: "asc" };
  /** @type {[Promise<any[]>, (rows: any[]) => void][]} */
  const questions = [
    [rows("/v1/orderbook", { ...market, ...range, exchange: "all_exchange" }), (found) => {
      page.books = new Map(found.map((row) => [marketOf(row), row]));
    }],
    [rows("/v1/ticker", { ...market, exchange: "all_exchange" }), (found) => {
      page.newestTicker = found.length ? Math.max(...found.map((row) => toSeconds(row.time))) : null;
    }],
    [rows("/v1/coverage", { ...market, exchange: "all_exchange", from: Math.floor(now - DAY_S), to: Math.ceil(now), interval: "1h" }), (found) => {
      page.audits = auditsOf(found);
    }],
    [rows("/v1/incidents", { from: Math.floor(now - DAY_S), to: Math.ceil(now + 60) }), (found) => {
      page.incidents = found;
    }],
    [rows("/v1/premium", { ...range, base: page.view.market.split("-")[0] }), (found) => {
      const known = found.filter((row) => row.premium !== null);
      page.premium = known.length ? Number(known[known.length - 1].premium) : null;
    }],
  ];
  // One that fails does not take the others with it.
  let isWhole = true;
  await Promise.all(questions.map(([question, use]) => question.then((found) => {
    if (page.data === data) use(found);
  }).catch((error) => {
    isWhole = false;
    failedInPart(error);
  })));
  if (isWhole) page.status.missing = "";
  showSide();
}

async function loadOlder() {
  const { data } = page;
  try {
    if (await data.older()) flush();
  } catch (error) {
    failedInPart(error);
  }
}

/* What is shown. */

/** Draw what changed: at most four times a second. */
function flush() {
  const { data } = page;
  if (document.visibilityState === "hidden") return;
  showStrip(data, page.status, { premium: page.premium, referenceName: data.reference ? `${marketName(data.reference)} ${data.reference.split(":")[1]}` : "" });
  showNotices(data, page.status);
  showEmpty();
  if (!data.isLoaded || !data.bars.first) return;
  const isNew = page.structure !== data.structure;
  if (!isNew && data.changed === null) return;
  Object.assign(chart, { anchor: data.bars.anchor });
  if (isNew) {
    page.structure = data.structure;
    chart.setView(page.view, { market: page.view.market, reference: `${marketName(data.reference)} ${data.reference.split(":")[1] ?? ""}`, base: page.view.market.split("-")[0] });
    chart.show(data.bars.list);
  } else {
    data.bars.derive();
    chart.update(data.bars.list, data.changed ?? 0);
  }
  data.changed = null;
  if (page.view.cvd === "exchange") chart.showCurves(data.curves(exchangeName));
}

/** Show the exchanges and the feeds. */
function showSide() {
  const { data } = page;
  if (document.visibilityState === "hidden") return;
  const open = page.incidents.filter((row) => isOpen(row) && row.kind === "trade");
  exchanges.show(data, page.books, {
    name: marketName,
    audits: page.audits,
    listed: page.symbols.filter((row) => isInView(row) && row.last_minute && serverNow() - toSeconds(row.last_minute) < DAY_S).map(marketOf),
    isOut: (market) => open.some((row) => row.exchange === market.split(":")[0] && (!row.symbols || row.symbols.includes(market.split(":")[1]))),
  });
  const books = [...page.books.values()].map((row) => toSeconds(row.time));
  showFlows([
    { kind: "flowTrades", newest: data.newest },
    { kind: "flowBooks", newest: books.length ? Math.max(...books) : null },
    { kind: "flowTickers", newest: page.newestTicker },
  ]);
  showIncidents(page.incidents, exchangeName);
}

function showEmpty() {
  const { data } = page;
  const empty = byId("empty");
  empty.hidden = data.isLoaded && Boolean(data.bars.list.some((bar) => !bar.missing));
  const known = data.bars.list.length;
  byId("young").hidden = !empty.hidden || known >= YOUNG_BARS || page.view.interval !== "1m" || data.isPast;
  if (!byId("young").hidden) setText(byId("young"), say("young", { count: known }));
  if (!empty.hidden) setText(empty, say(data.isLoaded ? "emptyYet" : page.needsCatchUp ? "waiting" : "loading", { market: page.view.market }));
}

/** Show what the view is: pressed buttons, labels, the address. */
function showView() {
  const { view } = page;
  for (const button of byId("intervals").children) button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.interval === view.interval));
  for (const button of document.querySelectorAll("[data-cvd]")) button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.cvd === view.cvd));
  for (const button of document.querySelectorAll("[data-fourth]")) button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.fourth === view.fourth));
  picker.show(view.market);
  byId("to-live").hidden = view.until === null;
  setText(byId("table-title"), say("bars", { market: view.market, interval: view.interval }));
  table.toggle(view.table);
  byId("chart").setAttribute("aria-label", say("chartLabel", { market: view.market, interval: view.interval, fourth: say(view.fourth === "premium" ? "premium" : view.fourth) }));
  history.replaceState(null, "", formatView(view) || location.pathname);
  remember({ view: formatView({ ...view, until: null, bars: null, table: false }) });
}

/* What a person does. */

/**
 * Go to another view; what only looks different is not loaded anew.
 * @param {Partial<View>} changes
 */
function go(changes) {
  const before = page.view;
  page.view = { ...before, ...changes };
  if (changes.interval && changes.interval !== before.interval) page.view.bars = null;
  showView();
  const needs = ["market", "interval", "reference", "without", "fourth", "cvd"];
  if (needs.some((name) => name in changes)) void load();
  else if (changes.table) void table.show(page.data).catch(failedInPart);
}

/** @param {string} market @param {boolean} isIn */
function onInclude(market, isIn) {
  const without = page.view.without.filter((each) => each !== market);
  go({ without: isIn ? without : [...without, market].toSorted() });
}

/** @param {number | null} until @param {number} bars */
function onChartMove(until, bars) {
  // What nobody moved is no part of the view that is shared.
  if (!page.data.isLoaded || !page.isMoved) return;
  clearTimeout(page.moveTimer);
  page.moveTimer = setTimeout(() => {
    page.view = { ...page.view, until: until ?? (page.data.isPast ? page.view.until : null), bars };
    byId("to-live").hidden = page.view.until === null;
    history.replaceState(null, "", formatView(page.view) || location.pathname);
  }, 300);
}

function toNow() {
  page.view = { ...page.view, until: null };
  if (page.data.isPast) void load();
  else chart.toNow();
  showView();
}

/** Let the chart move as somebody wants it to. @param {() => void} move */
function moved(move) {
  page.isMoved = true;
  move();
}

/** @param {number} bars */
function step(bars) {
  const { list } = page.data.bars;
  if (!list.length) return;
  const from = chart.chosen ?? list.findLastIndex((bar) => !bar.missing) + (bars < 0 ? 1 : 0);
  chart.choose(Math.max(0, Math.min(list.length - 1, from + bars)));
  chart.speak();
}

/** @param {Record<string, string>} changes */
function setSettings(changes) {
  remember(changes);
  if (changes.language) root.lang = changes.language;
  if (changes.theme) root.dataset.theme = changes.theme;
  if (changes.palette) root.dataset.palette = changes.palette;
  if (changes.zone) root.dataset.zone = changes.zone;
  showTexts();
  chart.paint();
  page.structure = -1;
  flush();
  showSide();
}

/** Write all texts anew. */
function showTexts() {
  translatePage();
  listKeys();
  setText(byId("zone"), say("zoneNote", { zone: format.zoneName() }));
  for (const [id, value] of Object.entries({ language: language(), theme: root.dataset.theme, palette: root.dataset.palette, zone: root.dataset.zone })) {
    /** @type {HTMLSelectElement} */ (byId(`set-${id}`)).value = value ?? "";
  }
  byId("notices").dataset.shown = "";
  showView();
}

/** @template {string} T @param {readonly T[]} all @param {string | undefined} one @returns {T} */
const after = (all, one) => all[(all.indexOf(/** @type {T} */ (one)) + 1) % all.length];

/** @param {string} id */
const openDialog = (id) => /** @type {HTMLDialogElement} */ (byId(id)).showModal();

const actions = {
  search: () => { byId("market").focus(); picker.open(); },
  interval: (/** @type {string} */ interval) => go({ interval: /** @type {View["interval"]} */ (interval) }),
  step,
  page: (/** @type {number} */ pages) => moved(() => chart.scroll(pages * Math.round(chart.visibleBars * 0.8))),
  edge: (/** @type {"first" | "last"} */ edge) => { chart.choose(edge === "first" ? 0 : page.data.bars.list.length - 1); chart.speak(); },
  zoom: (/** @type {number} */ factor) => moved(() => chart.zoom(factor)),
  live: toNow,
  table: () => { go({ table: !page.view.table }); if (page.view.table) byId("table-title").focus(); else byId("show-table").focus(); },
  cvd: () => go({ cvd: page.view.cvd === "total" ? "exchange" : "total" }),
  fourth: () => go({ fourth: after(FOURTHS, page.view.fourth) }),
  go: (/** @type {string} */ part) => byId(part === "chart" ? "chart" : `${part}-title`).focus(),
  theme: () => setSettings({ theme: after(["system", "dark", "light"], root.dataset.theme) }),
  palette: () => setSettings({ palette: after(["green-red", "red-blue", "blue-orange"], root.dataset.palette) }),
  language: () => setSettings({ language: after(["en", "ko"], language()) }),
  help: () => openDialog("keys"),
  escape: () => { if (chart.chosen !== null) chart.leave(); else if (page.view.table) actions.table(); },
};

function connect() {
  byId("intervals").append(...INTERVALS.map((interval) => make("button", { type: "button", "data-interval": interval }, interval)));
  byId("intervals").addEventListener("click", (event) => {
    const { interval } = /** @type {HTMLElement} */ (event.target).dataset;
    if (interval) actions.interval(interval);
  });
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-cvd]"))) {
    button.addEventListener("click", () => go({ cvd: /** @type {View["cvd"]} */ (button.dataset.cvd) }));
  }
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-fourth]"))) {
    button.addEventListener("click", () => go({ fourth: /** @type {View["fourth"]} */ (button.dataset.fourth) }));
  }
  byId("show-table").addEventListener("click", actions.table);
  byId("table-close").addEventListener("click", actions.table);
  byId("table-older").addEventListener("click", () => { table.rows *= 2; void table.show(page.data).catch(failedInPart); });
  byId("show-settings").addEventListener("click", () => openDialog("settings"));
  byId("show-keys").addEventListener("click", actions.help);
  byId("to-live").addEventListener("click", toNow);
  for (const name of ["language", "theme", "palette", "zone"]) {
    const select = /** @type {HTMLSelectElement} */ (byId(`set-${name}`));
    select.addEventListener("change", () => setSettings({ [name]: select.value }));
  }
  addEventListener("popstate", () => { page.view = parseView(location.search); showView(); void load(); });
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") { page.structure = -1; flush(); showSide(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { chart.paint(); page.structure = -1; flush(); });
  for (const name of ["pointerdown", "wheel"]) byId("canvas").addEventListener(name, () => { page.isMoved = true; }, { passive: true });
  listen(actions);
}

/** Ask again for what is due; one thing that fails does not stop the rest. */
function every(/** @type {number} */ ms, /** @type {() => Promise<unknown> | void} */ act) {
  setInterval(() => {
    if (document.visibilityState !== "hidden") void Promise.resolve(act()).catch(failedInPart);
  }, ms);
}

async function start() {
  connect();
  showTexts();
  try {
    await loadMarkets();
  } catch (error) {
    failed(error);
  }
  await load();
  setInterval(flush, FLUSH_MS);
  every(1_000, showSide);
  every(REFRESH_MS, () => page.data.refresh());
  every(REFRESH_MS, () => table.show(page.data));
  every(REFRESH_MS, () => page.data.mend());
  every(SLOW_MS, slowly);
  every(MARKETS_MS, loadMarkets);
  every(RETRY_MS, () => (page.needsCatchUp || page.data.isEmpty ? catchUp() : undefined));
}

void start();

export { chart, page };
