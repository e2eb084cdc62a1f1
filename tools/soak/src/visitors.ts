/**
 * Those who come and go: each visit is a node that is made, connects, sends, lets its link go, some times over, and is stopped.
 * Who comes again has its sessions, unless it forgot them.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createIdentity, createNode, type EgtpNode, type NodeEvent, type NodeOptions } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { MemorySessionStore, type SessionStore } from "@egtp/session-store";
import { LmdbSessionStore } from "@egtp/session-store/lmdb";
import type { Random } from "./random.ts";
import { note, visitorLimits, type World } from "./world.ts";

/** More than the tables of those who stay hold. */
const visitors = 400;
/** Of them, those that keep their sessions in a file. */
const withFile = 16;
/** One visit of so many leads through the relay. */
const relayedEvery = 12;
/** One visitor of so many has forgotten its sessions. */
const forgetsEvery = 5;
const maxNotes = 8;
/** Links that one visit makes, at most; through the relay it is one. */
const maxLinks = 5;
/** A link of a visitor that carries nothing for so long is let go. */
const idleMs = 20;
/** Nothing takes so long, even while a server is away; */
const timeoutMs = 60_000;
/** but who leaves mail for somebody does not wait for ever. */
const softTimeoutMs = 15_000;

interface Visitor {
  readonly identity: ReturnType<typeof createIdentity>;
  readonly folder: string | undefined;
  memory: MemorySessionStore;
}

export class Visitors {
  /** Visits that ended well. */
  visits = 0;
  /** Links that were made, carried something and were let go. */
  cycles = 0;
  sent = 0;
  /** Of those, left with the relay: their sender did not see them delivered. */
  stored = 0;
  readonly faults: string[] = [];
  readonly #world: World;
  readonly #random: Random;
  /** Those who are not visiting: a key is for one run at a time. */
  readonly #waiting: Visitor[];

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    this.#waiting = Array.from({ length: visitors }, (_, n) => ({
      identity: createIdentity(),
      folder: n < withFile ? join(world.folder, `visitor-${n}`) : undefined,
      memory: new MemorySessionStore(),
    }));
  }

  async visit(): Promise<void> {
    const random = this.#random;
    const [visitor] = this.#waiting.splice(random.below(this.#waiting.length), 1) as [Visitor];
    const isRelayed = random.below(relayedEvery) === 0;
    const links = isRelayed ? 1 : 1 + random.below(maxLinks);
    const node = await this.#open(visitor, random.below(forgetsEvery) === 0, isRelayed);
    const to = isRelayed ? this.#world.hidden : this.#world.listener;
    if (!isRelayed) node.introduce(to.peerId, this.#world.ways);
    const events = node.events({ kinds: ["link"] });
    await node.start();
    for (let link = 1; link <= links; link++) {
      const notes = 1 + random.below(maxNotes);
      await Promise.all(Array.from({ length: notes }, () => this.#send(node, to)));
      if (link < links) await linkClosed(events);
    }
    await node.stop();
    this.#waiting.push(visitor);
    this.cycles += links;
    this.visits += 1;
  }

  async #send(node: EgtpNode, to: EgtpNode): Promise<void> {
    const outcome = await node.send(to.peerId, note, new Uint8Array(100), {
      timeoutMs,
      softTimeoutMs,
      failFast: false,
    });
    this.sent += 1;
    if (outcome.state === "stored") this.stored += 1;
    else if (outcome.state !== "delivered") this.faults.push(`a note ended as ${outcome.state}`);
  }

  async #open(visitor: Visitor, forgets: boolean, isRelayed: boolean): Promise<EgtpNode> {
    const { identity } = visitor;
    const base: NodeOptions = {
      identity,
      sessions: await openSessions(visitor, forgets),
      transports: [tcp({ listen: false, ...(!isRelayed && { limits: { idleMs } }) })],
      limits: visitorLimits,
      allowPrivateAddresses: true,
    };
    if (!isRelayed) return createNode(base);
    const { lookup, part } = this.#world.parts();
    return createNode({ ...base, lookup, parts: [part] });
  }
}

/** Reads on until no link is open. */
async function linkClosed(events: AsyncIterator<NodeEvent>): Promise<void> {
  let open = 0;
  do {
    const { value } = await events.next();
    if (value?.kind !== "link") throw new Error("A visitor was stopped amid its visit");
    if (value.state === "opened") open += 1;
    if (value.state === "closed") open -= 1;
  } while (open !== 0);
}

async function openSessions(visitor: Visitor, forgets: boolean): Promise<SessionStore> {
  const { folder } = visitor;
  if (folder === undefined) {
    if (forgets) visitor.memory = new MemorySessionStore();
    return visitor.memory;
  }
  if (forgets) await rm(folder, { recursive: true, force: true });
  return LmdbSessionStore.open(folder);
}
