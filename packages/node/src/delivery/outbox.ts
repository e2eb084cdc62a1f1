/**
 * Everything that is on its way to one peer: what to write into the next envelope, what to send again and when, and
 * what a receipt, a rejection or a reply settles.
 *
 * Three lanes take turns, each with one part's worth of bytes: numbers that are due again, messages in their order, and
 * parts of large messages, of which a few take turns among themselves. So nothing waits for a large message or for a
 * pile of re-sends.
 *
 * @see docs/spec.md, "Delivery"
 */
import {
  type Epoch,
  type FrameReader,
  type FrameWriter,
  type MessageFields,
  type Millis,
  type PeerId,
  partBytes,
  type ReplyFields,
} from "@egtp/wire";
import type { Ledger } from "./ledger.ts";
import {
  impliedRemainingMs,
  mailAskIntervalMs,
  maxAskMs,
  messageSpan,
  minAskMs,
  orderedParts,
  resendBytes,
  triesOfWay,
  windowSize,
} from "./limits.ts";
import {
  delivered,
  expired,
  kept,
  neverLeft,
  type Outcome,
  type RejectReason,
  reasonOfCode,
  type Stored,
  type StrategyFailure,
  settledCode,
} from "./outcome.ts";
import { type Outgoing, partsOf } from "./outgoing.ts";
import { includesNumber } from "./ranges.ts";
import { RoundTrip } from "./round-trip.ts";
import {
  Flight,
  isDue,
  isHandled,
  isMoved,
  isNamed,
  isReceived,
  isResent,
  isSent,
  isStored,
  SendWindow,
} from "./send-window.ts";

/** What the next envelope to a peer travels under, as `Mesgen.carrier` tells it. */
export interface DeliveryCarrier {
  /** Of the session or offer. */
  readonly id: string;
  /** An offer that is not accepted yet. */
  readonly early: boolean;
  /** The epoch of the peer that the session names; unknown while early. */
  readonly theirEpoch: Epoch | undefined;
}

/** How many large messages take turns: their recipient reserves memory for each. */
const maxStreams = 8;
/** Bytes of a message frame beside its body, roughly. */
const frameOverhead = 8;
/** Places that the receipts of one envelope may have looked at. */
const maxVisits = 4 * windowSize;
/** Probes that may still be answered. */
const maxProbes = 4;

/** Where a type name is known. */
interface TypeUse {
  /** The generation of carriers under which a receipt proved that the peer knows the name. */
  known: number;
  /** The last envelope that it went along with. */
  named: number;
}

interface Probe {
  readonly from: number;
  readonly to: number;
  readonly sequence: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const noBytes = new Uint8Array(0);
/** Kept and filled anew for each frame: a fresh object each would cost as much as writing it. */
const messageFields: Mutable<MessageFields> = {
  number: 0,
  typeNumber: 0,
  body: noBytes,
  name: undefined,
  remainingMs: undefined,
  isRequest: false,
  partIndex: undefined,
  totalBytes: undefined,
  toEnd: false,
};
const replyFields: Mutable<ReplyFields> = {
  number: 0,
  requestNumber: 0,
  body: noBytes,
  epoch: undefined,
  partIndex: undefined,
  totalBytes: undefined,
  toEnd: false,
};

/** Unsettled messages and requests to one peer, over all outboxes, and the bytes of their bodies. */
export interface Load {
  messages: number;
  bytes: number;
  /** How often it was asked after mail since it was heard. */
  mailAsks: number;
}

export class Outbox {
  readonly peer: PeerId;
  /** Numbers what is here. */
  readonly epoch: Epoch;
  readonly window: SendWindow;
  readonly roundTrip = new RoundTrip();
  readonly load: Load;
  /** Of those, the ones that must not wait when nothing can leave. */
  #failFast = 0;
  /** One of them may not have left. */
  #isHurried = false;
  /** Unsettled replies. */
  replies = 0;
  replyBytes = 0;

  readonly #ledger: Ledger;
  readonly #statedBase: number | undefined;
  /** Below it, every number left, was passed over, or belongs to a large message. */
  #nextFresh: number;
  /** Messages of more than `orderedParts` of which not every part left. */
  readonly #streams: Outgoing[] = [];
  #streamTurn = 0;
  #turn = 0;

  #carrier = "";
  #generation = 0;
  #types: (TypeUse | undefined)[] = [];

  #expiryAt: Millis = Infinity;
  #resendAt: Millis = Infinity;
  #backoff = 0;
  #askAt: Millis = Infinity;
  #asks = 0;
  /** The peer was heard while some lay in mailboxes, and since we asked after those. */
  #isBack = false;
  #probeDue = false;
  #probes: Probe[] = [];
  /** Someone waits for the receipt of what left since the last prompt. */
  #promptAsked = false;
  /** The peer spoke of our numbers in the envelope that is being read, */
  #isTold = false;
  /** and of some for the first time. */
  #heard = false;
  #visits = 0;
  /** The latest envelope that it confirms for the first time and without doubt. */
  #sampled: Flight | undefined = undefined;

