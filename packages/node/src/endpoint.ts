/**
 * One identity's mesgen and delivery joined: envelopes and the time go in, envelopes and the sink's notifications come out.
 * No I/O, no clock, no timers. The running node drives it, and so does the simulator.
 *
 * Of the frames of an envelope, mesgen's own come first, then those of the link (challenge, response, contact record), then
 * delivery's. What mesgen wants committed first is held here, in order, until the shell says `resume`.
 *
 * @see docs/spec.md, "Frames" and "State that survives"
 */

import type { Admit, Carrier, DropReason, Mesgen, Opened } from "@egtp/mesgen";
import type { SessionMaps } from "@egtp/session-store";
import {
  EgtpError,
  type Epoch,
  FrameReader,
  FrameWriter,
  type Millis,
  maxContactRecordBytes,
  maxPlaintextBytes,
  type PeerId,
  WireError,
} from "@egtp/wire";
import { mailAskIntervalMs, triesOfWay } from "./delivery/limits.ts";
import type { Delivery, Flight, Mail, StrategyFailure, Wants } from "./delivery.ts";
import type { EnvelopeFate } from "./transport.ts";

/** What an envelope that came in turned out to be. */
export type Received =
  | {
      readonly kind: "opened";
      readonly peer: PeerId;
      readonly early: boolean;
      /** Names the run of the peer that spoke. */
      readonly theirEpoch: Epoch;
      /** The peer started anew: what was known of its links may be void. */
      readonly restarted: boolean;
      /** Another run with our key came to the peer after us. */
      readonly superseded: boolean;
      /** Sessions and offers of ours that the peer cannot read. */
      readonly lost: readonly string[];
      /** To be returned on the link it came on. */
      readonly challenge: Uint8Array | undefined;
      /** What the peer returned of a challenge of ours. */
      readonly response: Uint8Array | undefined;
      readonly contactRecord: Uint8Array | undefined;
      /** A commit that must end before the messages are handed over: then call `resume`. If it fails, `discard`. */
      readonly held: Promise<void> | undefined;
      /** The peer broke a rule of the format behind the frames that stand. */
      readonly fault: WireError | undefined;
    }
  | { readonly kind: "unreadable"; readonly peer: PeerId; readonly lost: readonly string[] }
  | { readonly kind: "dropped"; readonly reason: DropReason; readonly error?: WireError };

/** What the link wants to say in the next envelope. */
export interface LinkFrames {
  readonly challenge?: Uint8Array | undefined;
  readonly responses?: readonly Uint8Array[] | undefined;
  readonly contactRecord?: Uint8Array | undefined;
}

/** An envelope that must stay small. */
export interface EnvelopeBounds {
  /** Of all frames but mesgen's own. What does not fit waits for another envelope. */
  readonly maxFrameBytes: number;
  /** Only the frames of the link, and the answer that mesgen owes: messages leave on another link. */
  readonly linkFramesOnly: boolean;
}

export interface EndpointOptions {
  readonly mesgen: Mesgen;
  readonly delivery: Delivery;
  readonly maps: SessionMaps;
}

/** Envelopes of one peer that wait for a commit, at most; beyond, they are as if lost, and the peer sends again. */
const maxHeldEnvelopes = 256;
/** What nothing waits for is written this much later at the latest. */
const writeBehindMs = 1_000;
/** An offer alone, for messages that need an established session, is repeated after this time, then ever more rarely. */
const firstKnockMs = 1_000;
const maxKnockMs = 60_000;
/** Link frames of one envelope: a contact record, a challenge, up to 8 responses. */
const linkRoom = maxContactRecordBytes + 4 + 9 * 9;
const maxResponses = 8;
const wantsNothing: Wants = { any: false, application: false, establishedOnly: false, asks: false };

/** What was opened, and the mail it was. */
type OpenedMail = Opened & { readonly mail?: Mail };

/** An envelope that waits for a commit: for one of its own, or like those before it. */
interface HeldEnvelope {
  readonly opened: OpenedMail;
  readonly isGuarded: boolean;
}

interface Knock {
  nextAt: Millis;
  intervalMs: Millis;
  /** How often it left. */
  count: number;
  /** How often it came to lie in a mailbox since the peer was heard. */
  mails: number;
}

export class Endpoint {
  readonly mesgen: Mesgen;
  readonly delivery: Delivery;
  readonly maps: SessionMaps;
  /** What delivery wrote into the last envelope; `undefined` when that was nothing. */
  flight: Flight | undefined;

  /** Envelopes that wait for a commit. Bounded by `maxHeldEnvelopes` for each peer that is waited for. */
  readonly #held = new Map<PeerId, HeldEnvelope[]>();
  /** Peers who have messages that need an established session, and none. Bounded by delivery's conversations. */
  readonly #knocks = new Map<PeerId, Knock>();
  /** Peers to whom something can leave now that could not before. */
  readonly #ready = new Set<PeerId>();
  #writeAt: Millis | undefined;

