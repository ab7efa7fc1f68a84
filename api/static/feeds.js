/** What is connected, what is late, what was lost and when it was made good. */

import { serverNow } from "./api.js";
import { toSeconds } from "./bars.js";
import { byId, make, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";
import { say } from "./text.js";

const LATE_S = 150;
const MAX_SHOWN = 100;

/** @typedef {{newest: number | null, kind: "flowTrades" | "flowBooks" | "flowTickers"}} Flow */

/**
 * Show how far each dataflow is: the age of the newest that it wrote.
 * @param {Flow[]} flows
 */
export function showFlows(flows) {
  const target = byId("flows");
  flows.forEach(({ kind, newest }, place) => {
    if (!target.children[place]) target.append(make("div", {}, make("dt"), make("dd", {}, make("span", { class: "state" }))));
    const [name, value] = target.children[place].children;
    setText(name, say(kind));
    const age = newest === null ? null : serverNow() - newest;
    setText(value.children[0], age === null ? say("flowNone") : say("flowAge", { time: format.duration(age) }));
    setAttribute(value.children[0], "data-state", age === null ? "wait" : age > LATE_S ? "late" : "good");
  });
}

/**
 * Return whether an incident is still open: neither over nor filled.
 * @param {any} incident
 */
export const isOpen = (incident) => !incident.until && !incident.filled_at;

/** @param {any} incident */
function outcome(incident) {
  const began = toSeconds(incident.from);
  if (incident.filled_at) return say("filledAfter", { time: format.duration(toSeconds(incident.filled_at) - began) });
  if (incident.until) return say("endedAfter", { time: format.duration(toSeconds(incident.until) - began) });
  return say("stillOpen");
}

/**
 * Show the incidents, newest first.
 * @param {any[]} incidents
 * @param {(exchange: string) => string} nameOf
 */
export function showIncidents(incidents, nameOf) {
  const body = /** @type {Element} */ (byId("incidents").querySelector("tbody"));
  const shown = JSON.stringify([document.documentElement.lang, document.documentElement.dataset.zone, incidents]);
  if (byId("incidents").dataset.shown === shown) return;
  byId("incidents").dataset.shown = shown;
  const open = incidents.filter(isOpen).length;
  byId("incidents").hidden = !incidents.length;
  setText(byId("incidents-note"), incidents.length ? say("incidentsSome", { count: incidents.length, open }) : say("incidentsNone"));
  body.replaceChildren(...together(incidents).slice(0, MAX_SHOWN).map(([incident, exchanges]) => make("tr", {},
    make("td", {}, format.dayAndClock(toSeconds(incident.from))),
    make("td", {}, exchanges.length > 2 ? say("exchangesCount", { count: exchanges.length }) : exchanges.map(nameOf).join(", "),
      make("small", {}, exchanges.length > 2 ? exchanges.map(nameOf).join(", ") : `${incident.kind === "audit" ? incident.symbols[0] : incident.product} ${incident.kind}`)),
    make("td", {}, incident.event, make("small", {}, incident.reason ?? "")),
    make("td", {}, make("span", { class: "state", "data-state": isOpen(incident) ? "bad" : incident.filled_at ? "good" : "late" }, outcome(incident))))));
}

/**
 * Return incidents with the exchanges that they hit: a network that was away hit all at once.
 * @param {any[]} incidents
 * @returns {[any, string[]][]}
 */
function together(incidents) {
  /** @type {Map<string, [any, string[]]>} */
  const groups = new Map();
  for (const incident of incidents) {
    // To the minute: each feed has seen it by its own last message.
    const minutes = [incident.from, incident.until, incident.filled_at].map((time) => time?.slice(0, 16));
    const key = JSON.stringify([minutes, incident.event, incident.reason, incident.kind, incident.kind === "audit" && incident.symbols]);
    const group = groups.get(key);
    if (!group) groups.set(key, [incident, [incident.exchange]]);
    else if (!group[1].includes(incident.exchange)) group[1].push(incident.exchange);
  }
  return [...groups.values()];
}
