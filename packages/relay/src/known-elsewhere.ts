/**
 * Senders that are not registered at this relay, but at another one that shares its mailboxes: they are no strangers. The store
 * is asked of a sender in the background, after mail of it was stored, which cost more; until then it is a stranger. So
 * whoever makes up senders makes nobody wait, and causes a bounded number of questions.
 *
 * Bounds: `maxSenders`, `senderLookUps`.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { RelayServerLimits } from "./limits.ts";
import type { MailboxStore } from "./mailbox-store.ts";
import { TokenBucket } from "./token-bucket.ts";

interface Sender {
  readonly askedAt: Millis;
  isRegistered: boolean;
}

export class KnownElsewhere {
  readonly #store: MailboxStore;
  readonly #limits: RelayServerLimits;
  readonly #lookUps: TokenBucket;
  /** The one that was asked of first is first. */
  readonly #senders = new Map<PeerId, Sender>();

  constructor(store: MailboxStore, limits: RelayServerLimits, now: Millis) {
    this.#store = store;
    this.#limits = limits;
    this.#lookUps = new TokenBucket(limits.senderLookUps, now);
  }

  has(peer: PeerId): boolean {
    return this.#senders.get(peer)?.isRegistered === true;
  }

  /** Asks of a sender whose mail was stored, unless that was done lately. What was known of it stays until there is an answer. */
  learn(peer: PeerId, now: Millis): void {
    const known = this.#senders.get(peer);
    const { knownSenderMs, maxSenders } = this.#limits;
    if (this.#store.isRegistered === undefined || (known !== undefined && now - known.askedAt < knownSenderMs)) return;
    if (!this.#lookUps.has(1, now)) return;
    this.#lookUps.take(1);
    const sender = { askedAt: now, isRegistered: known?.isRegistered === true };
    this.#senders.delete(peer);
    this.#senders.set(peer, sender);
    if (this.#senders.size > maxSenders) this.#senders.delete(this.#senders.keys().next().value!);
    this.#store.isRegistered(peer).then(
      (isRegistered) => {
        sender.isRegistered = isRegistered;
      },
      // The store has other things to do: later.
      () => {},
    );
  }
}
