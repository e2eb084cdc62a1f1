/**
 * The door of a listening transport: how many may come in, from where, and for whom.
 *
 * It opens no socket and sets no timer; the transports bring those. Its tables are bounded by `maxLinks` and
 * `maxUsedSalts`.
 */
import { type PeerId, peerIdToBytes } from "@egtp/wire";
import { matchDialTag, type Sha512, UsedSalts } from "./dial-tag.ts";
import { type Link, noRefusals, type RefusalReason } from "./transport.ts";
import { dialSaltBytes, type TransportLimits } from "./transport-limits.ts";

/** An identity behind the door. */
export interface Resident {
  readonly peer: PeerId;
  readonly key: Uint8Array;
  readonly onLink: (link: Link) => void;
}

/** The place of one connection that was let in. */
export interface Admission {
  /** It counts as a stranger no more. */
  authenticated(): void;
  /** It is gone. More calls do no harm. */
  leave(): void;
}

export class Door {
  readonly refusals: Record<RefusalReason, number> = { ...noRefusals };
  readonly #sha512: Sha512;
  readonly #limits: TransportLimits;
  readonly #salts: UsedSalts;
  readonly #residents = new Map<PeerId, Resident>();
  readonly #book: GuestBook = { guests: new Counts(), strangers: new Counts(), queue: new Set() };

  constructor(sha512: Sha512, limits: TransportLimits) {
    this.#sha512 = sha512;
    this.#limits = limits;
    this.#salts = new UsedSalts(limits.maxUsedSalts);
  }

  /** @throws `TypeError` when the identity lives here already. */
  moveIn(peer: PeerId, onLink: (link: Link) => void): Resident {
    if (this.#residents.has(peer)) throw new TypeError(`This transport serves ${peer} already`);
    const resident = { peer, key: peerIdToBytes(peer), onLink };
    this.#residents.set(peer, resident);
    return resident;
  }

  moveOut(resident: Resident): void {
    if (this.#residents.get(resident.peer) === resident) this.#residents.delete(resident.peer);
  }

  get empty(): boolean {
    return this.#residents.size === 0;
  }

  /**
   * Lets a connection in, or counts why not.
   *
   * @param displace - Called when it has to make room while it is unauthenticated; it is not counted from then on.
   */
  admit(source: string, displace: () => void): Admission | undefined {
    const limits = this.#limits;
    const { guests, strangers } = this.#book;
    if (guests.total >= limits.maxLinks) return this.refuse("full");
    if (guests.of(source) >= limits.maxLinksPerSource) return this.refuse("source-full");
    if (strangers.of(source) >= limits.maxUnauthenticatedPerSource) return this.refuse("source-full");
    if (strangers.total >= limits.maxUnauthenticated) this.#displaceOldest();
    return new Guest(this.#book, source, displace);
  }

  /**
   * Finds the identity that a dial tag names, once for each tag.
   *
   * @param tag - 32 bytes from outside.
   */
  recognise(tag: Uint8Array, now: number): Resident | undefined {
    const residents = [...this.#residents.values()];
    const found =
      residents[
        matchDialTag(
          this.#sha512,
          tag,
          residents.map((resident) => resident.key),
        )
      ];
    if (found === undefined) return this.refuse("wrong-target");
    if (!this.#salts.use(tag.subarray(0, dialSaltBytes), now)) return this.refuse("replayed");
    return found;
  }

  refuse(reason: RefusalReason): undefined {
    this.refusals[reason] += 1;
  }

  #displaceOldest(): void {
    const [oldest] = this.#book.queue;
    oldest?.makeRoom();
  }
}

interface GuestBook {
  readonly guests: Counts;
  readonly strangers: Counts;
  /** Those of the guests that are not authenticated, oldest first. */
  readonly queue: Set<Guest>;
}

class Guest implements Admission {
  readonly #book: GuestBook;
  readonly #source: string;
  /** Only strangers make room: what it refers to is not kept for longer. */
  #displace: (() => void) | undefined;
  #isPresent = true;

  constructor(book: GuestBook, source: string, displace: () => void) {
    this.#book = book;
    this.#source = source;
    this.#displace = displace;
    book.guests.add(source);
    book.strangers.add(source);
    book.queue.add(this);
  }

  authenticated(): void {
    const { queue, strangers } = this.#book;
    if (queue.delete(this)) strangers.subtract(this.#source);
    this.#displace = undefined;
  }

  leave(): void {
    this.authenticated();
    if (this.#isPresent) this.#book.guests.subtract(this.#source);
    this.#isPresent = false;
  }

  makeRoom(): void {
    const displace = this.#displace;
    this.leave();
    displace?.();
  }
}

/** Counts by source and in total. */
class Counts {
  total = 0;
  readonly #bySource = new Map<string, number>();

  of(source: string): number {
    return this.#bySource.get(source) ?? 0;
  }

  add(source: string): void {
    this.total += 1;
    this.#bySource.set(source, this.of(source) + 1);
  }

  subtract(source: string): void {
    this.total -= 1;
    const left = this.of(source) - 1;
    if (left > 0) this.#bySource.set(source, left);
    else this.#bySource.delete(source);
  }
}
