/**
 * Everything that comes from one peer: it places numbers, hands messages to the sink in the order received, keeps those
 * whose handlers have not returned, puts parts together, and says in receipts and rejections what became of them.
 *
 * A number is receipted only when it was placed or is proven to be handled: a receipt for what never ran is the worst
 * fault there is.
 *
 * @see docs/spec.md, "Delivery"
 */
import type { Counterparty, HandledMarks } from "@egtp/session-store";
import {
  type Epoch,
  type FrameReader,
  type FrameWriter,
  type Millis,
  maxReceiptRanges,
  type PeerId,
  WireError,
} from "@egtp/wire";
import { Assembly } from "./assembly.ts";
import { EpochInbox } from "./epoch-inbox.ts";
import { type Arrival, Incoming } from "./incoming.ts";
import type { Ledger } from "./ledger.ts";
import {
  epochMemoryMs,
  impliedRemainingMs,
  maxEpochs,
  maxForgottenEpochs,
  maxOpenEpochs,
  maxToldAgain,
  maxTypeNames,
  receiptBytes,
  receiptDelayMs,
  receiptEnvelopes,
  rejectionMemoryMs,
  unheardAfterMs,
} from "./limits.ts";
import type { Mail } from "./mail.ts";
import type { Outboxes } from "./outboxes.ts";
import { codeOfReason, type RejectReason, settledCode } from "./outcome.ts";
import { type Outgoing, partsOf } from "./outgoing.ts";
import { addRange, dropBelow, includesNumber, subtractRanges } from "./ranges.ts";

/** What came out of a session or offer, as `Mesgen.open` tells it. */
export interface Delivered {
  /** The session or offer it came under. */
  readonly carrier: string;
  readonly early: boolean;
  /** The epoch that numbers the peer's messages. */
  readonly theirEpoch: Epoch;
  /**
   * The epoch of ours that the session names: a reply that names no epoch answers a request of that one. Leave it out
   * for a session of an earlier run; such a reply is then taken for one that nobody awaits.
   */
  readonly ourEpoch?: Epoch | undefined;
  /** Given over: handlers get views of it. */
  readonly frames: Uint8Array;
  /** It came out of a mailbox. */
  readonly mail?: Mail | undefined;
}

/** What taking in an envelope came to. */
export interface Received {
  /** A message used a type number whose name is not known here: name the carrier to the peer as unusable. */
  readonly unplaced: boolean;
  /** The peer broke a rule of the format. What came before in the envelope stands, the rest was not read. */
  readonly fault: WireError | undefined;
}

interface Rejection {
  readonly epoch: Epoch;
  readonly number: number;
  readonly code: number;
}

/** What is committed together. */
interface Batch {
  readonly epochs: readonly EpochInbox[];
  readonly mail: readonly Mail[];
}

/** Rejections that wait to leave; others are repeated when the peer asks again. */
const maxRejections = 4_096;
const noBytes = new Uint8Array(0);
const noMail: readonly Mail[] = [];
const fine: Received = { unplaced: false, fault: undefined };

export class Inbox {
  readonly peer: PeerId;
  readonly #ledger: Ledger;
  readonly #outboxes: Outboxes;
  /** Most recently opened first. */
  #epochs: EpochInbox[] = [];

  /** Messages whose handlers have not returned, and what is there of messages in parts. */
  #held = 0;
  #heldBytes = 0;
  /** Held for want of a handler. */
  #waiting: Incoming[] = [];
  #waitUntil: Millis = Infinity;

  /** With handled marks that are not staged in the maps, */
  #touched: EpochInbox[] = [];
  /** or staged there and not known to be kept, oldest first. */
  #committing: Batch[] = [];
  /** Mail of which something is finished with, as soon as the marks that are not staged yet are kept. */
  #mail: Mail[] = [];

  #rejections: Rejection[] = [];
  /** When what is to be receipted must leave; `Infinity` when there is nothing. */
  #receiptAt: Millis = Infinity;
  /** The peer waits for the next receipt, or much came since the last. */
  #isUrgent = false;
  #envelopes = 0;
  #bytes = 0;
  #usedAt: Millis = 0;
  /** How often answers that may have been lost were said again since the peer was heard. */
  #toldAgain = 0;
  /** How the lowest number stands that the peer keeps, as it was told; see {@link EpochInbox.standing}. */
  #told = NaN;
  /** Since when it is told so. */
  #toldAt: Millis = 0;
  /** The peer asks, in the envelope that is being read, for what came before. */
  #isAsked = false;

  constructor(peer: PeerId, ledger: Ledger, outboxes: Outboxes) {
    this.peer = peer;
    this.#ledger = ledger;
    this.#outboxes = outboxes;
  }

