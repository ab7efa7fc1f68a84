/** What is shown, as the address of the page says it, and what this browser remembers. */

export const INTERVALS = /** @type {const} */ (["1m", "5m", "15m", "30m", "1h", "4h", "1d"]);
/** @type {Record<string, number>} */
export const SECONDS = { "1m": 60, "5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600, "4h": 14_400, "1d": 86_400 };

/**
 * @typedef {object} View
 * @property {string} market A coin (`BTC`: all its markets) or a canonical symbol (`BTC-USDT`).
 * @property {string} interval
 * @property {"total" | "exchange"} cvd
 * @property {"premium" | "spread" | "depth"} fourth
 * @property {string} reference A market, `exchange:symbol`; empty: the one with the most volume.
 * @property {string[]} without Markets that are left out of the totals.
 * @property {boolean} table
 * @property {number | null} until Time of the right edge; null: now, and it moves on.
 * @property {number | null} bars How many of them are visible; null: as many as fit.
 */

/** @type {View} */
export const DEFAULT_VIEW = {
  market: "BTC", interval: "1m", cvd: "total", fourth: "premium", reference: "", without: [],
  table: false, until: null, bars: null,
};

/** @template {string} T @param {string | null} value @param {readonly T[]} known @param {T} otherwise @returns {T} */
const oneOf = (value, known, otherwise) => (known.includes(/** @type {T} */ (value)) ? /** @type {T} */ (value) : otherwise);

/** @param {string | null} text */
const positive = (text) => (text !== null && /^\d{1,11}$/.test(text) && Number(text) > 0 ? Number(text) : null);

/**
 * Return the view that a query string describes; what it does not say is as by default.
 * @param {string} search
 * @returns {View}
 */
export function parseView(search) {
  const query = new URLSearchParams(search);
  return {
    market: (query.get("market") ?? "").trim().toUpperCase() || DEFAULT_VIEW.market,
    interval: oneOf(query.get("interval"), INTERVALS, "1m"),
    cvd: oneOf(query.get("cvd"), ["total", "exchange"], "total"),
    fourth: oneOf(query.get("fourth"), ["premium", "spread", "depth"], "premium"),
    reference: query.get("reference") ?? "",
    without: (query.get("without") ?? "").split(",").filter(Boolean),
    table: query.get("table") === "1",
    until: positive(query.get("until")),
    bars: positive(query.get("bars")),
  };
}

/**
 * Return the query string of a view, as short as it can be.
 * @param {View} view
 */
export function formatView(view) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(view)) {
    const usual = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (DEFAULT_VIEW))[name];
    if (value === usual || value === null || (Array.isArray(value) && !value.length)) continue;
    query.set(name, Array.isArray(value) ? value.join(",") : value === true ? "1" : String(value));
  }
  const text = query.toString().replaceAll("%3A", ":").replaceAll("%2C", ",");
  return text && `?${text}`;
}

const KEY = "marketflow.settings";

/** Return what this browser remembers. @returns {Record<string, string>} */
export function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/** Remember settings. @param {Record<string, string>} changes */
export function remember(changes) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...remembered(), ...changes }));
  } catch {
    // A private window keeps nothing: the settings hold until it is closed.
  }
}
