/** Questions to the API, with what can go wrong named, and the server's clock. */

const ANSWER_MS = 12_000;

/** What went wrong with a question: `status` 0 when nothing answered. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** How far the server's clock is ahead of this computer's. */
const skews = /** @type {number[]} */ ([]);

/** Return how many seconds the server's clock is ahead of this computer's. */
export function clockSkew() {
  const sorted = skews.toSorted((one, other) => one - other);
  return sorted.length ? sorted[sorted.length >> 1] : 0;
}

/** Return the server's time, unix seconds. */
export const serverNow = () => Date.now() / 1000 + clockSkew();

/** @param {Response} response @param {number} asked @param {number} answered */
function measureClock(response, asked, answered) {
  const date = Date.parse(response.headers.get("date") ?? "");
  // A slow answer tells little; the header has whole seconds, so its middle is meant.
  if (Number.isNaN(date) || answered - asked > 2_000) return;
  skews.push((date + 500 - (asked + answered) / 2) / 1000);
  if (skews.length > 9) skews.shift();
}

/**
 * Return the address of a question; a list is sent comma separated, null is left out.
 * @param {string} path
 * @param {Record<string, string | number | boolean | string[] | null | undefined>} parameters
 */
export function address(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || (Array.isArray(value) && !value.length)) continue;
    query.set(name, Array.isArray(value) ? value.join(",") : String(value));
  }
  return `${path}?${query}`;
}

/**
 * Ask the API and return its answer.
 * @param {string} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function ask(url, signal) {
  const timeout = AbortSignal.timeout(ANSWER_MS);
  const asked = Date.now();
  let response;
  try {
    response = await fetch(url, {
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      headers: { accept: "application/json" },
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, String(error));
  }
  measureClock(response, asked, Date.now());
  if (response.ok) {
    try {
      return await response.json();
    } catch (error) {
      if (signal?.aborted) throw error;
      // Cut off on its way, as when the server is stopped.
      throw new ApiError(0, String(error));
    }
  }
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.detail ?? problem.title ?? response.statusText);
}

/**
 * Ask for rows, page after page.
 * @param {string} path
 * @param {Record<string, string | number | boolean | string[] | null | undefined>} parameters
 * @param {AbortSignal} [signal]
 * @returns {Promise<any[]>}
 */
export async function rows(path, parameters, signal) {
  let answer = await ask(address(path, parameters), signal);
  const all = answer.rows;
  // A limit on everything: a page that never ends is a bug of ours.
  for (let page = 1; answer.next && page < 8; page += 1) {
    answer = await ask(answer.next, signal);
    all.push(...answer.rows);
  }
  return all;
}