  /** @param statedBase - Of an earlier run: what is stated as the base. */
  constructor(peer: PeerId, ledger: Ledger, load: Load, epoch: Epoch, firstNumber: number, statedBase?: number) {
    this.peer = peer;
    this.#ledger = ledger;
    this.load = load;
    this.epoch = epoch;
    this.window = new SendWindow(firstNumber);
    this.#nextFresh = firstNumber;
    this.#statedBase = statedBase;
  }

  /** What an earlier run left: nothing is added to it. */
  get isEarlier(): boolean {
    return this.#statedBase !== undefined;
  }

  /**
   * What envelopes state as the lowest unsettled number. Of an earlier run only what it kept is known; of what it did not keep
   * some may lie in mailboxes, so that the base stays below all that can still come.
   */
  get base(): number {
    return this.#statedBase ?? this.window.base;
  }

  /** All that is unsettled lies in mailboxes, as far as is known, and nothing is to be asked now. */
  get isWaiting(): boolean {
    const { inFlight, unhandled, stored } = this.window;
    return inFlight === 0 && unhandled === stored && !this.#probeDue;
  }

  /** Nothing is unsettled and nobody awaits a reply. */
  get isQuiet(): boolean {
    return this.window.isEmpty;
  }

  /** Whether a message of so many bytes finds room, as far as this peer is concerned. */
  hasRoom(bytes: number): boolean {
    const { limits } = this.#ledger;
    const { load } = this;
    if (load.messages === 0 && this.window.isEmpty) return true;
    return (
      load.messages < limits.maxOutboxMessages &&
      load.bytes + bytes <= limits.maxOutboxBytes &&
      this.window.top - this.window.base + partsOf(bytes) <= messageSpan
    );
  }

  /** Whether there is room for a while: a quarter of every bound is free. */
  get isRoomy(): boolean {
    const { limits } = this.#ledger;
    return (
      4 * this.load.messages <= 3 * limits.maxOutboxMessages &&
      4 * this.load.bytes <= 3 * limits.maxOutboxBytes &&
      4 * (this.window.top - this.window.base) <= 3 * messageSpan
    );
  }