  /** Whether nothing would be lost that cannot be had again from the maps, but rejections of long ago. */
  isForgettable(now: Millis): boolean {
    return (
      this.#held === 0 &&
      this.#rejections.length === 0 &&
      this.#epochs.every((inbox) => inbox.isQuiet && (inbox.window.isPlain || now - this.#usedAt > rejectionMemoryMs))
    );
  }

  /** The peer was not heard for long, and no handler is at work for it: what there is to tell it finds no way. */
  isAbandoned(now: Millis): boolean {
    let idle = this.#waiting.length;
    for (const { isTouched, committing, assemblies } of this.#epochs) {
      if (isTouched || committing.length > 0) return false;
      idle += assemblies?.size ?? 0;
    }
    return idle === this.#held && now - this.#usedAt > rejectionMemoryMs;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Whether a receipt or rejection must leave now. */
  isDue(now: Millis): boolean {
    return this.#receiptAt <= now || this.#rejections.length > 0;
  }

  /** When `tick` must be called, or a receipt leave, at the latest; what is due already is not counted. */
  nextDeadline(now: Millis): Millis {
    return this.#receiptAt > now ? Math.min(this.#receiptAt, this.#waitUntil) : this.#waitUntil;
  }

  // ---- Taking in.

  receive(reader: FrameReader, opened: Delivered, now: Millis): Received {
    let epoch = opened.theirEpoch;
    let inbox = this.#open(epoch, now);
    let arrival = this.#arrival(inbox, opened, now);
    this.#usedAt = now;
    this.#toldAgain = 0;
    this.#isAsked = false;
    const { mail } = opened;
    const ledger = this.#ledger;
    const outboxes = this.#outboxes;
    let isEarlier = false;
    let unplaced = false;
    let fault: WireError | undefined;
    let wantsReceipt = false;
    let isPrompt = false;
    let runFrom = 0;
    let runTo = 0;
    let pending: Incoming[] | undefined;
    let settledHere = 0;
    for (;;) {
      try {
        if (!reader.next()) break;
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        fault = error;
        break;
      }
      const { kind } = reader;
      if (kind === "message" || kind === "reply") {
        wantsReceipt = true;
        const { number } = reader;
        if (inbox === undefined || arrival === undefined) {
          this.#refuse(epoch, number, "not-placed");
          continue;
        }
        const { window } = inbox;
        if (isEarlier && number < window.watermark) {
          this.#pushRejection(epoch, number, settledCode);
          continue;
        }
        if (reader.base > window.watermark) this.#advance(inbox, reader.base);
        if (!window.fits(number)) {
          this.#refuse(inbox.epoch, number, "not-placed");
          continue;
        }
        if (kind === "reply") {
          if (window.has(number)) this.#repeat(inbox, number, false);
          else this.#takeReply(reader, inbox, opened, mail, now);
          continue;
        }
        if (reader.name !== undefined) bind(inbox, reader.typeNumber, reader.name);
        if (window.has(number)) {
          this.#repeat(inbox, number, reader.isRequest);
          continue;
        }
        const type = inbox.types[reader.typeNumber];
        if (type === undefined || (reader.name !== undefined && reader.name !== type)) {
          if (reader.typeNumber >= maxTypeNames) this.#refuse(inbox.epoch, number, "quota");
          else {
            unplaced = true;
            mail?.refuse();
          }
          continue;
        }
        const isPart = reader.partIndex !== undefined;
        let length = reader.bodyEnd - reader.bodyStart;
        let body: Uint8Array | undefined;
        let carriers: readonly Mail[] = mail === undefined ? noMail : [mail];
        if (reader.totalBytes > ledger.limits.maxMessageBytes) {
          window.place(number);
          this.#reject(inbox, number, 1, "too-large");
          settledHere++;
          continue;
        }
        if (isPart) {
          const assembly = this.#takePart(reader, inbox, undefined, mail, now);
          if (assembly === undefined || !assembly.isComplete) continue;
          carriers = assembly.mail;
          for (const each of carriers) each.hold();
          body = this.#complete(inbox, assembly);
          length = body.length;
        } else {
          if (!inbox.hasPlaceFor(number) || !this.#hasRoom(length, reader.isRequest)) {
            mail?.refuse();
            continue;
          }
          window.place(number);
        }
        const incoming = new Incoming(
          arrival,
          reader.firstNumber,
          isPart ? partsOf(length) : 1,
          type,
          reader.isRequest,
          remainingOf(reader),
          reader.bodyStart,
          reader.bodyEnd,
          body,
          carriers,
        );
        const verdict = this.#hand(incoming);
        if (incoming.isDone) settledHere++;
        else if (verdict === "handled") {
          incoming.isDone = true;
          settledHere++;
          if (incoming.number === runTo) {
            runTo += incoming.parts;
          } else {
            if (runFrom < runTo) this.#handle(inbox, runFrom, runTo);
            runFrom = incoming.number;
            runTo = runFrom + incoming.parts;
          }
        } else if (this.#keep(incoming, verdict)) {
          if (pending === undefined) pending = [incoming];
          else pending.push(incoming);
        } else settledHere++;
        if (isPart) for (const each of carriers) this.#finish(each);
        continue;
      }
      switch (kind) {
        case "receipt":
          outboxes.of(reader.epoch!)?.takeReceipt(reader);
          break;
        case "rejection":
          outboxes.of(reader.epoch!)?.takeRejection(reader.number, reader.code);
          break;
        case "earlierEpoch":
          epoch = reader.epoch!;
          isEarlier = epoch !== opened.theirEpoch;
          inbox = this.#open(epoch, now, isEarlier);
          arrival = this.#arrival(inbox, opened, now);
          break;
        case "probe":
          wantsReceipt = true;
          if (inbox !== undefined) {
            if (reader.base > inbox.window.watermark) this.#advance(inbox, reader.base);
            inbox.probeFrom = reader.from;
            inbox.probeTo = reader.to;
            this.#isUrgent = this.#isAsked = true;
          }
          break;
        case "prompt":
          isPrompt = true;
          break;
        default:
        // The others belong to other layers.
      }
    }
    outboxes.afterEnvelope(now);
    if (inbox !== undefined) {
      if (this.#isAsked) this.#heedQuestion(inbox, now);
      if (runFrom < runTo) this.#handle(inbox, runFrom, runTo);
      if (wantsReceipt) {
        this.#envelopes++;
        this.#bytes += opened.frames.length;
        if (this.#envelopes >= receiptEnvelopes || this.#bytes >= receiptBytes) this.#isUrgent = true;
        if (isPrompt) {
          // Whoever waits for these wants to hear that they were handled: their receipt leaves when they are.
          for (const incoming of pending ?? []) incoming.prompt = true;
          if (pending === undefined || settledHere > 0) this.#isUrgent = true;
        }
        this.#schedule(now);
      }
    }
    if (mail !== undefined) this.#finish(mail);
    return unplaced || fault !== undefined ? { unplaced, fault } : fine;
  }

  /** The peer asks for what it was told: that did not arrive. Had it heard that something did not come, it would have sent that. */
  #heedQuestion(inbox: EpochInbox, now: Millis): void {
    if (inbox.standing === this.#told && now - this.#toldAt >= unheardAfterMs) this.#ledger.unheard.add(this.peer);
  }

  /** What is told takes another way from now on. */
  tellsAnew(): void {
    this.#told = NaN;
  }

  #arrival(inbox: EpochInbox | undefined, { frames, early }: Delivered, now: Millis): Arrival | undefined {
    return inbox === undefined ? undefined : { peer: this.peer, inbox, frames, early, at: now };
  }

  // ---- What became of messages.

  /** The handler returned. */
  handled(incoming: Incoming): void {
    if (incoming.isDone) return;
    incoming.isDone = true;
    if (incoming.prompt) this.#isUrgent = true;
    this.#handle(incoming.arrival.inbox, incoming.number, incoming.number + incoming.parts);
    this.#release(incoming);
  }

  /** A reply was made, which is the proof for its request and goes no earlier than a receipt could. */
  replied(incoming: Incoming): void {
    if (incoming.isDone) return;
    incoming.isDone = true;
    const { inbox } = incoming.arrival;
    inbox.handleReplied(incoming.number, incoming.number + incoming.parts);
    this.#touch(inbox);
    this.#release(incoming);
  }

  failed(incoming: Incoming, reason: RejectReason): void {
    if (incoming.isDone) return;
    incoming.isDone = true;
    this.#release(incoming);
    this.#reject(incoming.arrival.inbox, incoming.number, incoming.parts, reason);
  }

  /** Hands over again what waits for a handler of this type. */
  retry(type: string): void {
    const again = this.#waiting.filter((incoming) => incoming.type === type);
    if (again.length === 0) return;
    this.#waiting = this.#waiting.filter((incoming) => incoming.type !== type);
    for (const incoming of again) {
      if (incoming.isDone) continue;
      const verdict = this.#hand(incoming);
      if (incoming.isDone) continue;
      if (verdict === "handled") this.handled(incoming);
      else this.#keep(incoming, verdict);
    }
  }

  /**
   * An envelope with receipts may have been lost on its way through a relay. Nobody asks again after what lies in a mailbox, as
   * far as its sender knows, so everything is said once more of which the sender has not shown that it heard it. Not without end:
   * a relay may never answer.
   */
  tellAgain(now: Millis): void {
    if (this.#toldAgain === maxToldAgain) return;
    this.#toldAgain++;
    for (const inbox of this.#epochs) {
      inbox.tellAgain();
      this.#rejectAgain(inbox, 0, Infinity);
    }
    this.#schedule(now);
  }

  /** Stages in the maps the marks of everything handled so far. */
  beginCommit(now: Millis): void {
    const { maps } = this.#ledger;
    const batch = this.#touched;
    this.#touched = [];
    this.#committing = [...this.#committing, { epochs: batch, mail: this.#mail }];
    if (this.#mail.length > 0) this.#mail = [];
    for (const inbox of batch) {
      if (inbox.isDirty) {
        // The counterparty may have left the maps meanwhile; its marks are still good.
        const counterparty = maps.ensure(this.peer, now);
        const { marks } = inbox;
        if (counterparty.epochs.get(marks.epoch) !== marks) counterparty.epochs.set(marks.epoch, marks);
        marks.usedAt = Math.floor(now);
        maps.touchMarks(counterparty, marks.epoch);
      }
      inbox.beginCommit();
    }
  }

  /** The oldest marks that were staged are kept: now they may be receipted. */
  committed(now: Millis): void {
    const { epochs, mail } = this.#committing[0]!;
    for (const inbox of epochs) inbox.committed();
    this.#committing = this.#committing.slice(1);
    for (const each of mail) each.release();
    this.#schedule(now);
  }

  tick(now: Millis): void {
    if (now < this.#waitUntil) return;
    let next = Infinity;
    for (const incoming of this.#waiting) {
      if (incoming.deadlineAt <= now) this.failed(incoming, "not-accepted");
      else if (incoming.deadlineAt < next) next = incoming.deadlineAt;
    }
    this.#waiting = this.#waiting.filter((incoming) => !incoming.isDone);
    for (const inbox of this.#epochs) {
      for (const assembly of inbox.assemblies?.values() ?? []) {
        if (assembly.deadlineAt <= now) this.#giveUp(inbox, assembly);
        else if (assembly.deadlineAt < next) next = assembly.deadlineAt;
      }
    }
    this.#waitUntil = next;
  }

  // ---- Writing.

  /** Writes rejections and receipts, also those that could have waited, as far as there is room. */
  fill(writer: FrameWriter, now: Millis): void {
    this.#write(writer);
    const [inbox] = this.#epochs;
    if (writer.length === 0 || inbox === undefined) return;
    const { standing } = inbox;
    if (standing === this.#told) return;
    this.#told = standing;
    this.#toldAt = now;
  }

  #write(writer: FrameWriter): void {
    let written = 0;
    for (const { epoch, number, code } of this.#rejections) {
      if (!writer.rejection(epoch, number, code)) break;
      written++;
    }
    if (written > 0) this.#rejections.splice(0, written);
    if (this.#receiptAt === Infinity) return;
    for (const inbox of this.#epochs) {
      if (!this.#writeAnswer(writer, inbox) || !this.#writeNews(writer, inbox)) return;
    }
    this.#receiptAt = Infinity;
    // Marks that are being committed are what an urgent receipt waits for.
    this.#isUrgent = this.#isUrgent && this.#epochs.some((inbox) => inbox.isTouched || inbox.committing.length > 0);
    this.#envelopes = 0;
    this.#bytes = 0;
  }

  /** Answers a probe, if need be with several receipts. */
  #writeAnswer(writer: FrameWriter, inbox: EpochInbox): boolean {
    while (inbox.probeFrom < inbox.probeTo) {
      const from = inbox.probeFrom;
      const { to, received, handled } = inbox.listing(from, inbox.probeTo, maxReceiptRanges);
      if (!writer.receipt({ epoch: inbox.epoch, received, handled, complete: { from, to } })) return false;
      inbox.probeFrom = to;
      this.#rejectAgain(inbox, from, to);
    }
    return true;
  }

  #rejectAgain({ epoch, window }: EpochInbox, from: number, to: number): void {
    if (window.isPlain) return;
    for (let number = Math.max(from, window.watermark); number < Math.min(to, window.top); number++) {
      const code = window.rejection(number);
      if (code >= 0) this.#pushRejection(epoch, number, code);
    }
  }

  #writeNews(writer: FrameWriter, inbox: EpochInbox): boolean {
    const { watermark } = inbox.window;
    dropBelow(inbox.handledNews, watermark);
    dropBelow(inbox.receivedNews, watermark);
    if (inbox.handledNews.length > 0 && inbox.receivedNews.length > 0) {
      inbox.receivedNews = subtractRanges(inbox.receivedNews, inbox.handledNews);
    }
    while (inbox.handledNews.length + inbox.receivedNews.length > 0) {
      const handled = inbox.handledNews.slice(0, 2 * maxReceiptRanges);
      const received = inbox.receivedNews.slice(0, 2 * maxReceiptRanges);
      if (!writer.receipt({ epoch: inbox.epoch, received, handled })) return false;
      inbox.handledNews = inbox.handledNews.slice(handled.length);
      inbox.receivedNews = inbox.receivedNews.slice(received.length);
    }
    return true;
  }

  // ---- Numbers.

  /** Something is to be receipted: now or after a while. */
  #schedule(now: Millis): void {
    let hasNews = false;
    for (const inbox of this.#epochs) {
      if (inbox.probeFrom < inbox.probeTo || inbox.receivedNews.length > 0 || inbox.handledNews.length > 0)
        hasNews = true;
    }
    if (!hasNews) return;
    const at = this.#isUrgent ? now : now + receiptDelayMs;
    if (at < this.#receiptAt) this.#receiptAt = at;
  }

  #handle(inbox: EpochInbox, from: number, to: number): void {
    inbox.handle(from, to);
    this.#touch(inbox);
  }

  #touch(inbox: EpochInbox): void {
    if (inbox.isTouched) return;
    inbox.isTouched = true;
    this.#touched.push(inbox);
    if (this.#touched.length === 1) this.#ledger.touched.push(this);
  }

  #advance(inbox: EpochInbox, base: number): void {
    inbox.advance(base);
    if (inbox.assemblies === undefined) return;
    for (const assembly of inbox.assemblies.values()) {
      // Its sender settled it, as expired perhaps: the rest will never come.
      if (assembly.number < base) this.#forget(inbox, assembly);
    }
  }

  /** A number that came before: what was said of it is said again. */
  #repeat(inbox: EpochInbox, number: number, isRequest: boolean): void {
    const { window } = inbox;
    if (number < window.watermark) return;
    this.#isAsked = true;
    if (isRequest && inbox.isHandled(number) && window.rejection(number) < 0) {
      // It awaits its reply: that it was handled may well have been heard.
      this.tellsAnew();
      if (this.#isReplyLost(inbox, number)) window.reject(number, codeOfReason("reply-lost"));
    }
    const code = window.rejection(number);
    if (code >= 0) this.#pushRejection(inbox.epoch, number, code);
    else if (inbox.isHandled(number)) {
      addRange(inbox.staged, number, number + 1);
      this.#touch(inbox);
    } else addRange(inbox.receivedNews, number, number + 1);
  }

  /** A request that was handled, of whose reply nothing is here: an earlier run took it along. */
  #isReplyLost(inbox: EpochInbox, number: number): boolean {
    return (
      includesNumber(inbox.handledBefore, number) &&
      !this.#outboxes.current.owesReply(inbox.epoch, number) &&
      !this.#ledger.guardedReplies.some((reply) => reply.requestNumber === number && reply.requestEpoch === inbox.epoch)
    );
  }

  #reject(inbox: EpochInbox, number: number, parts: number, reason: RejectReason): void {
    const code = codeOfReason(reason);
    for (let i = 0; i < parts; i++) inbox.window.reject(number + i, code);
    if (number + parts > inbox.window.watermark) this.#pushRejection(inbox.epoch, number, code);
  }

