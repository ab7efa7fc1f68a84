/** The symbol picker: a combobox over all canonical symbols, and over coins for all their markets. */

import { byId, make, setAttribute } from "./dom.js";
import { say } from "./text.js";

const MAX_SHOWN = 50;

/** @typedef {{name: string, note: string, weight: number}} Choice */

/** The input, and the list below it. */
export class Picker {
  /** @param {(market: string) => void} onChoice */
  constructor(onChoice) {
    this.onChoice = onChoice;
    this.input = /** @type {HTMLInputElement} */ (byId("market"));
    this.list = byId("market-list");
    /** @type {Choice[]} */
    this.choices = [];
    this.market = "";
    this.at = -1;
    this.input.addEventListener("focus", () => this.input.select());
    this.input.addEventListener("click", () => this.open());
    this.input.addEventListener("input", () => this.open(this.input.value));
    this.input.addEventListener("keydown", (event) => this.onKey(event));
    this.input.addEventListener("blur", () => this.close());
    // Before the input loses the focus, which closes the list.
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      const item = /** @type {Element} */ (event.target).closest("li[data-name]");
      if (item) this.take(/** @type {HTMLElement} */ (item).dataset.name ?? "");
    });
  }

  /**
   * Take what can be chosen.
   * @param {{symbol: string, base: string, exchanges: string[]}[]} symbols
   */
  setSymbols(symbols) {
    /** @type {Map<string, {markets: number, exchanges: Set<string>}>} */
    const coins = new Map();
    for (const { base, exchanges } of symbols) {
      const coin = coins.get(base) ?? { markets: 0, exchanges: new Set() };
      coin.markets += exchanges.length;
      for (const exchange of exchanges) coin.exchanges.add(exchange);
      coins.set(base, coin);
    }
    this.choices = [
      ...[...coins].map(([name, coin]) => ({ name, note: `${say("marketAll")} (${coin.markets})`, weight: 1_000 + coin.markets })),
      ...symbols.map(({ symbol, exchanges }) => ({ name: symbol, note: exchanges.join(" "), weight: exchanges.length })),
    ].toSorted((one, other) => other.weight - one.weight || one.name.localeCompare(other.name));
  }

  /** @param {string} market */
  show(market) {
    this.market = market;
    if (document.activeElement !== this.input) this.input.value = market;
  }

  /** @param {string} [typed] */
  open(typed = "") {
    const wanted = typed.trim().toUpperCase();
    const shown = this.choices
      .filter(({ name }) => name.includes(wanted))
      .toSorted((one, other) => Number(other.name.startsWith(wanted)) - Number(one.name.startsWith(wanted)))
      .slice(0, MAX_SHOWN);
    this.list.replaceChildren(...shown.map(({ name, note }, place) =>
      make("li", { role: "option", id: `market-${place}`, "data-name": name, "aria-selected": "false" }, make("b", {}, name), make("small", {}, note))));
    if (!shown.length) this.list.append(make("li", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, say("marketNone")));
    this.list.hidden = false;
    setAttribute(this.input, "aria-expanded", "true");
    this.mark(wanted && shown.length ? 0 : -1);
  }

  close() {
    this.list.hidden = true;
    setAttribute(this.input, "aria-expanded", "false");
    setAttribute(this.input, "aria-activedescendant", null);
    this.input.value = this.market;
  }

  /** @param {number} place */
  mark(place) {
    const items = [...this.list.querySelectorAll("li[data-name]")];
    this.at = items.length ? Math.max(-1, Math.min(place, items.length - 1)) : -1;
    items.forEach((item, number) => item.setAttribute("aria-selected", String(number === this.at)));
    setAttribute(this.input, "aria-activedescendant", this.at < 0 ? null : `market-${this.at}`);
    items[this.at]?.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} market */
  take(market) {
    this.market = market;
    this.close();
    this.input.blur();
    byId("chart").focus({ preventScroll: true });
    this.onChoice(market);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (this.list.hidden) this.open();
      this.mark(this.at + (event.key === "ArrowDown" ? 1 : -1));
      event.preventDefault();
    } else if (event.key === "Enter") {
      const chosen = this.list.querySelectorAll("li[data-name]")[this.at];
      if (chosen) this.take(/** @type {HTMLElement} */ (chosen).dataset.name ?? "");
    } else if (event.key === "Escape") {
      if (this.list.hidden) byId("chart").focus();
      else this.close();
      event.stopPropagation();
    }
  }
}