  /** Takes in a message, request or reply. Room was asked for before; replies need none. */
  add(outgoing: Outgoing): void {
    const { length } = outgoing.body;
    if (outgoing.isReply) {
      this.replies++;
      this.replyBytes += length;
    } else {
      this.load.messages++;
      if (outgoing.failFast) {
        this.#failFast++;
        this.#isHurried = true;
      }
      this.load.bytes += length;
      this.#ledger.outboxBytes += length;
    }
    outgoing.epoch = this.epoch;
    this.window.append(outgoing);
    if (outgoing.parts > orderedParts) this.#streams.push(outgoing);
    if (outgoing.deadlineAt < this.#expiryAt) this.#expiryAt = outgoing.deadlineAt;
  }

  /** Takes in what an earlier run kept, in the order of its numbers. */
  resume(outgoing: Outgoing): void {
    const { length } = outgoing.body;
    this.load.messages++;
    this.load.bytes += length;
    this.#ledger.outboxBytes += length;
    this.#ledger.kept++;
    this.window.restore(outgoing);
    this.#nextFresh = this.window.top;
    // With the first tick, which knows what time it is.
    if (outgoing.stored !== undefined) this.#askAt = -Infinity;
    if (outgoing.deadlineAt < this.#expiryAt) this.#expiryAt = outgoing.deadlineAt;
  }

  /** When `tick` must be called, at the latest. */
  get nextDeadline(): Millis {
    return Math.min(this.#expiryAt, this.#resendAt, this.#askAt);
  }

  /** Whether messages or replies wait to leave, for the first time or again. */
  get hasMessages(): boolean {
    const { window } = this;
    if (window.due > 0) return true;
    if (window.fresh === 0) return false;
    const end = window.base + windowSize;
    return this.#skipToFresh() < Math.min(window.top, end) || this.#streams.some((large) => nextNumber(large) < end);
  }

  /** Whether all that waits must not travel as early data. */
  get onlyEstablished(): boolean {
    const { due, fresh, established } = this.window;
    return established > 0 && established === due + fresh;
  }

  get wantsProbe(): boolean {
    return this.#probeDue;
  }

  /**
   * Writes what waits, as far as there is room. The writer's base was set to that of the window.
   *
   * @returns The envelope, by which the caller may tell what became of it.
   */
  fill(carrier: DeliveryCarrier, writer: FrameWriter, isRelayed: boolean, now: Millis): Flight {
    if (carrier.id !== this.#carrier) {
      this.#carrier = carrier.id;
      this.#generation++;
    }
    const { window } = this;
    const flight = new Flight(this.epoch, ++this.#ledger.flights, now, carrier.id, this.#generation, isRelayed);
    let wroteRequest = false;
    this.#requestsBefore = this.#requestsWritten;
    if (window.due > 0 || window.fresh > 0) wroteRequest = this.#fillMessages(carrier, writer, now, flight);
    if (this.#probeDue) this.#fillProbe(writer, flight);
    if (this.#resendAt === Infinity && window.inFlight > 0) {
      this.#resendAt = now + this.roundTrip.timeout(this.#backoff);
    }
    if (this.#promptAsked && window.fresh === 0 && window.due === 0) {
      // The reply to a request will be its receipt, and carries the others.
      if (wroteRequest || writer.prompt()) this.#promptAsked = false;
    }
    return flight;
  }

  // ---- What a relay says of an envelope that it was given.

  /** Its recipient acknowledged it, so a receipt is under way. */
  passed(flight: Flight, now: Millis): void {
    flight.awaitsFate = false;
    flight.sentAt = now;
    const resendAt = now + this.roundTrip.timeout(this.#backoff);
    if (this.window.inFlight > 0 && resendAt < this.#resendAt) this.#resendAt = resendAt;
  }

  /** It lies in a mailbox: nothing of it is sent again before the peer is heard, or says that it cannot read it. */
  stored(flight: Flight, stored: Stored, now: Millis): void {
    const { window } = this;
    flight.awaitsFate = false;
    // The answer of its recipient may overtake that of the relay: what is due again stays so.
    if (flight.isUnreadable) return;
    flight.storedAt = stored.relay;
    let last: Outgoing | undefined;
    for (let number = Math.max(flight.from, window.base); number < flight.to; number++) {
      const at = number & window.mask;
      const outgoing = window.slots[at];
      if (outgoing === undefined || window.flights[at] !== flight) continue;
      window.store(number);
      // The parts of one message follow one another: it is looked at after the last of those in this envelope.
      if (last !== undefined && outgoing !== last) this.#noteStored(last, stored);
      last = outgoing;
    }
    if (last !== undefined) this.#noteStored(last, stored);
    this.#advance(now);
  }

  #noteStored(outgoing: Outgoing, stored: Stored): void {
    const { window } = this;
    if (outgoing.isReply) return;
    // Of one in parts every part must be there, of which the last is looked at first.
    for (let number = outgoing.number + outgoing.parts - 1; number >= outgoing.number; number--) {
      if (window.at(number) === outgoing && (window.flags[number & window.mask]! & isReceived) === 0) return;
    }
    outgoing.stored = stored;
    outgoing.deadlineAt = Math.max(outgoing.deadlineAt, Math.min(outgoing.storedDeadlineAt, stored.until));
    this.#keep(outgoing);
    this.#ledger.stored.push(outgoing);
  }

  /** What changed of it must be known to the next run too. */
  #keep(outgoing: Outgoing): void {
    if (outgoing.isKept) this.#ledger.maps.keepMessage(outgoing);
  }

  /** The peer collects its mail at these relays: what lies in mailboxes elsewhere leaves again. */
  forsake(relays: ReadonlySet<PeerId>): void {
    const { window } = this;
    if (window.stored === 0) return;
    for (let number = window.base; number < window.sentTop; number++) {
      const at = number & window.mask;
      if ((window.flags[at]! & isStored) === 0) continue;
      const outgoing = window.slots[at]!;
      // Of what an earlier run left only the message knows where it is.
      const relay = window.flights[at]?.storedAt ?? outgoing.stored?.relay;
      if (relay === undefined || relays.has(relay)) continue;
      if (outgoing.stored !== undefined) {
        outgoing.stored = undefined;
        this.#keep(outgoing);
      }
      window.makeDue(number);
    }
  }

  /** The relay did not take it: what is in it waits again, as if it had not left. */
  returned(flight: Flight): void {
    const { window } = this;
    flight.awaitsFate = false;
    for (let number = Math.max(flight.from, window.base); number < flight.to; number++) {
      if (window.flights[number & window.mask] === flight) window.return(number);
    }
    this.#isHurried = true;
  }

  /** Nobody will say what became of it: what is in it leaves again. */
  lost(flight: Flight): void {
    const { window } = this;
    flight.awaitsFate = false;
    for (let number = Math.max(flight.from, window.base); number < flight.to; number++) {
      const at = number & window.mask;
      if (window.flights[at] === flight && (window.flags[at]! & isReceived) === 0) window.makeDue(number);
    }
  }

  // ---- What the peer says. After all frames of an envelope, `afterEnvelope` draws the conclusions.

  takeReceipt(reader: FrameReader): void {
    this.#heard = this.#acknowledge(reader.received) || this.#heard;
    this.#heard = this.#confirm(reader.handled) || this.#heard;
    if (reader.isComplete) this.#complete(reader);
    this.#isTold = true;
  }

  takeRejection(number: number, code: number): void {
    const { window } = this;
    const outgoing = window.at(number);
    if (outgoing === undefined || (window.flags[number & window.mask]! & isSent) === 0) return;
    // How it ended was told by the run that sent it.
    if (this.isEarlier && code === settledCode) this.#withdraw(outgoing);
    else this.#end(outgoing, { state: "rejected", reason: reasonOfCode(code) });
    this.#heard = this.#isTold = true;
  }

  /** The reply came to a request that awaits it. */
  takeReply(request: Outgoing, body: Uint8Array): void {
    const { number } = request;
    const { window } = this;
    if (window.at(number) === request) this.#learn(request, number & window.mask, window.flags[number & window.mask]!);
    request.reply = body;
    this.#end(request, undefined);
    this.#heard = this.#isTold = true;
  }

  /** The reply to a request came and cannot be taken in. */
  refuseReply(request: Outgoing, reason: RejectReason): void {
    this.#end(request, { state: "rejected", reason });
    this.#heard = this.#isTold = true;
  }

  afterEnvelope(now: Millis): void {
    this.load.mailAsks = 0;
    if (this.window.stored > 0) this.#noteBack();
    else if (!this.#isTold) return;
    if (this.#sampled !== undefined) this.roundTrip.add(now - this.#sampled.sentAt);
    if (this.#heard) this.#backoff = 0;
    this.#sampled = undefined;
    this.#visits = 0;
    this.#isTold = this.#heard = false;
    this.#advance(now);
  }

  /** The peer is heard while something lies in mailboxes: it is asked after that, before long. */
  #noteBack(): void {
    if (this.#isBack) return;
    this.#isBack = true;
    this.#askAt = Infinity;
  }

  /** The request of that number that awaits its reply. */
  request(number: number): Outgoing | undefined {
    const outgoing = this.window.at(number);
    return outgoing?.isRequest === true && outgoing.number === number ? outgoing : undefined;
  }

  /** Whether a reply to that request of the peer is still to be received by it. */
  owesReply(epoch: Epoch, requestNumber: number): boolean {
    const { window } = this;
    for (let number = window.base; number < window.top; number++) {
      const outgoing = window.slots[number & window.mask];
      if (outgoing?.requestEpoch === epoch && outgoing.requestNumber === requestNumber) return true;
    }
    return false;
  }

  // ---- What the surroundings say.

  /** The link broke: what was under way on it may not have arrived. */
  linkLost(): void {
    const { window } = this;
    for (let number = window.base; number < window.sentTop; number++) {
      if ((window.flags[number & window.mask]! & isReceived) === 0) window.makeDue(number);
    }
    this.#backoff = 0;
    this.#resendAt = Infinity;
  }

  /** The peer cannot read these sessions or offers: whatever last travelled under them must travel anew. */
  carrierLost(ids: readonly string[]): void {
    const { window } = this;
    for (let number = window.base; number < window.sentTop; number++) {
      const at = number & window.mask;
      const flight = window.flights[at];
      if (flight === undefined || !ids.includes(flight.carrier)) continue;
      flight.isUnreadable = true;
      // Mail that cannot be read is as good as lost.
      const outgoing = window.slots[at]!;
      if (outgoing.stored !== undefined) {
        outgoing.stored = undefined;
        this.#keep(outgoing);
      }
      window.makeDue(number);
    }
    if (ids.includes(this.#carrier)) this.#carrier = "";
    this.#backoff = 0;
  }

  /**
   * The peer forgot what it received and had not handled, our type names, and the replies it owed: a request that it had
   * handled leaves again, to be told that its reply is lost. What lies in a mailbox is still there.
   */
  peerRestarted(now: Millis): void {
    const { window } = this;
    for (let number = window.base; number < window.sentTop; number++) {
      if ((window.flags[number & window.mask]! & isStored) === 0) window.makeDue(number);
    }
    this.#carrier = "";
    this.#backoff = 0;
    this.#probes = [];
    this.#askAt = Infinity;
    this.#advance(now);
  }

  /** Whether something that never left may have to fail fast. */
  get mustFailFast(): boolean {
    return this.#isHurried && this.#failFast > 0 && this.window.fresh + this.window.unsent > 0;
  }

  unreachable(reasons: readonly StrategyFailure[], now: Millis): void {
    if (!this.mustFailFast) return;
    // A relay that refuses it for the recipient answers in the place of the recipient.
    const rejected = reasons.find((reason) => reason.rejected !== undefined)?.rejected;
    const outcome: Outcome =
      rejected === undefined ? { state: "unreachable", reasons } : { state: "rejected", reason: rejected };
    this.#endWhere((outgoing) => (outgoing.failFast && !this.#hasLeft(outgoing) ? outcome : undefined));
    this.#isHurried = false;
    this.#advance(now);
  }

  cancel(outgoing: Outgoing, now: Millis): void {
    if (this.window.at(outgoing.number) !== outgoing) return;
    this.#withdraw(outgoing);
    this.#advance(now);
  }

  /** @param keeps - The store has what it is to keep, so the next run goes on with that. */
  close(keeps: boolean): void {
    this.#endWhere((outgoing) => {
      if (!outgoing.isKept) return outgoing.stored ?? (this.#hasLeft(outgoing) ? expired : neverLeft);
      if (!keeps) return this.#hasLeft(outgoing) ? expired : neverLeft;
      // From now on it is the next run's.
      outgoing.isKept = false;
      return outgoing.stored ?? kept;
    });
    this.#advance(0);
  }

  /** Ends what is too old, and finds out what must be sent again or asked after. */
  tick(now: Millis): void {
    if (now >= this.#expiryAt) this.#expire(now);
    if (now >= this.#resendAt) this.#resend(now);
    if (now >= this.#askAt) {
      if (this.#askAt > -Infinity) this.#ask();
      this.#askAt = now + this.#askInterval();
    }
  }

  #ask(): void {
    this.#probeDue = true;
    if (this.#hearsFromPeer) {
      this.#asks++;
      this.#isBack = false;
      this.#askForReplies();
    } else {
      if (this.load.mailAsks % triesOfWay === 0) this.#ledger.unheard.add(this.peer);
      this.load.mailAsks++;
    }
  }

  /** Whether what is unhandled, or some of it, is with the peer, or the peer spoke since it lies in mailboxes. */
  get #hearsFromPeer(): boolean {
    return this.#isBack || this.window.unhandled > this.window.stored;
  }

  /** Requests that were handled long ago without a reply leave again: their recipient repeats it or knows that it is lost. */
  #askForReplies(): void {
    const { window } = this;
    for (let number = window.base; number < window.sentTop; number++) {
      if ((window.flags[number & window.mask]! & isHandled) === 0) continue;
      // One part of a long request asks as well as all of them.
      if (window.slots[number & window.mask]?.number === number) window.makeDue(number);
    }
  }

  // ---- Writing.

  #fillMessages(carrier: DeliveryCarrier, writer: FrameWriter, now: Millis, flight: Flight): boolean {
    const before = this.#requestsWritten;
    let idle = 0;
    while (idle < 3) {
      const lane = this.#turn;
      const start = writer.length;
      const fitted =
        lane === 0
          ? this.#fillDue(carrier, writer, now, flight)
          : lane === 1
            ? this.#fillFresh(carrier, writer, now, flight)
            : this.#fillPart(carrier, writer, now, flight);
      if (!fitted) {
        // A part waits for an envelope with room for it; small messages take what is left of this one.
        if (lane === 2) while (this.#fillFresh(carrier, writer, now, flight) && this.#hasFresh) {}
        break;
      }
      idle = writer.length > start ? 0 : idle + 1;
      this.#turn = (lane + 1) % 3;
    }
    return this.#requestsWritten > before;
  }

  /** Numbers that are due again, lowest first. @returns `false` when the next one does not fit. */
  #fillDue(carrier: DeliveryCarrier, writer: FrameWriter, now: Millis, flight: Flight): boolean {
    const { window } = this;
    const start = writer.length;
    let waiting = -1;
    let fitted = true;
    let number = window.dueFrom;
    for (; number < window.top && window.due > 0 && writer.length - start < partBytes; number++) {
      const at = number & window.mask;
      if ((window.flags[at]! & isDue) === 0) continue;
      const outgoing = window.slots[at]!;
      if (carrier.early && outgoing.established) {
        if (waiting < 0) waiting = number;
        continue;
      }
      fitted = this.#write(outgoing, number, carrier, writer, now, flight);
      if (!fitted) break;
    }
    window.dueFrom = waiting < 0 ? number : waiting;
    return fitted;
  }

  /** Messages that never left and are not large, in their order. @returns `false` when the next one does not fit. */
  #fillFresh(carrier: DeliveryCarrier, writer: FrameWriter, now: Millis, flight: Flight): boolean {
    const { window } = this;
    const start = writer.length;
    const end = Math.min(window.top, window.base + windowSize);
    let fitted = true;
    let number = this.#nextFresh;
    while (number < end && writer.length - start < partBytes) {
      const outgoing = window.slots[number & window.mask];
      if (outgoing === undefined) number++;
      else if (outgoing.parts > orderedParts) number = outgoing.number + outgoing.parts;
      else if (carrier.early && outgoing.established) window.passOver(number++);
      else {
        fitted = this.#write(outgoing, number, carrier, writer, now, flight);
        if (!fitted) break;
        number++;
      }
    }
    this.#nextFresh = number;
    return fitted;
  }

  /** One part of the large message whose turn it is. @returns `false` when it does not fit. */
  #fillPart(carrier: DeliveryCarrier, writer: FrameWriter, now: Millis, flight: Flight): boolean {
    const streams = this.#streams;
    const end = this.window.base + windowSize;
    for (let tried = 0; tried < Math.min(streams.length, maxStreams); ) {
      if (this.#streamTurn >= Math.min(streams.length, maxStreams)) this.#streamTurn = 0;
      const outgoing = streams[this.#streamTurn]!;
      const number = nextNumber(outgoing);
      if (outgoing.nextPart === outgoing.parts || this.window.at(number) !== outgoing) {
        streams.splice(this.#streamTurn, 1);
        continue;
      }
      if ((carrier.early && outgoing.established) || number >= end) {
        this.#streamTurn++;
        tried++;
        continue;
      }
      if (!this.#write(outgoing, number, carrier, writer, now, flight)) return false;
      outgoing.nextPart++;
      this.#streamTurn++;
      return true;
    }
    return true;
  }

  /** Requests written, in all and before the envelope at hand. */
  #requestsWritten = 0;
  #requestsBefore = 0;

  #write(
    outgoing: Outgoing,
    number: number,
    carrier: DeliveryCarrier,
    writer: FrameWriter,
    now: Millis,
    flight: Flight,
  ): boolean {
    const isReply = outgoing.isReply;
    const fields = isReply ? replyFields : messageFields;
    if (outgoing.parts === 1) {
      fields.body = outgoing.body;
      fields.partIndex = undefined;
      fields.totalBytes = undefined;
    } else {
      const index = number - outgoing.number;
      fields.body = outgoing.body.subarray(index * partBytes, (index + 1) * partBytes);
      fields.partIndex = index;
      fields.totalBytes = outgoing.body.length;
    }
    let named = false;
    // The last frame needs no length; what else there is to say goes before it.
    const isLast = this.window.fresh + this.window.due === 1 && !this.#probeDue;
    fields.toEnd = isLast;
    const prompts = isLast && this.#wantsPrompt(outgoing) && writer.prompt();
    if (isReply) {
      replyFields.number = number;
      replyFields.requestNumber = outgoing.requestNumber;
      replyFields.epoch = outgoing.requestEpoch === carrier.theirEpoch ? undefined : outgoing.requestEpoch;
      if (!writer.reply(replyFields)) return false;
    } else {
      const use = this.#typeUse(outgoing.typeNumber);
      // What lies in a mailbox may be read by a later run of the peer, which knows no names.
      named = (use.known !== flight.generation || flight.awaitsFate) && use.named !== flight.sequence;
      messageFields.number = number;
      messageFields.typeNumber = outgoing.typeNumber;
      messageFields.name = named ? outgoing.type : undefined;
      const deadlineAt = flight.awaitsFate ? outgoing.storedDeadlineAt : outgoing.deadlineAt;
      messageFields.remainingMs = remainingToState(outgoing, Math.ceil(deadlineAt - now));
      messageFields.isRequest = outgoing.isRequest;
      if (!writer.message(messageFields)) return false;
      if (named) use.named = flight.sequence;
      if (outgoing.isRequest) this.#requestsWritten++;
      else if (outgoing.prompt && !isLast) this.#promptAsked = true;
    }
    if (prompts) this.#promptAsked = false;
    this.window.depart(number, outgoing, flight, named);
    return true;
  }

  /** The reply to a request in the same envelope will be the receipt for all. */
  #wantsPrompt(last: Outgoing): boolean {
    if (last.isRequest || this.#requestsWritten > this.#requestsBefore) return false;
    return this.#promptAsked || last.prompt;
  }

  #fillProbe(writer: FrameWriter, flight: Flight): void {
    const { base } = this;
    const { sentTop, inFlight, unhandled } = this.window;
    if (inFlight + unhandled > 0 && sentTop > base) {
      if (!writer.probe(base, sentTop - base)) return;
      this.#probes.push({ from: base, to: sentTop, sequence: flight.sequence });
      if (this.#probes.length > maxProbes) this.#probes.shift();
    }
    this.#probeDue = false;
  }

  #typeUse(typeNumber: number): TypeUse {
    const known = this.#types[typeNumber];
    if (known !== undefined) return known;
    const use: TypeUse = { known: 0, named: 0 };
    while (this.#types.length < typeNumber) this.#types.push(undefined);
    this.#types[typeNumber] = use;
    return use;
  }

  get #hasFresh(): boolean {
    const end = Math.min(this.window.top, this.window.base + windowSize);
    return this.window.fresh > 0 && this.#skipToFresh() < end;
  }

  /** Moves over what is settled, passed over or large. */
  #skipToFresh(): number {
    const { window } = this;
    let number = Math.max(this.#nextFresh, window.base);
    while (number < window.top) {
      const outgoing = window.slots[number & window.mask];
      if (outgoing === undefined) number++;
      else if (outgoing.parts > orderedParts) number = outgoing.number + outgoing.parts;
      else break;
    }
    this.#nextFresh = number;
    return number;
  }

  // ---- Settling.

  /** Notes what was received. @returns Whether any of it was new. */
  #acknowledge(ranges: readonly number[]): boolean {
    const { window } = this;
    let heard = false;
    for (let i = 0; i < ranges.length; i += 2) {
      const to = Math.min(ranges[i + 1]!, window.sentTop);
      if (!this.#mayVisit(to - ranges[i]!)) break;
      for (let number = Math.max(ranges[i]!, window.base); number < to; number++) {
        const at = number & window.mask;
        const outgoing = window.slots[at];
        const flags = window.flags[at]!;
        if (outgoing === undefined || (flags & isSent) === 0) continue;
        if ((flags & isStored) !== 0) window.collect(number);
        else if ((flags & isReceived) !== 0) continue;
        else {
          this.#learn(outgoing, at, flags);
          window.receive(number);
        }
        heard = true;
      }
    }
    return heard;
  }

  /** Settles what was handled. @returns Whether any of it was new. */
  #confirm(ranges: readonly number[]): boolean {
    const { window } = this;
    let heard = false;
    for (let i = 0; i < ranges.length; i += 2) {
      const to = Math.min(ranges[i + 1]!, window.sentTop);
      if (!this.#mayVisit(to - ranges[i]!)) break;
      for (let number = Math.max(ranges[i]!, window.base); number < to; number++) {
        const at = number & window.mask;
        const outgoing = window.slots[at];
        const flags = window.flags[at]!;
        if (outgoing === undefined || (flags & isSent) === 0) continue;
        heard = true;
        if ((flags & isReceived) === 0) this.#learn(outgoing, at, flags);
        if (outgoing.isRequest) {
          // Only its reply ends it: if the peer restarts before that came, it must hear so.
          if ((flags & isReceived) === 0) window.receive(number);
          else if ((flags & isStored) !== 0) window.collect(number);
          window.flags[at]! |= isHandled;
        } else if (outgoing.parts > 1) {
          // The parts of a message are handled together.
          this.#settleNumbers(outgoing);
          this.#finish(outgoing, delivered);
        } else {
          window.settle(number);
          this.#finish(outgoing, delivered);
        }
      }
    }
    return heard;
  }

  /** Whether so many places more may be looked at for the envelope being read: receipts are small, and work is not. */
  #mayVisit(count: number): boolean {
    if (count > 0) this.#visits += Math.min(count, this.window.top - this.window.base);
    return this.#visits <= maxVisits;
  }

  /** What the first receipt of a number tells: how long the way is, and that the peer knows the name of its type. */
  #learn(outgoing: Outgoing, at: number, flags: number): void {
    const flight = this.window.flights[at];
    if (flight === undefined || (flags & (isSent | isReceived)) !== isSent) return;
    if ((flags & isResent) === 0 && flight.sequence > (this.#sampled?.sequence ?? 0)) this.#sampled = flight;
    if ((flags & (isNamed | isMoved)) === isNamed && !outgoing.isReply) {
      this.#typeUse(outgoing.typeNumber).known = flight.generation;
    }
  }

  /** A complete receipt: what it does not list and left before the probe did not arrive, or was given up. */
  #complete(reader: FrameReader): void {
    const { window } = this;
    const { from, to } = reader;
    const index = this.#probes.findLastIndex((probe) => probe.from <= from && to <= probe.to);
    if (index < 0) return;
    const probe = this.#probes[index]!;
    // A long answer comes in several receipts.
    if (to === probe.to) this.#probes.splice(0, index + 1);
    for (let number = Math.max(from, window.base); number < Math.min(to, window.sentTop); number++) {
      // What only an earlier run sent has no envelope here.
      const flight = window.flights[number & window.mask];
      if (flight !== undefined && flight.sequence > probe.sequence) continue;
      if (includesNumber(reader.received, number) || includesNumber(reader.handled, number)) continue;
      window.makeDue(number);
    }
  }

  /** Moves the base over what is settled, and stops the clocks that are not needed any more. */
  #advance(now: Millis): void {
    const { window } = this;
    const { base } = window;
    window.advance();
    if (window.inFlight === 0) this.#resendAt = Infinity;
    if (window.stored === 0) this.#isBack = false;
    if (window.fresh === 0) this.#streams.length = 0;
    if (window.unhandled === 0) {
      this.#askAt = Infinity;
      this.#asks = 0;
    } else if (this.#askAt === Infinity || window.base > base) {
      this.#asks = 0;
      this.#askAt = now + this.#askInterval();
    }
    if (this.isQuiet) {
      this.#expiryAt = Infinity;
      this.#probeDue = false;
      this.#probes.length = 0;
    }
  }

  /** While all lies in mailboxes and the peer is silent, each question is mail as well, and so there are few. */
  #askInterval(): Millis {
    if (!this.#hearsFromPeer) return mailAskIntervalMs(this.load.mailAsks);
    return Math.min(Math.max(this.roundTrip.timeout(), minAskMs) * 2 ** Math.min(this.#asks, 16), maxAskMs);
  }

  #expire(now: Millis): void {
    let next = Infinity;
    this.#endWhere((outgoing) => {
      if (outgoing.deadlineAt <= now) return this.#hasLeft(outgoing) ? expired : neverLeft;
      if (outgoing.deadlineAt < next) next = outgoing.deadlineAt;
      return undefined;
    });
    this.#expiryAt = next;
    this.#advance(now);
  }

  /** Some number is out longer than a receipt takes: the oldest ones leave again, and a probe asks for the rest. */
  #resend(now: Millis): void {
    const oldest = this.#oldestFlight();
    const sentBy = now - this.roundTrip.timeout(this.#backoff);
    if (oldest > sentBy) {
      this.#resendAt = oldest + (now - sentBy);
      return;
    }
    this.#resendOldest(sentBy);
    this.#backoff++;
    if (this.#backoff % triesOfWay === 0) this.#ledger.unheard.add(this.peer);
    this.#probeDue = true;
    this.#resendAt = now + this.roundTrip.timeout(this.#backoff);
  }

  /** When the first of those left that are neither received nor due again. */
  #oldestFlight(): Millis {
    const { window } = this;
    let oldest = Infinity;
    for (let number = window.base; number < window.sentTop; number++) {
      const at = number & window.mask;
      if ((window.flags[at]! & (isSent | isReceived | isDue)) !== isSent) continue;
      const { sentAt, awaitsFate } = window.flights[at]!;
      if (!awaitsFate && sentAt < oldest) oldest = sentAt;
    }
    return oldest;
  }

  /** Makes due what left by then and is not received, lowest first, up to one envelope. */
  #resendOldest(sentBy: Millis): void {
    const { window } = this;
    let bytes = 0;
    for (let number = window.base; number < window.sentTop && bytes < resendBytes; number++) {
      const at = number & window.mask;
      if ((window.flags[at]! & (isSent | isReceived | isDue)) !== isSent) continue;
      const { sentAt, awaitsFate } = window.flights[at]!;
      if (awaitsFate || sentAt > sentBy) continue;
      bytes += Math.min(window.slots[at]!.body.length, partBytes) + frameOverhead;
      window.makeDue(number);
    }
  }

  /** Whether any of it left. */
  #hasLeft({ number, parts }: Outgoing): boolean {
    const { window } = this;
    for (let part = number; part < number + parts; part++) {
      if (window.at(part) === undefined) return true;
      if ((window.flags[part & window.mask]! & isSent) !== 0) return true;
    }
    return false;
  }

  /** Ends all unsettled messages that are given an outcome. */
  #endWhere(outcomeOf: (outgoing: Outgoing) => Outcome | undefined): void {
    const { window } = this;
    for (let number = window.base; number < window.top; number++) {
      const outgoing = window.slots[number & window.mask];
      if (outgoing === undefined || outgoing.isDone) continue;
      const outcome = outcomeOf(outgoing);
      if (outcome === undefined) continue;
      this.#settleNumbers(outgoing);
      this.#finish(outgoing, outcome);
    }
  }

  #end(outgoing: Outgoing, outcome: Outcome | undefined): void {
    this.#settleNumbers(outgoing);
    this.#finish(outgoing, outcome);
  }

  /** Ends it without a word. */
  #withdraw(outgoing: Outgoing): void {
    outgoing.isDone = true;
    this.#release(outgoing);
    this.#settleNumbers(outgoing);
  }

