/** Two or more mesgen cores that talk by hand: envelopes are values, time is a number, a restart is a method call. */

import { MemorySessionStore, SessionMaps } from "@egtp/session-store";
import { decodeEnvelope, FrameReader, FrameWriter, type Millis, type PeerId } from "@egtp/wire";
import {
  createIdentity,
  defaultCryptoProvider,
  type Identity,
  Mesgen,
  type MesgenLimits,
  type MesgenOptions,
  type Opened,
} from "../src/index.ts";

/** When stores are born that no first contact has to doubt. */
const longAgo = 1_700_000_000_000;

export interface TestPeerOptions {
  readonly identity?: Identity;
  /** The store is older than any doubt. */
  readonly born?: Millis;
  readonly bornWithIdentity?: boolean;
  readonly sealedSender?: boolean;
  readonly limits?: Partial<MesgenLimits>;
  readonly crypto?: MesgenOptions["crypto"];
  readonly allocate?: MesgenOptions["allocate"];
}

export class TestPeer {
  readonly identity: Identity;
  store = new MemorySessionStore();
  maps!: SessionMaps;
  mesgen!: Mesgen;
  readonly options: TestPeerOptions;
  /** Texts handed over, in order. */
  readonly read: string[] = [];

  constructor(options: TestPeerOptions = {}) {
    this.options = options;
    this.identity = options.identity ?? createIdentity();
    this.start(options.born ?? longAgo);
  }

  get id(): PeerId {
    return this.identity.peer;
  }

  start(now: Millis): void {
    const { crypto = defaultCryptoProvider } = this.options;
    this.maps = SessionMaps.open(this.store, {
      now,
      random: (count) => crypto.randomBytes(count),
      bornWithIdentity: this.options.bornWithIdentity ?? false,
    });
    void this.maps.commit();
    this.mesgen = new Mesgen({
      identity: this.identity,
      maps: this.maps,
      crypto,
      sealedSender: this.options.sealedSender ?? false,
      ...(this.options.limits === undefined ? {} : { limits: this.options.limits }),
      ...(this.options.allocate === undefined ? {} : { allocate: this.options.allocate }),
    });
  }

  /** Starts again from what was committed. */
  restart(now: Millis): void {
    this.start(now);
  }

  /** Starts again with nothing but the identity. */
  forgetEverything(now: Millis): void {
    this.store = new MemorySessionStore();
    this.start(now);
  }

  /** An envelope with one text, as an application would send it. */
  say(to: TestPeer, text: string, now: Millis, purpose: { established?: boolean } = {}): Uint8Array {
    const carrier = this.mesgen.carrier(to.id, now, { application: true, ...purpose });
    return this.mesgen.seal(carrier, textFrame(text), now);
  }

  /** An envelope that the layer above has nothing to say in. */
  control(to: TestPeer, now: Millis): Uint8Array {
    return this.mesgen.seal(this.mesgen.carrier(to.id, now, { application: false }), new Uint8Array(0), now);
  }

  hear(envelope: Uint8Array, now: Millis) {
    const result = this.mesgen.open(envelope, now);
    if (result.kind === "opened") {
      if (result.mustCommit) void this.maps.commit();
      this.read.push(...textsOf(result.frames));
    }
    return result;
  }

  /** The envelopes that mesgen itself wants to leave now. */
  owed(to: TestPeer, now: Millis): Uint8Array[] {
    return this.mesgen.due(now).includes(to.id) ? [this.control(to, now)] : [];
  }
}

export function textFrame(text: string): Uint8Array {
  const writer = new FrameWriter(new Uint8Array(4_096));
  writer.reset(0);
  writer.message({ number: 0, typeNumber: 0, body: new TextEncoder().encode(text) });
  return writer.bytes();
}

export function textsOf(frames: Uint8Array): string[] {
  const reader = new FrameReader(frames);
  const texts: string[] = [];
  while (reader.next()) if (reader.kind === "message") texts.push(new TextDecoder().decode(reader.body));
  return texts;
}

/** Two peers that first met long after both stores were born, and have an established session. `leader` has the smaller ID. */
export function establishedPair(now: Millis, options: TestPeerOptions = {}): { leader: TestPeer; follower: TestPeer } {
  const { leader, follower } = strangers(options);
  leader.hear(follower.say(leader, "first", now), now);
  follower.hear(leader.say(follower, "second", now), now);
  leader.hear(follower.say(leader, "third", now), now);
  leader.read.length = 0;
  follower.read.length = 0;
  return { leader, follower };
}

export function strangers(options: TestPeerOptions = {}): { leader: TestPeer; follower: TestPeer } {
  const a = new TestPeer(options);
  const b = new TestPeer(options);
  return Buffer.compare(Buffer.from(a.identity.keys.publicKey), Buffer.from(b.identity.keys.publicKey)) < 0
    ? { leader: a, follower: b }
    : { leader: b, follower: a };
}

export function typeOf(envelope: Uint8Array): string {
  return decodeEnvelope(envelope).type;
}

export function opened(result: ReturnType<TestPeer["hear"]>): Opened {
  if (result.kind !== "opened") throw new Error(`expected an opened envelope, got ${JSON.stringify(result)}`);
  return result;
}

/** Everything that strangers must not change: lists, their order, and what each session sends under. */
export function fingerprint(peer: TestPeer): string {
  return JSON.stringify(
    [...peer.maps.counterparties()]
      .filter(({ sessions, accepted }) => sessions.length + accepted.length > 0)
      .map(({ peer: id, accepted }) => [id, peer.mesgen.sessions(id), accepted.map(({ offerId }) => offerId)]),
  );
}
