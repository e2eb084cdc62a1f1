/**
 * Mail that nobody here can read. Its sender has to hear of it and send again, and nobody would ask twice: the sender thinks it
 * kept, and a restart forgets that an answer is owed. So the mailbox keeps it until the sender was heard, or a relay has our
 * answer; until then it is given back some time after each answer, comes again, and is answered again. Not before the answer:
 * the sender would be heard while nothing is held, and the mail come again without end.
 *
 * One mail of each sender does: more of them would take the room in mailboxes that the answers need, on both sides.
 *
 * Bounds: `maxUnreadMails`, beyond which the oldest is forgotten, and `unreadMailForMs` for each sender: a stranger may make such
 * mail up.
 */
import type { Millis, PeerId } from "@egtp/wire";
import type { Mail } from "./delivery/mail.ts";
import type { NodeLimits } from "./limits.ts";

interface Unread {
  readonly peer: PeerId;
  readonly mail: Mail;
  readonly backAt: Millis;
}

export class UnreadMail {
  readonly #limits: NodeLimits;
  /** Oldest first. */
  #mails: Unread[] = [];
  /** Since when there is such mail of a sender. At most `maxUnreadMails`; the oldest is forgotten. */
  readonly #since = new Map<PeerId, Millis>();
  /** The envelope that carries our answer to a sender, given to a relay. */
  readonly #answers = new Map<Uint8Array, PeerId>();

  constructor(limits: NodeLimits) {
    this.#limits = limits;
  }

  get isEmpty(): boolean {
    return this.#since.size === 0;
  }

  has(peer: PeerId): boolean {
    return this.#since.has(peer);
  }

  /** Keeps the mailbox from forgetting a mail, for a while. */
  hold(peer: PeerId, mail: Mail, now: Millis): void {
    const { maxUnreadMails, unreadMailMs, unreadMailForMs } = this.#limits;
    const since = this.#since.get(peer) ?? now;
    this.#since.delete(peer);
    this.#since.set(peer, since);
    if (now - since >= unreadMailForMs) {
      this.healed(peer);
      mail.release();
      return;
    }
    if (this.#mails.some((unread) => unread.peer === peer)) {
      mail.release();
      return;
    }
    this.#mails.push({ peer, mail, backAt: now + unreadMailMs });
    if (this.#mails.length > maxUnreadMails) this.#mails.shift()!.mail.release();
    for (const [oldest] of this.#since) {
      if (this.#since.size <= maxUnreadMails) break;
      this.#since.delete(oldest);
    }
  }

  /** An answer to the sender was given to a relay. */
  answered(peer: PeerId, envelope: Uint8Array): void {
    this.#answers.set(envelope, peer);
  }

  /** What became of an envelope that was given to a relay. */
  settled(envelope: Uint8Array, isKept: boolean): void {
    const peer = this.#answers.get(envelope);
    if (peer === undefined) return;
    this.#answers.delete(envelope);
    if (isKept) this.healed(peer);
  }

  /** The sender was heard, or will hear of it. */
  healed(peer: PeerId): void {
    if (!this.#since.delete(peer)) return;
    this.#mails = this.#mails.filter((unread) => {
      if (unread.peer !== peer) return true;
      unread.mail.release();
      return false;
    });
  }

  /**
   * Gives back what was held for long.
   *
   * @param owes - Whether an answer to the peer has yet to leave.
   * @returns When to come again.
   */
  giveBack(now: Millis, owes: (peer: PeerId) => boolean): Millis {
    while (this.#mails.length > 0 && this.#mails[0]!.backAt <= now) {
      const unread = this.#mails.shift()!;
      const { peer, mail } = unread;
      if (!owes(peer)) giveBack(unread);
      else if (now - (this.#since.get(peer) ?? 0) >= this.#limits.unreadMailForMs) {
        this.#since.delete(peer);
        mail.release();
      } else this.#mails.push({ peer, mail, backAt: now + this.#limits.unreadMailMs });
    }
    return this.#mails[0]?.backAt ?? Infinity;
  }

  close(): void {
    for (const unread of this.#mails.splice(0)) giveBack(unread);
  }
}

function giveBack({ mail }: Unread): void {
  mail.refuse();
  mail.release();
}