  /** Empties its places; the base moves with {@link #advance}. */
  #settleNumbers(outgoing: Outgoing): void {
    const { window } = this;
    for (let number = outgoing.number; number < outgoing.number + outgoing.parts; number++) {
      if (window.at(number) === outgoing) window.settle(number);
    }
  }

  #finish(outgoing: Outgoing, outcome: Outcome | undefined): void {
    outgoing.isDone = true;
    outgoing.outcome = outcome;
    this.#release(outgoing);
    if (!outgoing.isReply) this.#ledger.finished.push(outgoing);
  }

  #release(outgoing: Outgoing): void {
    const { length } = outgoing.body;
    if (outgoing.isReply) {
      this.replies--;
      this.replyBytes -= length;
    } else {
      this.load.messages--;
      if (outgoing.failFast) this.#failFast--;
      this.load.bytes -= length;
      this.#ledger.outboxBytes -= length;
      if (outgoing.isKept) {
        this.#ledger.kept--;
        this.#ledger.maps.dropMessage(outgoing);
      }
    }
  }
}

/** What remains of a message, or `undefined` when its recipient may go by what is implied. */
function remainingToState({ isRequest }: Outgoing, remainingMs: Millis): Millis | undefined {
  if (remainingMs === Infinity) return undefined;
  const isImplied = !isRequest && remainingMs <= impliedRemainingMs && remainingMs >= impliedRemainingMs / 2;
  return isImplied ? undefined : Math.max(0, remainingMs);
}

function nextNumber(large: Outgoing): number {
  return large.number + large.nextPart;
}
