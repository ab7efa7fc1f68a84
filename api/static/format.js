/** Numbers, times and durations as people read them. */

import { language } from "./text.js";

const MINUS = "−";

/** By the number of decimals. @type {Intl.NumberFormat[]} */
const numbers = [];

/**
 * Return a price with as many decimals as its size needs.
 * @param {number | null | undefined} value
 */
export function price(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const decimals = size >= 100_000 ? 0 : size >= 1_000 ? 1 : size >= 10 ? 2 : size >= 0.1 ? 4 : 8;
  return number(value, decimals);
}

/**
 * Return a number with thousands separated.
 * @param {number} value
 * @param {number} decimals
 */
export function number(value, decimals) {
  // Made once for each: to make one takes longer than all that it formats in a second.
  numbers[decimals] ??= new Intl.NumberFormat("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  const text = numbers[decimals].format(Math.abs(value));
  return value < 0 && /[1-9]/.test(text) ? MINUS + text : text;
}

/**
 * Return a volume in three or four digits: 12.4k, 3.05M.
 * @param {number | null | undefined} value
 */
export function compact(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  for (const [unit, sign] of /** @type {[number, string][]} */ ([[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]])) {
    if (size >= unit) return `${number(value / unit, size >= 100 * unit ? 0 : size >= 10 * unit ? 1 : 2)}${sign}`;
  }
  return number(value, size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : size >= 0.001 ? 3 : 6);
}

/**
 * Return a number with its sign written out.
 * @param {number | null | undefined} value
 * @param {number} decimals
 * @param {string} [unit]
 */
export function signed(value, decimals, unit = "") {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text = number(value, decimals);
  return (value > 0 && /[1-9]/.test(text) ? `+${text}` : text) + unit;
}

/**
 * Return a volume with its sign written out.
 * @param {number | null | undefined} value
 */
export const signedCompact = (value) =>
  typeof value === "number" && value > 0 ? `+${compact(value)}` : compact(value);

/**
 * Return a duration in its largest unit: 45 s, 3 min, 2 h, 4 d.
 * @param {number} seconds
 */
export function duration(seconds) {
  const ko = language() === "ko";
  const all = Math.max(0, Math.round(seconds));
  if (all < 120) return ko ? `${all}초` : `${all} s`;
  if (all < 7_200) return ko ? `${Math.round(all / 60)}분` : `${Math.round(all / 60)} min`;
  if (all < 172_800) return ko ? `${Math.round(all / 3_600)}시간` : `${Math.round(all / 3_600)} h`;
  return ko ? `${Math.round(all / 86_400)}일` : `${Math.round(all / 86_400)} d`;
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @returns {string | undefined} */
const zone = () => (document.documentElement.dataset.zone === "UTC" ? "UTC" : undefined);

/**
 * @param {Intl.DateTimeFormatOptions} options
 * @param {number} seconds
 */
function dated(options, seconds) {
  const key = `${language()} ${zone() ?? ""} ${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat(language() === "ko" ? "ko-KR" : "en-GB", {
      ...options, timeZone: zone(), hourCycle: "h23",
    });
    formats.set(key, format);
  }
  return format.format(seconds * 1000);
}

/** @param {number} seconds */
export const clock = (seconds) => dated({ hour: "2-digit", minute: "2-digit" }, seconds);

/** @param {number} seconds */
export const clockSeconds = (seconds) => dated({ hour: "2-digit", minute: "2-digit", second: "2-digit" }, seconds);

/** @param {number} seconds */
export const dayAndClock = (seconds) =>
  dated({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }, seconds);

/** @param {number} seconds */
export const fullTime = (seconds) =>
  dated({ month: "short", day: "numeric", weekday: "short", hour: "2-digit", minute: "2-digit" }, seconds);

/**
 * Return the label of a tick of the time axis.
 * @param {number} seconds
 * @param {number} kind Of lightweight-charts: 0 year, 1 month, 2 day, 3 time, 4 with seconds.
 */
export function tick(seconds, kind) {
  if (kind === 0) return dated({ year: "numeric" }, seconds);
  if (kind === 1) return dated({ month: "short" }, seconds);
  if (kind === 2) return dated({ day: "numeric", month: "short" }, seconds);
  return clock(seconds);
}

/** Return the name of the zone that times are shown in. */
export function zoneName() {
  return zone() ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
}
