/**
 * Follows peers for whom mail lies in mailboxes. Such a peer may have left that relay, by now or for good, and then only a newer
 * contact record of it tells where to. While nobody hands us that, it is asked for: soon at first, then ever more rarely.
 *
 * Bounds: the peers that delivery has mail for; of those `maxAtOnce` are looked up at a time.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { NodeLimits } from "./limits.ts";

/** Lookups begun together; whoever has mail in many mailboxes spreads them. */
const maxAtOnce = 32;
const nextFewMs: Millis = 1_000;

export class MailFollower {
  readonly #limits: NodeLimits;
  readonly #peers = new Map<PeerId, { at: Millis; pauseMs: Millis }>();
  /** When to look again; `Infinity` while there is no such mail. */
  #at: Millis = Infinity;

  constructor(limits: NodeLimits) {
    this.#limits = limits;
  }

  /** When {@link due} is to be asked next. */
  next(inMailboxes: ReadonlySet<PeerId>, now: Millis): Millis {
    if (inMailboxes.size === 0) {
      this.#peers.clear();
      this.#at = Infinity;
    } else if (this.#at === Infinity) this.#at = now + this.#limits.followMailMs;
    return this.#at;
  }

  /** The peers that are to be looked up now. */
  due(inMailboxes: ReadonlySet<PeerId>, now: Millis): PeerId[] {
    if (now < this.#at) return [];
    const { followMailMs, maxFollowMailMs } = this.#limits;
    for (const peer of this.#peers.keys()) if (!inMailboxes.has(peer)) this.#peers.delete(peer);
    const due: PeerId[] = [];
    for (const peer of inMailboxes) {
      const known = this.#peers.get(peer) ?? { at: now, pauseMs: followMailMs / 2 };
      if (known.at > now) continue;
      if (due.length === maxAtOnce) break;
      const pauseMs = Math.min(2 * known.pauseMs, maxFollowMailMs);
      this.#peers.set(peer, { at: now + pauseMs, pauseMs });
      due.push(peer);
    }
    this.#at = now + (due.length === maxAtOnce ? nextFewMs : followMailMs);
    return due;
  }
}
