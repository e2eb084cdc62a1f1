/**
 * Who asks the admission for mail: each relay that hands some over, with buckets of its own.
 *
 * Bounds: `maxMailSources`; the oldest leaves.
 */
import type { Millis } from "@egtp/wire";
import type { Admission, Asker } from "./admission.ts";

/** Relays whose mail is counted apart: a node is registered with a few. */
const maxMailSources = 16;

export class MailSources {
  readonly #admission: Admission;
  readonly #askers = new Map<string, Asker>();

  constructor(admission: Admission) {
    this.#admission = admission;
  }

  get(source: string, now: Millis): Asker {
    const known = this.#askers.get(source);
    if (known !== undefined) return known;
    const asker = { buckets: this.#admission.forAuthenticatedLink(now), isAuthenticated: false, source };
    this.#askers.set(source, asker);
    for (const oldest of this.#askers.keys()) {
      if (this.#askers.size <= maxMailSources) break;
      this.#askers.delete(oldest);
    }
    return asker;
  }
}
