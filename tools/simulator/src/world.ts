/** What one run has in it: a clock, a network, peers, and a note of every promise that was broken. */

import { defaultCryptoProvider, identityFromSeed } from "@egtp/mesgen";
import { Clock } from "./clock.ts";
import { NonceWatch, simulatedCrypto, watched } from "./crypto.ts";
import { type Entry, Ledger } from "./ledger.ts";
import { Network } from "./network.ts";
import { Random } from "./random.ts";
import { Script } from "./script.ts";
import { type Cores, type CrashKind, type RunLimits, SimPeer, type Surroundings } from "./sim-peer.ts";

export interface Violation {
  readonly property: string;
  readonly detail: string;
  readonly at: number;
}

export interface WorldOptions {
  readonly cores: Cores;
  /** Use the real cryptography instead of the simulator's. */
  readonly realCrypto?: boolean;
  readonly trace?: boolean;
  /** The numbers of the acts that take place; default: all. */
  readonly acts?: ReadonlySet<number> | undefined;
}

/** Stands before what the script does, in a trace. */
export const actMark = "*";

export class World implements Surroundings {
  readonly clock = new Clock();
  readonly ledger = new Ledger();
  /** Messages that may end otherwise than delivered: their senders wait for seconds. */
  readonly hurried = new Set<Entry>();
  readonly random: Random;
  readonly network: Network;
  readonly script: Script;
  readonly peers: SimPeer[] = [];
  readonly violations: Violation[] = [];
  readonly lines: string[] = [];
  readonly crypto: Surroundings["crypto"];
  readonly cores: Cores;
  limits: RunLimits = { mesgen: {}, delivery: {} };
  onHandover: (peer: SimPeer) => void = () => {};
  onStart: (peer: SimPeer) => void = () => {};
  /** Sessions are re-keyed after few envelopes. */
  get rekeysSoon(): boolean {
    return (this.limits.mesgen.rekeyAfterEnvelopes ?? Infinity) < 1_000;
  }

  /** Of what is sent. */
  requestShare = 0.3;
  crashes = 0;
  readonly #trace: boolean;

  constructor(seed: number, options: WorldOptions) {
    this.random = new Random(seed);
    this.#trace = options.trace ?? false;
    this.cores = options.cores;
    const watch = new NonceWatch();
    const random = this.random.fork();
    this.crypto =
      options.realCrypto === true ? watched(defaultCryptoProvider, watch, random) : simulatedCrypto(random, watch);
    this.network = new Network(this.clock, this.random.fork());
    this.script = new Script(this.clock, this.random.fork(), options.acts);
  }

  violate = (property: string, detail: string): void => {
    this.log(() => `VIOLATION ${property}: ${detail}`);
    if (!this.violations.some((other) => other.property === property)) {
      this.violations.push({ property, detail, at: this.clock.now });
    }
  };

  log = (line: () => string): void => {
    if (!this.#trace) return;
    const mark = this.script.isActing ? actMark : " ";
    this.lines.push(`${this.clock.now.toFixed(2).padStart(12)} ${mark} ${line()}`);
  };

  addPeer(offsetMs: number, bornAgoMs: number, withMailbox: boolean): SimPeer {
    const name = String.fromCharCode(65 + this.peers.length);
    const identity = identityFromSeed(this.random.bytes(32), this.crypto);
    const peer = new SimPeer(this, name, identity, offsetMs);
    this.peers.push(peer);
    this.network.attach(peer.id, peer, withMailbox);
    peer.start(bornAgoMs);
    return peer;
  }

  other(than: SimPeer, random: Random = this.random): SimPeer {
    return random.pick(this.peers.filter((peer) => peer !== than));
  }

  /** Repeats what no fault is, until an instant. */
  every(meanMs: number, until: number, what: () => void): void {
    const pace = this.random.fork();
    const again = (): void => {
      if (this.clock.now >= until) return;
      what();
      this.clock.after(meanMs * (0.5 + pace.unit()), again);
    };
    this.clock.after(meanMs * pace.unit(), again);
  }

  crash(peer: SimPeer, kind: CrashKind, downMs: number): void {
    this.crashes += 1;
    peer.crash(kind, downMs);
  }
}