  readonly #scratch = new Uint8Array(maxPlaintextBytes);
  readonly #wholeWriter = new FrameWriter(this.#scratch);
  /** For envelopes that carry more than delivery's frames: what lies before its buffer is for them. */
  readonly #shortStart = linkRoom;
  readonly #shortWriter = new FrameWriter(this.#scratch.subarray(linkRoom, maxPlaintextBytes - 1_024));
  readonly #linkScratch = new Uint8Array(linkRoom);
  readonly #linkWriter = new FrameWriter(this.#linkScratch);
  readonly #reader = new FrameReader(new Uint8Array(0));

  constructor(options: EndpointOptions) {
    this.mesgen = options.mesgen;
    this.delivery = options.delivery;
    this.maps = options.maps;
  }

  // ---- Receiving

  /**
   * Opens an envelope and lets both cores act on it.
   *
   * @param bytes - Exactly one envelope. Borrowed.
   * @param admit - Asked before anything is spent on an envelope of no known session.
   * @param mail - When it came out of a mailbox: settled once that may forget it.
   */
  receive(bytes: Uint8Array, now: Millis, admit?: Admit, mail?: Mail): Received {
    const result = this.mesgen.open(bytes, now, admit);
    if (result.kind === "dropped") {
      // Refused for want of time; in all other cases it will never be of use.
      if (result.reason === "refused") mail?.refuse();
      mail?.release();
      return result;
    }
    const { peer } = result;
    if (result.lost.length > 0) this.delivery.carrierLost(peer, result.lost, now);
    if (result.kind === "unreadable") {
      mail?.release();
      return { kind: "unreadable", peer, lost: result.lost };
    }
    if (result.restarted) this.delivery.peerRestarted(peer, now);
    if (mail !== undefined) mail.onRefused = () => this.mesgen.reopen(result, now);

    let challenge: Uint8Array | undefined;
    let response: Uint8Array | undefined;
    let contactRecord: Uint8Array | undefined;
    let fault: WireError | undefined;
    let opened: OpenedMail = mail === undefined ? result : { ...result, mail };
    if (isLinkFrame(result.frames[0])) {
      const reader = this.#reader;
      reader.reset(result.frames);
      try {
        for (let kind = reader.peek(); kind !== undefined; kind = reader.peek()) {
          if (kind !== "linkChallenge" && kind !== "linkResponse" && kind !== "contactRecord") break;
          reader.next();
          if (kind === "linkChallenge") challenge = reader.body.slice();
          else if (kind === "linkResponse") response = reader.body.slice();
          else contactRecord = reader.body.slice();
        }
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        fault = error;
      }
      opened = { ...opened, frames: result.frames.subarray(reader.offset) };
    }

    let commit = result.mustCommit ? this.maps.commit() : undefined;
    const isGuarded = commit !== undefined;
    const held = this.#held.get(peer);
    if (held !== undefined) {
      if (held.length < maxHeldEnvelopes) held.push({ opened, isGuarded });
      else {
        giveBack(opened);
        commit?.catch(() => {}); // those that wait are told
        commit = undefined;
      }
    } else if (isGuarded) {
      this.#held.set(peer, [{ opened, isGuarded }]);
    } else {
      fault = this.#hand(opened, now) ?? fault;
    }
    return {
      kind: "opened",
      peer,
      early: result.early,
      theirEpoch: result.theirEpoch,
      restarted: result.restarted,
      superseded: result.superseded,
      lost: result.lost,
      challenge,
      response,
      contactRecord,
      held: commit,
      fault,
    };
  }

  /** Hands over what waited for a commit that has ended, the oldest of those that are waited for. */
  resume(peer: PeerId, now: Millis): void {
    for (const opened of this.#takeHeld(peer)) this.#hand(opened, now);
  }

  /** Forgets what waited for a commit that has failed: it was never receipted, so the peer sends it again. */
  discard(peer: PeerId): void {
    for (const opened of this.#takeHeld(peer)) giveBack(opened);
  }

  /** Up to the next that has a commit of its own. */
  #takeHeld(peer: PeerId): OpenedMail[] {
    const held = this.#held.get(peer) ?? [];
    const next = held.findIndex(({ isGuarded }, i) => i > 0 && isGuarded);
    if (next < 0) this.#held.delete(peer);
    else this.#held.set(peer, held.slice(next));
    return (next < 0 ? held : held.slice(0, next)).map(({ opened }) => opened);
  }

  #hand(opened: OpenedMail, now: Millis): WireError | undefined {
    const { peer } = opened;
    let fault: WireError | undefined;
    if (opened.frames.length > 0) {
      const received = this.delivery.receive(peer, opened, now);
      if (received.unplaced) this.mesgen.reject(peer, opened.carrier, now);
      fault = received.fault;
    } else {
      this.delivery.heard(peer, now);
      opened.mail?.release();
    }
    const knock = this.#knocks.get(peer);
    if (!opened.early) this.#knocks.delete(peer);
    else if (knock !== undefined) {
      knock.nextAt = Math.min(knock.nextAt, now + knock.intervalMs);
      knock.mails = 0;
    }
    if (this.delivery.wants(peer, now).any) this.#ready.add(peer);
    return fault;
  }

