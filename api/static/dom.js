/** A few helpers in place of a framework. Text from elsewhere only ever becomes text nodes. */

/**
 * Return the element with an id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no #${id}`);
  return node;
}

/**
 * Make an element; an attribute that is null or false is left out.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | null | undefined>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/**
 * Set an element's text, unless it is that already: what does not change is not spoken again.
 * @param {Element} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Set an attribute, or remove it with null; leave an equal one alone.
 * @param {Element} node
 * @param {string} name
 * @param {string | null} value
 */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) === value) return;
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

/**
 * Show how buyers and sellers share a volume: as text, and as a bar with a line in its middle.
 * @param {Element} node
 * @param {number | null} share Of the buyers, 0 to 1; null: nothing was traded.
 * @param {string} spoken
 * @param {boolean} [isShort] Only the buyers' share, for narrow columns.
 */
export function showShare(node, share, spoken, isShort = false) {
  const buy = share === null ? null : Math.round(share * 1000) / 10;
  if (!node.firstChild) {
    node.append(
      make("span", { class: "share-text", "aria-hidden": "true" }, make("span"), make("span")),
      make("span", { class: "share-line", "aria-hidden": "true" }, make("i")),
      make("span", { class: "visually-hidden" }),
    );
  }
  const [text, line, hidden] = [...node.children];
  node.classList.toggle("sellers", buy !== null && buy < 50 && isShort);
  node.classList.toggle("none", buy === null);
  setText(text.children[0], buy === null ? "–" : `${buy.toFixed(1)}%`);
  setText(text.children[1], buy === null || isShort ? "" : `${(100 - buy).toFixed(1)}%`);
  /** @type {HTMLElement} */ (line.firstChild).style.width = buy === null ? "0" : `${buy}%`;
  /** @type {HTMLElement} */ (line).style.visibility = buy === null ? "hidden" : "";
  setText(hidden, spoken);
}
