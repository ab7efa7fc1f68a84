/** What is connected, what is late, what was lost and when it was made good. */

import { serverNow } from "./api.js";
import { toSeconds } from "./bars.js";
import { byId, make, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";
import { say } from "./text.js";

const LATE_S = 150;

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
  body.replaceChildren(...incidents.slice(0, 100).map((incident) => make("tr", {},
    make("td", {}, format.dayAndClock(toSeconds(incident.from))),
    make("td", {}, nameOf(incident.exchange), make("small", {}, [incident.product, incident.kind].filter(Boolean).join(" "))),
    make("td", {}, incident.event, make("small", {}, incident.reason ?? "")),
    make("td", {}, make("span", { class: "state", "data-state": isOpen(incident) ? "bad" : incident.filled_at ? "good" : "late" }, outcome(incident))))));
}