  /**
   * Stages what was handled, at the end of a turn, before envelopes are made: receipts speak only of what is kept.
   *
   * @returns What to wait for; then call `committed` with the generation. `undefined` when there is nothing to wait for.
   */
  settle(now: Millis): { readonly generation: number; readonly commit: Promise<void> } | undefined {
    const { delivery, maps } = this;
    if (!delivery.mustCommit) return undefined;
    const generation = delivery.mark(now);
    const commit = maps.commit();
    if (commit !== undefined) return { generation, commit };
    delivery.committed(generation, now);
    return undefined;
  }

  committed(generation: number, now: Millis): void {
    this.delivery.committed(generation, now);
  }

  // ---- Sending

  /**
   * The next envelope for a peer. Call it while there is room on a link, until it returns `undefined`.
   *
   * @param bounds - Absent: a whole envelope, with everything that fits.
   * @param isRelayed - It is for a relay, so what becomes of it will be told by {@link fate}, under `flight`. It is a little
   *   shorter than others, so that it goes to the relay and from there in one envelope of theirs.
   * @param headBytes - Of memory before it that are the link's.
   * @throws `MesgenError` `EGTP_MESGEN_BAD_PEER` when messages wait for an ID that nothing can be sealed for.
   */
  next(
    peer: PeerId,
    now: Millis,
    link?: LinkFrames,
    bounds?: EnvelopeBounds,
    isRelayed = false,
    headBytes = 0,
  ): Uint8Array | undefined {
    const { mesgen, delivery } = this;
    this.flight = undefined;
    const wants = bounds?.linkFramesOnly === true ? wantsNothing : delivery.wants(peer, now);
    const linkLength = link === undefined ? 0 : this.#writeLinkFrames(link);
    const owes = mesgen.owes(peer, now);
    if (!wants.any && !owes && linkLength === 0) return undefined;
    const room = bounds === undefined ? Infinity : bounds.maxFrameBytes - linkLength;
    if (room < 0 || bounds?.maxFrameBytes === 0) return undefined;

    const purpose = { application: wants.application, established: wants.establishedOnly };
    const carrier = wants.any ? mesgen.carrier(peer, now, purpose) : answerCarrier(mesgen, peer, now);
    if (carrier === undefined) return undefined;
    const whole = !isRelayed && linkLength === 0 && room === Infinity && carrier.room === maxPlaintextBytes;
    const writer = whole ? this.#wholeWriter : room === Infinity ? this.#shortWriter : this.#boundedWriter(room);
    const start = whole ? 0 : this.#shortStart;
    if (wants.any && delivery.fill(peer, carrier, writer, now, isRelayed)) {
      this.flight = delivery.flight;
      // What cannot go along waits for the answer to this one as to a knock.
      if (carrier.early && delivery.wants(peer, now).establishedOnly) this.#knock(peer, now);
    } else {
      writer.reset();
      const mustKnock = wants.establishedOnly && carrier.early && this.#knock(peer, now);
      if (mustKnock) writer.probe(0, 1);
      else if (!owes && linkLength === 0) return undefined;
    }
    this.#scratch.set(this.#linkScratch.subarray(0, linkLength), start - linkLength);
    const frames = this.#scratch.subarray(start - linkLength, start + writer.length);
    return mesgen.seal(carrier, frames, now, { headBytes });
  }

  /** What became of an envelope that was given to a relay. */
  fate(peer: PeerId, flight: Flight, fate: EnvelopeFate, now: Millis): void {
    if (fate.state === "stored") this.delivery.stored(peer, flight, fate, now);
    else if (fate.state === "passed") this.delivery.passed(peer, flight, now);
    else this.delivery.returned(peer, flight, now);
  }

  /** An offer alone lies in a mailbox: another one would be mail as well, so there are few before the peer is heard. */
  knockStored(peer: PeerId, now: Millis): void {
    const knock = this.#knocks.get(peer);
    if (knock === undefined) return;
    knock.nextAt = now + mailAskIntervalMs(knock.mails);
    knock.mails++;
  }

