/** How long a receipt takes to come back, as RFC 6298 estimates it, and the retransmission time that follows from it. */
import type { Millis } from "@egtp/wire";
import { initialRtoMs, maxRtoMs, minRtoMs, receiptDelayMs } from "./limits.ts";

export class RoundTrip {
  #smoothed: Millis = -1;
  #variation: Millis = 0;

  /** @param sample - Of something sent once: after a re-send nobody knows which copy was receipted (Karn). */
  add(sample: Millis): void {
    if (!(sample >= 0)) return;
    if (this.#smoothed < 0) {
      this.#smoothed = sample;
      this.#variation = sample / 2;
      return;
    }
    this.#variation += (Math.abs(this.#smoothed - sample) - this.#variation) / 4;
    this.#smoothed += (sample - this.#smoothed) / 8;
  }

  /** The retransmission time, doubled `backoff` times. */
  timeout(backoff = 0): Millis {
    const once = this.#smoothed < 0 ? initialRtoMs : this.#smoothed + 4 * this.#variation + receiptDelayMs;
    return Math.min(Math.max(once, minRtoMs) * 2 ** Math.min(backoff, 16), maxRtoMs);
  }
}
