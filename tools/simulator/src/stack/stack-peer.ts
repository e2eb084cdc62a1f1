/**
 * A peer of a run: a real node and a program above it that sends, answers and keeps books of what it was handed.
 */

import type { EgtpNode, NodeEvent, NodeOptions, NodePart, RejectReason } from "@egtp/node";
import type { RelayClient } from "@egtp/relay";
import { defineMessage, type PeerId } from "@egtp/wire";
import type { Entry } from "../ledger.ts";
import type { Random } from "../random.ts";
import type { CrashKind } from "../sim-peer.ts";
import type { Process } from "./process.ts";
import type { StackWorld } from "./stack-world.ts";
import { Station, type StationOptions } from "./station.ts";
import { WatchedTransport } from "./watched-transport.ts";

const tell = defineMessage("sim/tell");
const ask = defineMessage("sim/ask");

/** How long whoever sends is ready to wait. */
export type Patience =
  /** As a program does that says nothing about it. */
  | "usual"
  /** Longer than any run takes, and a way may turn up. */
  | "long"
  /** Some seconds. */
  | "short";

export interface PeerOptions {
  /** The relays that keep its mail; `undefined`: it discovers some. */
  readonly relays: readonly PeerId[] | undefined;
  readonly sealedSender: boolean;
  /** What it sends is kept in its session store, and goes on its way after a restart. */
  readonly keepsOutbox: boolean;
}

/** A message is kept on disk so long after it was sent, at the latest. */
const keptWithinMs = 1_500;

const longMs = 20 * 3_600_000;
const shortMs = 4_000;

export class StackPeer extends Station {
  /** Messages of this life, by entry: those that have not ended. */
  readonly #unsettled = new Set<Entry>();
  /** Of those, what a relay keeps, by recipient and message ID: numbers are given per recipient. */
  readonly #stored = new Map<string, Entry>();

  /** Messages of earlier lives that its store keeps: how they end nobody is told, but that they arrive is due. */
  readonly #kept = new Set<Entry>();
  /** What it was handed, in the order of it. */
  readonly handed: Entry[] = [];
  readonly #options: PeerOptions;
  #relays: readonly PeerId[] | undefined;
  client: RelayClient | undefined;
  readonly #crashedAt: number[] = [];

  constructor(world: StackWorld, options: StationOptions, peerOptions: PeerOptions) {
    super(world, options);
    this.#options = peerOptions;
    this.#relays = peerOptions.relays;
    this.mayMove = peerOptions.relays === undefined;
  }

  keeps(entry: Entry): boolean {
    return this.#kept.has(entry);
  }