  /** A farewell to a peer, if there is a session to end. */
  farewell(peer: PeerId, now: Millis, reason: number): Uint8Array | undefined {
    const { mesgen } = this;
    if (!mesgen.sessions(peer).some((session) => session.sends && session.confirmed)) return undefined;
    const carrier = mesgen.carrier(peer, now, { application: false });
    if (carrier.early) return undefined;
    // Receipts go along, so that the peer has nothing left to say to someone who is gone.
    const writer = this.#shortWriter;
    if (!this.delivery.fill(peer, carrier, writer, now)) writer.reset();
    return mesgen.seal(carrier, writer.bytes(), now, { close: reason });
  }

  #boundedWriter(room: number): FrameWriter {
    const end = Math.min(this.#shortStart + room, maxPlaintextBytes - 1_024);
    return new FrameWriter(this.#scratch.subarray(this.#shortStart, end));
  }

  #writeLinkFrames(link: LinkFrames): number {
    const writer = this.#linkWriter;
    writer.reset();
    if (link.contactRecord !== undefined) writer.contactRecord(link.contactRecord);
    if (link.challenge !== undefined) writer.linkChallenge(link.challenge);
    for (const response of (link.responses ?? []).slice(0, maxResponses)) writer.linkResponse(response);
    return writer.length;
  }

  /** Messages wait for an established session: an offer alone must leave, now and then again. */
  #knock(peer: PeerId, now: Millis): boolean {
    const knock = this.#knocks.get(peer);
    if (knock === undefined) {
      this.#knocks.set(peer, { nextAt: now + firstKnockMs, intervalMs: firstKnockMs, count: 1, mails: 0 });
      return true;
    }
    if (now < knock.nextAt) return false;
    if (knock.count % triesOfWay === 0) this.delivery.doubt(peer);
    knock.count++;
    knock.intervalMs = Math.min(2 * knock.intervalMs, maxKnockMs);
    knock.nextAt = now + knock.intervalMs;
    return true;
  }

  // ---- Time and circumstances

  /** Peers to whom an envelope should leave now. Each is named once, until something new is due. */
  takeDue(now: Millis): readonly PeerId[] {
    const owed = this.mesgen.due(now);
    const waiting = this.delivery.takeDue(now);
    if (owed.length === 0 && this.#ready.size === 0 && this.#knocks.size === 0) return waiting;
    const due = new Set<PeerId>(waiting);
    for (const peer of owed) due.add(peer);
    for (const peer of this.#ready) due.add(peer);
    this.#ready.clear();
    for (const [peer, knock] of this.#knocks) {
      if (now < knock.nextAt) continue;
      if (this.delivery.wants(peer, now).establishedOnly) due.add(peer);
      else this.#knocks.delete(peer);
    }
    return [...due];
  }

  get nextDeadline(): Millis | undefined {
    let next = earlier(this.mesgen.nextDeadline, this.delivery.nextDeadline);
    for (const { nextAt } of this.#knocks.values()) next = earlier(next, nextAt);
    return earlier(next, this.#writeAt);
  }

  /**
   * Does what time demands. Calling too early or twice does no harm; call `takeDue` after it.
   *
   * @returns A commit of what nothing waits for, so that its failure can be reported.
   */
  tick(now: Millis): Promise<void> | undefined {
    this.mesgen.tick(now);
    this.delivery.tick(now);
    if (!this.maps.dirty) {
      this.#writeAt = undefined;
      return undefined;
    }
    if (this.#writeAt === undefined || this.#writeAt - now > writeBehindMs) this.#writeAt = now + writeBehindMs;
    if (now < this.#writeAt) return undefined;
    this.#writeAt = undefined;
    return this.maps.commit();
  }

  linkLost(peer: PeerId, now: Millis): void {
    this.delivery.linkLost(peer, now);
  }

  unreachable(peer: PeerId, reasons: readonly StrategyFailure[], now: Millis): void {
    this.delivery.unreachable(peer, reasons, now);
  }
}

/** It is as if it had been lost on its way. */
function giveBack({ mail }: OpenedMail): void {
  mail?.refuse();
  mail?.release();
}

/** For an answer that nobody here asked for: whoever claimed an ID that nothing can be sealed for gets none. */
function answerCarrier(mesgen: Mesgen, peer: PeerId, now: Millis): Carrier | undefined {
  try {
    return mesgen.carrier(peer, now, { application: false });
  } catch (error) {
    if (error instanceof EgtpError && error.code === "EGTP_MESGEN_BAD_PEER") return undefined;
    throw error;
  }
}

/** Contact record, link challenge, link response: 04, 05, 06. */
function isLinkFrame(byte: number | undefined): boolean {
  return byte === 0x04 || byte === 0x05 || byte === 0x06;
}

function earlier(a: Millis | undefined, b: Millis | undefined): Millis | undefined {
  if (a === undefined) return b;
  return b === undefined || a <= b ? a : b;
}