  /** Answers a number that is not placed. */
  #refuse(epoch: Epoch, number: number, reason: RejectReason): void {
    this.#pushRejection(epoch, number, codeOfReason(reason));
  }

  #pushRejection(epoch: Epoch, number: number, code: number): void {
    if (this.#rejections.length < maxRejections) this.#rejections.push({ epoch, number, code });
  }

  // ---- Messages.

  #hand(incoming: Incoming): ReturnType<Ledger["sink"]["deliver"]> {
    try {
      return this.#ledger.sink.deliver(incoming);
    } catch (error) {
      this.#ledger.sinkError ??= error;
      return "failed";
    }
  }

  /** Does what the sink says of a message that is not handled yet. @returns Whether a handler is at work on it. */
  #keep(incoming: Incoming, verdict: ReturnType<Ledger["sink"]["deliver"]>): boolean {
    switch (verdict) {
      case "pending":
      case "wait":
        this.#hold(incoming);
        if (verdict === "pending") return true;
        this.#wait(incoming);
        return false;
      case "refused":
        this.failed(incoming, "not-accepted");
        return false;
      default:
        this.failed(incoming, "handler-failed");
        return false;
    }
  }

  #wait(incoming: Incoming): void {
    if (incoming.ownBody === undefined) {
      // It may wait long: it must not keep the whole envelope alive.
      incoming.ownBody = incoming.body.slice();
      incoming.arrival = { ...incoming.arrival, frames: noBytes };
    }
    this.#waiting.push(incoming);
    if (incoming.deadlineAt < this.#waitUntil) this.#waitUntil = incoming.deadlineAt;
  }

  /**
   * Whether so many bytes more can be held. For a request, replies that the peer has not confirmed count too: this
   * bounds them.
   */
  #hasRoom(bytes: number, isRequest: boolean): boolean {
    const { limits, heldBytes } = this.#ledger;
    const { replies, replyBytes } = this.#outboxes.current;
    return (
      this.#held + (isRequest ? replies : 0) < limits.maxHeldMessages &&
      this.#heldBytes + (isRequest ? replyBytes : 0) + bytes <= limits.maxHeldBytes &&
      (heldBytes + bytes <= limits.maxHeldBytesTotal || this.#crowdOut(bytes))
    );
  }

  /**
   * All peers together hold too much: those that hold most give up what nothing is done with yet, as long as they hold more than
   * this one would. So whoever holds little finds room, however many peers have announced however much.
   */
  #crowdOut(bytes: number): boolean {
    const ledger = this.#ledger;
    while (ledger.heldBytes + bytes > ledger.limits.maxHeldBytesTotal) {
      let most: Inbox | undefined;
      let mostBytes = this.#heldBytes + bytes;
      for (const other of ledger.holders) {
        if (other.#heldBytes <= mostBytes || !other.#hasIdle) continue;
        most = other;
        mostBytes = other.#heldBytes;
      }
      if (most === undefined) return false;
      most.giveUpIdle();
    }
    return true;
  }

  #hold(incoming: Incoming): void {
    if (incoming.isHeld) return;
    incoming.isHeld = true;
    const { inbox } = incoming.arrival;
    inbox.held++;
    this.#reserve(incoming.bodyLength);
    addRange(inbox.receivedNews, incoming.number, incoming.number + incoming.parts);
    for (const mail of incoming.mail) mail.hold();
  }

  #release(incoming: Incoming): void {
    if (!incoming.isHeld) return;
    incoming.isHeld = false;
    incoming.arrival.inbox.held--;
    this.#reserve(-incoming.bodyLength, -1);
    for (const mail of incoming.mail) this.#finish(mail);
  }

  /** Something of it is finished with. What marks were made must be kept before the mailbox forgets it. */
  #finish(mail: Mail): void {
    if (this.#touched.length > 0) this.#mail.push(mail);
    else mail.release();
  }

  #reserve(bytes: number, messages = 1): void {
    this.#held += messages;
    this.#heldBytes += bytes;
    this.#ledger.heldBytes += bytes;
    if (this.#heldBytes > 0) this.#ledger.holders.add(this);
    else this.#ledger.holders.delete(this);
  }

  // ---- Replies and parts.

  #takeReply(reader: FrameReader, inbox: EpochInbox, opened: Delivered, mail: Mail | undefined, now: Millis): void {
    const outbox = this.#outboxes.current;
    const { number, requestNumber } = reader;
    const epoch = reader.epoch ?? opened.ourEpoch;
    const request = epoch === this.#ledger.epoch ? outbox.request(requestNumber) : undefined;
    let end = number + 1;
    let first = number;
    let body: Uint8Array | undefined;
    if (request !== undefined && reader.totalBytes > this.#ledger.limits.maxMessageBytes) {
      inbox.window.place(number);
      this.#reject(inbox, number, 1, "too-large");
      outbox.refuseReply(request, "too-large");
      return;
    }
    if (request !== undefined && reader.partIndex !== undefined) {
      const assembly = this.#takePart(reader, inbox, request, mail, now);
      if (assembly === undefined || !assembly.isComplete) return;
      body = this.#complete(inbox, assembly);
      first = assembly.number;
      end = first + assembly.parts;
    } else {
      if (!inbox.hasPlaceFor(number)) {
        mail?.refuse();
        return;
      }
      inbox.window.place(number);
      // Parts that came while it was awaited are of no use any more.
      const begun = inbox.assemblies?.get(reader.firstNumber);
      if (begun !== undefined) {
        this.#forget(inbox, begun);
        for (let part = begun.number; part < begun.number + begun.parts; part++) {
          if (begun.has(part - begun.number)) inbox.handleUnguarded(part, part + 1);
        }
      }
    }
    if (request !== undefined) outbox.takeReply(request, body ?? reader.body);
    inbox.handleUnguarded(first, end);
  }

  /** @returns What is there of the message; `undefined` when there is no room for it, or the part makes no sense. */
  #takePart(
    reader: FrameReader,
    inbox: EpochInbox,
    answered: Outgoing | undefined,
    mail: Mail | undefined,
    now: Millis,
  ): Assembly | undefined {
    const { number, firstNumber, totalBytes } = reader;
    if (firstNumber < inbox.window.watermark) return undefined;
    if (!inbox.hasPlaceFor(number)) {
      mail?.refuse();
      return undefined;
    }
    inbox.assemblies ??= new Map();
    let assembly = inbox.assemblies.get(firstNumber);
    if (assembly === undefined) {
      const isRequest = reader.kind === "message" && reader.isRequest;
      if (!this.#hasRoom(totalBytes, isRequest) && !this.#makeRoom(inbox, totalBytes, isRequest)) {
        if (inbox.assemblies.size === 0) inbox.assemblies = undefined;
        mail?.refuse();
        return undefined;
      }
      const remaining = reader.kind === "message" ? remainingOf(reader) : Infinity;
      const latest = now + this.#ledger.limits.maxOutboxAgeMs;
      const deadlineAt = Math.min(now + remaining, latest, answered?.deadlineAt ?? Infinity);
      assembly = new Assembly(firstNumber, totalBytes, partsOf(totalBytes), deadlineAt, answered);
      inbox.assemblies.set(firstNumber, assembly);
      this.#reserve(totalBytes);
      if (deadlineAt < this.#waitUntil) this.#waitUntil = deadlineAt;
    } else if (assembly.totalBytes !== totalBytes || assembly.answered !== answered) {
      return undefined;
    }
    assembly.add(reader.partIndex!, reader.body, reader.bodyStart - reader.frameOffset);
    if (mail !== undefined) assembly.keep(mail);
    inbox.window.place(number);
    addRange(inbox.receivedNews, number, number + 1);
    return assembly;
  }

  #complete(inbox: EpochInbox, assembly: Assembly): Uint8Array {
    const body = assembly.body();
    this.#forget(inbox, assembly);
    return body;
  }

  #forget(inbox: EpochInbox, assembly: Assembly): void {
    inbox.assemblies!.delete(assembly.number);
    if (inbox.assemblies!.size === 0) inbox.assemblies = undefined;
    this.#reserve(-assembly.totalBytes, -1);
    for (const mail of assembly.mail) this.#finish(mail);
  }

  /** Forgets a message in parts as if none had come; a probe of its sender will notice. */
  #giveUp(inbox: EpochInbox, assembly: Assembly): void {
    this.#forget(inbox, assembly);
    const { number, parts } = assembly;
    unreceive(inbox, number, number + parts, (each) => assembly.has(each - number));
  }

  /** Gives up messages in parts of earlier runs of the peer, which hardly will be completed. */
  #makeRoom(current: EpochInbox, bytes: number, isRequest: boolean): boolean {
    for (const inbox of this.#epochs) if (inbox !== current) this.#giveUpParts(inbox);
    return this.#hasRoom(bytes, isRequest);
  }

  #giveUpParts(inbox: EpochInbox): void {
    for (const assembly of inbox.assemblies?.values() ?? []) {
      // Its other parts may be in the same mailbox. One whose time is over is of no use any more.
      for (const mail of assembly.mail) mail.refuse();
      this.#giveUp(inbox, assembly);
    }
  }

  /** Something is held with which nothing is done yet: messages in parts, and such as wait for a handler. */
  get #hasIdle(): boolean {
    return this.#waiting.length > 0 || this.#epochs.some(({ assemblies }) => assemblies !== undefined);
  }

  /** Forgets that as if it had never come. Its sender asks after it, and hears that it must leave again. */
  giveUpIdle(): void {
    for (const inbox of this.#epochs) this.#giveUpParts(inbox);
    for (const incoming of this.#waiting) {
      if (incoming.isDone) continue;
      incoming.isDone = true;
      for (const mail of incoming.mail) mail.refuse();
      this.#release(incoming);
      const { arrival, number, parts } = incoming;
      unreceive(arrival.inbox, number, number + parts, () => true);
    }
    this.#waiting = [];
  }

  // ---- Epochs.

  /**
   * What is known of an epoch; `undefined` when there is no place for a new one, or it may be one that was forgotten.
   *
   * @param isEarlier - The peer numbers what is new under another one.
   */
  #open(epoch: Epoch, now: Millis, isEarlier = false): EpochInbox | undefined {
    const open = this.#epochs;
    if (open[0]?.epoch === epoch) return open[0];
    const at = open.findIndex((inbox) => inbox.epoch === epoch);
    if (at > 0) {
      const [inbox] = open.splice(at, 1);
      open.unshift(inbox!);
      return inbox;
    }
    const counterparty = this.#ledger.maps.ensure(this.peer, now);
    let marks: HandledMarks | undefined = counterparty.epochs.get(epoch);
    if (marks === undefined) {
      if (isEarlier && isForgotten(counterparty, epoch, now)) return undefined;
      if (counterparty.epochs.size >= maxEpochs && !this.#evictEpoch(now)) return undefined;
      marks = { epoch, base: 0, ranges: [], usedAt: Math.floor(now) };
      counterparty.epochs.set(epoch, marks);
    }
    for (let i = open.length - 1; i >= maxOpenEpochs - 1; i--) {
      const { isQuiet, window } = open[i]!;
      if (isQuiet && (window.rejections === 0 || now - this.#usedAt > rejectionMemoryMs)) open.splice(i, 1);
    }
    const inbox = new EpochInbox(marks);
    // A new list, without slack: there are many, and nearly all have one entry.
    this.#epochs = [inbox, ...open];
    this.tellsAnew();
    return inbox;
  }

  /** When something of an epoch was handled or rejected for the last time, at the latest; never, when nothing was. */
  #lastVerdict(marks: HandledMarks): Millis {
    const inbox = this.#epochs.find((open) => open.marks === marks);
    if (inbox !== undefined && inbox.window.rejections > 0) return Math.floor(this.#usedAt);
    return marks.base === 0 && marks.ranges.length === 0 ? -Infinity : marks.usedAt;
  }

  /**
   * Makes a place among the epochs that are remembered, by forgetting one under which the peer numbers nothing new. It may
   * still send again what it kept of it, which must then not be handed over a second time.
   */
  #evictEpoch(now: Millis): boolean {
    const { maps } = this.#ledger;
    const counterparty = maps.ensure(this.peer, now);
    const alive = new Set<Epoch>();
    for (const session of counterparty.sessions) alive.add(session.theirEpoch);
    for (const offer of counterparty.accepted) alive.add(offer.theirEpoch);
    for (const inbox of this.#epochs) if (!inbox.isQuiet) alive.add(inbox.epoch);
    let oldest: HandledMarks | undefined;
    let usedAt = Infinity;
    for (const marks of counterparty.epochs.values()) {
      if (alive.has(marks.epoch)) continue;
      const at = this.#lastVerdict(marks);
      if (at >= usedAt) continue;
      oldest = marks;
      usedAt = at;
    }
    if (oldest === undefined) return false;
    const { epoch } = oldest;
    let forgotten = notPast(counterparty, now);
    if (now - usedAt <= epochMemoryMs) {
      const others = forgotten.slice(1 - maxForgottenEpochs);
      forgotten = [...others, { epoch, usedAt }].sort((a, b) => a.usedAt - b.usedAt);
    }
    if (forgotten.length > 0 || counterparty.forgottenEpochs.length > 0) {
      counterparty.forgottenEpochs = forgotten;
      maps.touch(counterparty);
    }
    counterparty.epochs.delete(epoch);
    maps.touchMarks(counterparty, epoch);
    const open = this.#epochs.findIndex((inbox) => inbox.epoch === epoch);
    if (open >= 0) this.#epochs.splice(open, 1);
    return true;
  }
}

/** Forgets that numbers of [from, to) were received. */
function unreceive(inbox: EpochInbox, from: number, to: number, was: (number: number) => boolean): void {
  inbox.receivedNews = subtractRanges(inbox.receivedNews, [from, to]);
  for (let number = from; number < to; number++) if (was(number)) inbox.window.unplace(number);
}

/** Whether something of an epoch that is not known here may have been handled. */
function isForgotten(counterparty: Counterparty, epoch: Epoch, now: Millis): boolean {
  const forgotten = notPast(counterparty, now);
  return forgotten.length >= maxForgottenEpochs || forgotten.some((each) => each.epoch === epoch);
}

/** The forgotten epochs of which something may still come, the one that was used longest ago first. */
function notPast({ forgottenEpochs }: Counterparty, now: Millis): Counterparty["forgottenEpochs"] {
  return forgottenEpochs.filter(({ usedAt }) => now - usedAt <= epochMemoryMs);
}

/** How long the sender of the message at hand still waits for it. */
function remainingOf({ remainingMs, isRequest }: FrameReader): Millis {
  return remainingMs ?? (isRequest ? Infinity : impliedRemainingMs);
}

const fewTypes = 8;

function bind(inbox: EpochInbox, typeNumber: number, name: string): void {
  if (typeNumber >= maxTypeNames) return;
  const { types } = inbox;
  if (types[typeNumber] !== undefined) return;
  if (typeNumber < fewTypes) {
    // Peers that use few types are many: a list without slack.
    const length = Math.max(types.length, typeNumber + 1);
    inbox.types = Array.from({ length }, (_, number) => (number === typeNumber ? name : types[number]));
    return;
  }
  while (types.length < typeNumber) types.push(undefined);
  types[typeNumber] = name;
}
