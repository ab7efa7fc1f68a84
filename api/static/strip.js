/** The top strip, and the notices below it: what is wrong, in words, while it is wrong. */

import { clockSkew, serverNow } from "./api.js";
import { byId, make, setAttribute, setText, showShare } from "./dom.js";
import * as format from "./format.js";
import { say } from "./text.js";

const CLOCK_WRONG_S = 5;
const STALE_S = 180;

/**
 * @typedef {object} Status
 * @property {"connecting" | "live" | "polling" | "offline" | "database"} connection
 * @property {string} detail What the API said when it refused or could not answer.
 * @property {string} missing What it said of a part of the page that it could not answer.
 * @property {boolean} isRefused
 * @property {number} goodAt When the last answer came, server's time.
 * @property {number} sleptS How long this computer slept, while what it missed is fetched; else 0.
 */

const DOTS = { connecting: "wait", live: "good", polling: "late", offline: "bad", database: "bad" };
const STATES = { connecting: "stateConnecting", live: "stateLive", polling: "statePolling", offline: "stateOffline", database: "stateDatabase" };

/**
 * Return the share of the buyers in what was traded since a time.
 * @param {Iterable<Map<number, any>>} markets
 * @param {number} since
 */
export function buyShare(markets, since) {
  let buy = 0;
  let sell = 0;
  for (const minutes of markets) {
    for (const [time, row] of minutes) {
      if (time < since) continue;
      buy += Number(row.taker_buy_volume);
      sell += Number(row.taker_sell_volume);
    }
  }
  return buy + sell > 0 ? buy / (buy + sell) : null;
}

/**
 * Say a share in words.
 * @param {number | null} share
 */
export function spokenShare(share) {
  if (share === null) return say("none");
  return say("shareSpoken", { buy: `${(share * 100).toFixed(1)}%`, sell: `${(100 - share * 100).toFixed(1)}%` });
}

/**
 * Return when the window of so many minutes began that ends with the newest minute.
 * @param {number} minutes
 */
export const windowStart = (minutes) => Math.floor(serverNow() / 60) * 60 - (minutes - 1) * 60;

/**
 * Show the strip.
 * @param {import("./data.js").Data} data
 * @param {Status} status
 * @param {{premium: number | null, referenceName: string}} figures
 */
export function showStrip(data, status, figures) {
  const minutes = data.recent.get(data.reference);
  const newest = minutes?.size ? minutes.get(Math.max(...minutes.keys())) : null;
  const traded = minutes ? [...minutes].filter(([, row]) => row.close !== null).toSorted((one, other) => other[0] - one[0]) : [];
  const close = traded.length ? Number(traded[0][1].close) : (data.bars.list.findLast((bar) => bar.close !== null)?.close ?? null);
  setText(byId("price-of"), figures.referenceName || say("price"));
  const quote = data.reference.split("-")[1] ?? "";
  setText(byId("price"), close === null ? "–" : `${format.price(close)} ${quote}`);
  const opened = traded.length > 1 ? Number(traded[1][1].close) : close;
  byId("price").className = close === null || opened === null || close === opened ? "" : close > opened ? "up" : "down";
  document.title = close === null ? "marketflow" : `${format.price(close)} ${data.view.market} · marketflow`;

  const counted = [...data.recent].filter(([market]) => !data.view.without.includes(market)).map(([, each]) => each);
  const share = buyShare(counted, windowStart(5));
  showShare(byId("share"), share, spokenShare(share));
  setText(byId("premium"), figures.premium === null ? "–" : format.signed(figures.premium * 100, 2, "%"));
  byId("premium").className = !figures.premium ? "" : figures.premium > 0 ? "up" : "down";

  const age = data.newest === null ? null : serverNow() - data.newest;
  setText(byId("age"), age === null ? "–" : `${format.clock(data.newest ?? 0)} · ${format.duration(age)}`);
  byId("age").className = age !== null && age > STALE_S ? "down" : "";
  void newest;
  const connection = byId("connection");
  setAttribute(connection, "data-state", DOTS[status.connection]);
  setText(connection, say(STATES[status.connection]));
}

/**
 * Show what is wrong, each thing as a line; what is right again disappears.
 * @param {import("./data.js").Data} data
 * @param {Status} status
 */
export function showNotices(data, status) {
  /** @type {[kind: string, head: string, text: string][]} */
  const notices = [];
  const time = status.goodAt ? format.clockSeconds(status.goodAt) : "–";
  if (status.connection === "offline") notices.push(["bad", say("noticeOffline"), say("noticeOfflineText", { time })]);
  else if (status.connection === "database") notices.push(["bad", say("noticeDatabase"), say("noticeDatabaseText", { time, detail: status.detail })]);
  else if (status.isRefused) notices.push(["bad", say("noticeRefused"), status.detail]);
  else if (status.connection === "polling") notices.push(["warn", say("noticeCut"), say("noticeCutText")]);
  else if (status.missing) notices.push(["warn", say("noticePart"), status.missing]);
  if (status.sleptS) notices.push(["warn", say("noticeSlept", { time: format.duration(status.sleptS) }), say("noticeSleptText")]);
  const age = data.newest === null ? 0 : serverNow() - data.newest;
  if (data.isLoaded && age > STALE_S && ["live", "polling"].includes(status.connection)) {
    notices.push(["warn", say("noticeStale", { time: format.duration(age) }), say("noticeStaleText")]);
  }
  const skew = clockSkew();
  if (Math.abs(skew) > CLOCK_WRONG_S) {
    notices.push(["warn", say("noticeClock", { time: format.duration(Math.abs(skew)), direction: say(skew < 0 ? "ahead" : "behind") }), say("noticeClockText")]);
  }
  if (document.documentElement.dataset.source === "simulator") notices.push(["plain", say("noticeSimulator"), say("noticeSimulatorText")]);
  const target = byId("notices");
  // Only what changed: a reader is told once, not four times a second.
  const known = JSON.stringify(notices);
  if (target.dataset.shown === known) return;
  target.dataset.shown = known;
  target.replaceChildren(...notices.map(([kind, head, text]) => make("p", { class: `notice ${kind}` }, make("b", {}, head), make("span", {}, text))));
}
