/**
 * The numbers of one peer that are not settled: a ring with a place for each number from the lowest unsettled one,
 * `base`, to the next one to be given out, `top`. A place holds the message of the number, the envelope it last left
 * in, and how far it is. An empty place is settled.
 *
 * It counts what is in which state, so that "is there anything to do" costs nothing. It decides nothing.
 */
import type { Epoch, Millis, PeerId } from "@egtp/wire";
import type { Outgoing } from "./outgoing.ts";

/** One envelope that left with messages. */
export class Flight {
  /** What its messages are numbered in. */
  readonly epoch: Epoch;
  readonly sequence: number;
  sentAt: Millis;
  /** The session or offer it travelled under, */
  readonly carrier: string;
  /** and how often the carrier had changed by then. */
  readonly generation: number;
  /** It was given to a relay, which has not said what became of it: until then no timer sends anything of it again. */
  awaitsFate: boolean;
  /** Its recipient said so: wherever it lies, it is of no use. */
  isUnreadable = false;
  /** Receipts or rejections went along. */
  hasAnswers = false;
  /** Where it lies, or lay, in a mailbox. */
  storedAt: PeerId | undefined = undefined;
  /** All its numbers lie in [from, to). */
  from = Infinity;
  to = 0;

  constructor(epoch: Epoch, sequence: number, sentAt: Millis, carrier: string, generation: number, isRelayed: boolean) {
    this.epoch = epoch;
    this.sequence = sequence;
    this.sentAt = sentAt;
    this.carrier = carrier;
    this.generation = generation;
    this.awaitsFate = isRelayed;
  }
}

/** It left at least once. */
export const isSent = 1;
/** The recipient has it. */
export const isReceived = 2;
/** It must leave again, or was passed over when it should have left first. */
export const isDue = 4;
/** It left more than once. */
export const isResent = 8;
/** The name of its type went along. */
export const isNamed = 16;
/** It left under more than one carrier: a receipt for it may be for an earlier copy. */
export const isMoved = 32;
/** A request that was handled and whose reply has not come. */
export const isHandled = 64;
/** With `isReceived`: not the recipient has it, but a mailbox. */
export const isStored = 128;

const noSlots: (Outgoing | undefined)[] = [];
const noFlights: (Flight | undefined)[] = [];
const noFlags = new Uint8Array(0);
/** Places of the smallest ring. */
const smallRing = 16;

export class SendWindow {
  base: number;
  top: number;
  /** One above the highest number that ever left. */
  sentTop: number;
  slots = noSlots;
  flights = noFlights;
  flags: Uint8Array = noFlags;
  mask = -1;

  /** Numbers that never left and were not passed over. */
  fresh = 0;
  /** Numbers that must leave again, or were passed over. No such number lies below `dueFrom`. */
  due = 0;
  dueFrom: number;
  /** Among both, those that must not travel as early data. */
  established = 0;
  /** Numbers that left and are not known to be received. */
  inFlight = 0;
  /** Numbers that were received and are not settled. */
  unhandled = 0;
  /** Of those, the ones that lie in mailboxes. */
  stored = 0;
  /** Among `due`, numbers that never left. */
  unsent = 0;

  constructor(first: number) {
    this.base = first;
    this.top = first;
    this.sentTop = first;
    this.dueFrom = first;
  }

  get isEmpty(): boolean {
    return this.base === this.top;
  }

  /** The message of an unsettled number. */
  at(number: number): Outgoing | undefined {
    return number >= this.base && number < this.top ? this.slots[number & this.mask] : undefined;
  }

  /** Gives the message its numbers, one for each part. */
  append(outgoing: Outgoing): void {
    const { parts } = outgoing;
    const number = this.top;
    if (number + parts - this.base > this.mask + 1) this.#grow(number + parts - this.base);
    outgoing.number = number;
    for (let i = 0; i < parts; i++) this.slots[(number + i) & this.mask] = outgoing;
    this.top = number + parts;
    this.fresh += parts;
    if (outgoing.established) this.established += parts;
  }

  /**
   * Takes in a message of an earlier run under the number that it had there, above all others. It may have left then, and is
   * due again unless a mailbox has it. No envelope of this run is known for it yet.
   */
  restore(outgoing: Outgoing): void {
    const { number, parts } = outgoing;
    const end = number + parts;
    if (end - this.base > this.mask + 1) this.#grow(end - this.base);
    const isInMailbox = outgoing.stored !== undefined;
    for (let i = number; i < end; i++) {
      this.slots[i & this.mask] = outgoing;
      this.flags[i & this.mask] = isSent | isResent | (isInMailbox ? isReceived | isStored : isDue);
    }
    this.top = this.sentTop = end;
    if (isInMailbox) {
      this.unhandled += parts;
      this.stored += parts;
    } else {
      this.inFlight += parts;
      this.due += parts;
      if (outgoing.established) this.established += parts;
    }
  }