  /** What its store keeps and nobody got. */
  get keptUndelivered(): Entry | undefined {
    return [...this.#kept].find(({ handovers }) => handovers.length === 0);
  }

  /** It is not told of relays, or of others than at first: it may not know where it was registered. */
  mayMove: boolean;

  /** From its next start on it is told of other relays. */
  switchRelays(random: Random): void {
    const { relays, log } = this.world;
    if (this.#relays === undefined) return;
    const others = relays.filter(() => random.chance(0.5));
    if (others.length === 0) others.push(random.pick(relays));
    log(() => `${this.name} is to use ${others.map(({ name }) => name).join(", ")}`);
    this.mayMove = true;
    this.#relays = others.map(({ id }) => id);
  }

  /** The session that it sends on to a peer. */
  preferred(peer: PeerId): string | undefined {
    return this.node.sessions(peer).find(({ sends }) => sends)?.id;
  }

  protected nodeOptions(_process: Process): Partial<NodeOptions> {
    const { stack, watch } = this.world;
    const { sealedSender, keepsOutbox } = this.#options;
    const relays = this.#relays;
    const client = stack.relayClient(relays === undefined ? {} : { relays });
    this.client = client;
    const part: NodePart = {
      transport: new WatchedTransport(client.transport, watch.of(this)),
      start: (...given) => client.start(...given),
      stop: () => client.stop(),
    };
    return { parts: [part], lookup: this.world.lookupFor(this), sealedSender, keepOutbox: keepsOutbox };
  }

  protected prepare(node: EgtpNode, process: Process): void {
    for (const type of [tell, ask]) {
      node.handle(type, ({ from, body, messageId, isRequest }) => {
        if (!process.isAlive) return undefined;
        const entry = this.#takeIn(from, body, messageId, isRequest);
        const reply = entry?.body;
        const { clock } = this.world;
        const chance = this.chance(body.length);
        if (entry === undefined || chance.chance(0.9)) return isRequest ? reply : undefined;
        // A handler that takes its time.
        return new Promise<Uint8Array | undefined>((resolve) => {
          clock.after(chance.unit() * 3_000, () => resolve(isRequest ? reply : undefined));
        });
      });
    }
  }

  protected died(kind: CrashKind): void {
    const { clock, patience } = this.world;
    this.#crashedAt.push(clock.now);
    const isStoreKept = kind === "kept" || kind === "stopped";
    for (const entry of this.#unsettled) {
      const isWritten = kind === "stopped" || clock.now - entry.sentAt > keptWithinMs;
      const isKept = this.#options.keepsOutbox && isStoreKept && isWritten;
      if (isKept && !entry.isRequest && patience.get(entry) === "long") this.#kept.add(entry);
      else entry.orphaned = true;
    }
    if (!isStoreKept) {
      for (const entry of this.#kept) entry.orphaned = true;
      this.#kept.clear();
    }
    this.#unsettled.clear();
    this.#stored.clear();
    if (kind === "rolled back") this.#delivering.clear();
  }

  // ---- Sending

  send({ id: to }: StackPeer, size: number, isRequest: boolean, patience: Patience): Entry | undefined {
    if (!this.isUp) return undefined;
    const { world, node, name } = this;
    const entry = world.ledger.enter(this.id, to, world.clock.now, size, isRequest, false);
    world.patience.set(entry, patience);
    this.#unsettled.add(entry);
    world.log(() => `${name} is asked to send message ${entry.serial}, ${size} bytes, ${patience} patience`);
    const options =
      patience === "usual" ? {} : patience === "long" ? { timeoutMs: longMs, failFast: false } : { timeoutMs: shortMs };
    const { process } = this;
    if (isRequest) {
      node.request(to, ask, entry.body, patience === "usual" ? {} : options).then(
        (reply) => {
          if (!process.isAlive) return;
          if (!sameBytes(reply as Uint8Array, entry.body)) world.violate("P4", `${name} got a reply that nobody made`);
          this.#end(entry, "delivered");
        },
        (error: unknown) => {
          if (process.isAlive) this.#end(entry, outcomeOf(error));
        },
      );
    } else {
      node.send(to, tell, entry.body, options).then(
        (outcome) => {
          // What ends while the node stops was counted then.
          if (!process.isAlive || !this.#unsettled.has(entry)) return;
          if (outcome.state !== "stored") {
            this.#end(entry, outcome.state === "rejected" ? `rejected: ${outcome.reason}` : outcome.state);
            return;
          }
          world.log(() => `${name}: message ${entry.serial} is stored`);
          entry.outcome = "stored";
          entry.endedAt = world.clock.now;
          this.#stored.set(`${to} ${outcome.messageId}`, entry);
        },
        (error: unknown) => {
          if (process.isAlive) this.#end(entry, outcomeOf(error));
        },
      );
    }
    return entry;
  }

  protected override heed(event: NodeEvent): void {
    if (event.kind === "handler-failed" && event.type.startsWith("sim/")) {
      this.world.violate("crash", `a handler of ${this.name} failed: ${String(event.error)}`);
    }
    if (event.kind !== "message" || event.direction !== "out" || event.outcome === "stored") return;
    const key = `${event.peer} ${event.messageId}`;
    const entry = this.#stored.get(key);
    if (entry === undefined) return;
    this.#stored.delete(key);
    entry.outcome = undefined;
    this.#end(entry, event.outcome);
  }

  #end(entry: Entry, state: string): void {
    const { world, name } = this;
    this.#unsettled.delete(entry);
    world.log(() => `${name}: message ${entry.serial} ends as ${state}`);
    if (entry.outcome !== undefined) world.violate("P1", `message ${entry.serial} settled twice`);
    entry.outcome = state;
    entry.endedAt = world.clock.now;
    if (state === "delivered" && entry.handovers.length === 0) {
      world.violate("P1", `message ${entry.serial} is said to be delivered and never was`);
    }
    if (state === "unreachable" && entry.handovers.length > 0) {
      world.violate("P1", `message ${entry.serial} is said not to have left and was handed over`);
    }
  }

  /** It keeps messages on disk, and that one ended may not have been written, or be written no more. */
  mayHaveForgottenEnd({ endedAt }: Entry): boolean {
    if (!this.#options.keepsOutbox) return false;
    const isNear = (crashedAt: number): boolean => crashedAt >= endedAt! && crashedAt < endedAt! + keptWithinMs;
    return this.rollbacks > 0 || this.#crashedAt.some(isNear);
  }

  // ---- Receiving

  /** The envelope that is being taken in. */
  #current: string | undefined;
  /** Envelopes that handed something over here, in any life. */
  readonly #delivering = new Set<string>();
  #isReplay = false;

  override receiving(name: string, hand: () => void): void {
    const outer = this.#current;
    this.#current = name;
    this.#isReplay = this.#delivering.has(name);
    try {
      hand();
    } finally {
      this.#current = outer;
    }
  }

  #takeIn(from: PeerId, body: Uint8Array, messageId: string, isRequest: boolean): Entry | undefined {
    const { ledger, clock, violate, log } = this.world;
    const entry = ledger.find(body);
    if (entry === undefined || entry.to !== this.id || entry.from !== from || entry.isRequest !== isRequest) {
      violate("P4", `${this.name} was handed something that ${from} did not send it`);
      return undefined;
    }
    const handover = {
      life: this.life,
      storeLife: this.storeLife,
      rollbacks: this.rollbacks,
      messageId,
      at: clock.now,
      isFinished: true,
    };
    log(() => `${this.name} is handed message ${entry.serial}`);
    if (this.#current !== undefined) {
      if (this.#isReplay) violate("P2", `an envelope that delivered before delivered message ${entry.serial}`);
      this.#delivering.add(this.#current);
    }
    const before = entry.handovers.at(-1);
    if (before !== undefined) this.#judgeRepeat(entry, before, handover);
    else this.handed.push(entry);
    entry.handovers.push(handover);
    return entry;
  }

  /** P2: once in a process life; again after a crash only if the sender had not heard that it was handled. */
  #judgeRepeat(entry: Entry, before: Entry["handovers"][number], again: Entry["handovers"][number]): void {
    const { violate, watch, peers } = this.world;
    if (before.rollbacks !== again.rollbacks) return; // What lies between a snapshot and its silent restoration is excepted.
    if (before.life === again.life) violate("P2", `message ${entry.serial} was handed over twice in one process life`);
    else if (entry.outcome === "delivered" && this.#current !== undefined) {
      // What was under way when the receipt came may still arrive; nothing may be sent again after it.
      const sentAt = watch.sentAt(this.#current) ?? 0;
      const sender = peers.find(({ id }) => id === entry.from);
      if (sentAt > entry.endedAt! && sender?.mayHaveForgottenEnd(entry) !== true) {
        violate("P2", `message ${entry.serial} was sent and handed over again after its handled receipt`);
      }
    }
    if (before.messageId !== again.messageId) violate("P2", `message ${entry.serial} came again under another ID`);
  }
}

function outcomeOf(error: unknown): string {
  // By code: the node under test may be another build of the same classes.
  const { code, reason } = error as { readonly code?: string; readonly reason?: RejectReason };
  if (code === "EGTP_TIMEOUT") return "expired";
  if (code === "EGTP_UNREACHABLE") return "unreachable";
  // The reply died with the run that made it; the message itself was handled.
  if (code === "EGTP_REJECTED") return reason === "reply-lost" ? "delivered" : `rejected: ${reason}`;
  return `failed: ${String(error)}`;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
