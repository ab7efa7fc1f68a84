/** The live stream, with what browsers leave out: silence, sleep, and a server that refuses. */

const SILENCE_MS = 40_000;
const POLL_MS = 4_000;
const SLEEP_MS = 20_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

/**
 * Follows `/v1/stream`. Whoever listens asks the API for what it may have missed whenever `onGap`
 * is called, so that neither a restart nor a night's sleep leaves a hole.
 */
export class Live {
  /**
   * @param {object} handlers
   * @param {(row: any) => void} handlers.onRow
   * @param {() => void} handlers.onGap Called when the stream begins, and each few seconds without it.
   * @param {(open: boolean) => void} handlers.onState
   * @param {(seconds: number) => void} handlers.onSlept
   */
  constructor(handlers) {
    this.handlers = handlers;
    /** @type {EventSource | null} */
    this.source = null;
    this.url = "";
    this.wait = FIRST_WAIT_MS;
    this.heard = Date.now();
    this.polled = 0;
    this.retryAt = 0;
    this.ticked = Date.now();
    setInterval(() => this.tick(), 1_000);
    addEventListener("online", () => this.reopen());
  }

  /** @param {string} url */
  follow(url) {
    this.url = url;
    this.wait = FIRST_WAIT_MS;
    this.reopen();
  }

  /** Give the old connection up and make a new one. */
  reopen() {
    this.source?.close();
    if (!this.url) return;
    const source = new EventSource(this.url);
    this.source = source;
    this.heard = Date.now();
    source.addEventListener("open", () => {
      this.wait = FIRST_WAIT_MS;
      this.heard = Date.now();
      this.handlers.onState(true);
      this.handlers.onGap();
    });
    source.addEventListener("taker_volume", (event) => {
      this.heard = Date.now();
      for (const row of [JSON.parse(/** @type {MessageEvent} */ (event).data)].flat()) this.handlers.onRow(row);
    });
    // The log does not reach back that far, or this reader was too slow.
    source.addEventListener("reset", () => this.handlers.onGap());
    source.addEventListener("dropped", () => this.handlers.onGap());
    source.addEventListener("error", () => {
      this.handlers.onState(false);
      // An answer that is no stream ends the browser's own attempts.
      if (source.readyState === EventSource.CLOSED && source === this.source) {
        this.retryAt = Date.now() + this.wait;
        this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
        this.source = null;
      }
    });
  }

  get isOpen() {
    return this.source?.readyState === EventSource.OPEN;
  }

  tick() {
    const now = Date.now();
    const slept = now - this.ticked;
    this.ticked = now;
    if (!this.url) return;
    if (slept > SLEEP_MS && document.visibilityState === "visible") {
      this.handlers.onSlept(slept / 1000);
      this.reopen();
    } else if (!this.source && now >= this.retryAt) {
      this.reopen();
    } else if (this.isOpen && now - this.heard > SILENCE_MS) {
      // A connection that died without a word looks like a quiet one.
      this.reopen();
    }
    if (!this.isOpen && now - this.polled > POLL_MS) {
      this.polled = now;
      this.handlers.onGap();
    }
  }
}