  /** The number leaves. */
  depart(number: number, outgoing: Outgoing, flight: Flight, named: boolean): void {
    const at = number & this.mask;
    let flags = this.flags[at]!;
    if ((flags & isDue) === 0) this.fresh--;
    else this.due--;
    if (outgoing.established) this.established--;
    if ((flags & isSent) === 0) {
      if ((flags & isDue) !== 0) this.unsent--;
      this.inFlight++;
      if (number >= this.sentTop) this.sentTop = number + 1;
    } else {
      flags |= isResent;
      if (this.flights[at]?.generation !== flight.generation) flags |= isMoved;
    }
    flags = (flags & ~isDue) | isSent;
    this.flags[at] = named ? flags | isNamed : flags;
    this.flights[at] = flight;
    if (number < flight.from) flight.from = number;
    if (number >= flight.to) flight.to = number + 1;
  }

  /** A number that never left lets others go first. */
  passOver(number: number): void {
    this.flags[number & this.mask]! |= isDue;
    this.fresh--;
    this.due++;
    this.unsent++;
    if (number < this.dueFrom) this.dueFrom = number;
  }

  /** A number that left must leave again. */
  makeDue(number: number): void {
    const at = number & this.mask;
    let flags = this.flags[at]!;
    const outgoing = this.slots[at];
    if (outgoing === undefined || (flags & (isSent | isDue)) !== isSent) return;
    if ((flags & isReceived) !== 0) {
      if ((flags & isStored) !== 0) this.stored--;
      flags &= ~(isReceived | isStored);
      this.unhandled--;
      this.inFlight++;
    }
    this.flags[at] = flags | isDue;
    this.due++;
    if (outgoing.established) this.established++;
    if (number < this.dueFrom) this.dueFrom = number;
  }

  /** A number that left was received, which was not known. */
  receive(number: number): void {
    const at = number & this.mask;
    const flags = this.flags[at]!;
    if ((flags & isDue) !== 0) {
      this.due--;
      if (this.slots[at]!.established) this.established--;
    }
    this.flags[at] = (flags & ~isDue) | isReceived;
    this.inFlight--;
    this.unhandled++;
  }

  /** A number that left lies in a mailbox: as good as received, as long as the mailbox keeps it. */
  store(number: number): void {
    const at = number & this.mask;
    if ((this.flags[at]! & (isSent | isReceived)) !== isSent) return;
    this.receive(number);
    this.flags[at]! |= isStored;
    this.stored++;
  }

  /** What lay in a mailbox is with its recipient. */
  collect(number: number): void {
    this.flags[number & this.mask]! &= ~isStored;
    this.stored--;
  }

  /** The only envelope with this number came back: it is as if it had never left. */
  return(number: number): void {
    const at = number & this.mask;
    if ((this.flags[at]! & (isSent | isReceived)) !== isSent) return;
    this.makeDue(number);
    if ((this.flags[at]! & isResent) !== 0) return;
    this.flags[at] = isDue;
    this.flights[at] = undefined;
    this.inFlight--;
    this.unsent++;
  }

  /** Empties the place of an unsettled number. Call {@link advance} after the last one. */
  settle(number: number): void {
    const at = number & this.mask;
    const flags = this.flags[at]!;
    if ((flags & (isSent | isDue)) !== isSent) {
      if ((flags & isDue) !== 0) {
        this.due--;
        if ((flags & isSent) === 0) this.unsent--;
      } else this.fresh--;
      if (this.slots[at]!.established) this.established--;
    }
    if ((flags & isStored) !== 0) this.stored--;
    if ((flags & isSent) !== 0) {
      if ((flags & isReceived) !== 0) this.unhandled--;
      else this.inFlight--;
    }
    this.slots[at] = undefined;
    this.flights[at] = undefined;
    this.flags[at] = 0;
  }

  /** Moves the base over what is settled. */
  advance(): void {
    const { slots, mask, top } = this;
    let { base } = this;
    while (base < top && slots[base & mask] === undefined) base++;
    this.base = base;
    if (this.dueFrom < base) this.dueFrom = base;
    // An idle conversation keeps no ring: there are many, and a ring is made in no time.
    if (base === top && mask >= 0) {
      this.slots = noSlots;
      this.flights = noFlights;
      this.flags = noFlags;
      this.mask = -1;
    }
  }

  #grow(span: number): void {
    let size = Math.max(smallRing, this.mask + 1);
    while (size < span) size *= 2;
    // Array.from takes ten times as long.
    // oxlint-disable-next-line unicorn/no-new-array
    const slots = new Array<Outgoing | undefined>(size).fill(undefined);
    // oxlint-disable-next-line unicorn/no-new-array
    const flights = new Array<Flight | undefined>(size).fill(undefined);
    const flags = new Uint8Array(size);
    for (let number = this.base; number < this.top; number++) {
      const from = number & this.mask;
      const to = number & (size - 1);
      slots[to] = this.slots[from];
      flights[to] = this.flights[from];
      flags[to] = this.flags[from]!;
    }
    this.slots = slots;
    this.flights = flights;
    this.flags = flags;
    this.mask = size - 1;
  }
}
