#!/usr/bin/env node
/**
 * A peer of a story, in a process of its own: it does what its parent orders.
 *
 * It accepts no connections; all that it is given is a boot page. It is written as an application would be that wants every
 * effect once: what was done lies on disk by message ID.
 */
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { metatrackers } from "@egtp/metatracker";
import { createNode, defineMessage, EgtpError, type EgtpNode, type SendOutcome } from "@egtp/node";
import { loadIdentity } from "@egtp/node/files";
import { tcp } from "@egtp/node/tcp";
import { type RelayClient, relayClient } from "@egtp/relay";
import { LmdbSessionStore } from "@egtp/session-store/lmdb";
import { parsePeerId, type Strategy, verifyContactRecord } from "@egtp/wire";
import * as z from "zod/mini";
import { EffectsLog, EndingsLog, SettlementsLog } from "./effects-log.ts";
import {
  type Answer,
  type Batch,
  type Figures,
  type Given,
  now,
  type Order,
  type OrderName,
  type PeerOptions,
  type Reply,
  type Tally,
} from "./orders.ts";
import { unsyncedStore } from "./unsynced.ts";

const note = defineMessage("story/note", {
  body: z.object({ batch: z.string(), n: z.number(), sentAt: z.number(), text: z.string() }),
});
const question = defineMessage("story/question", { body: z.object({}), reply: z.object({}) });

/** Some hundred bytes in all, as a line of a chat. */
const text = "All that a note says is that it is the next one, and that it wants to be handled once.";
/** No story takes so long: what is not delivered by then is lost. */
const timeoutMs = 10 * 60_000;

class StoryPeer {
  readonly #node: EgtpNode;
  readonly #relay: RelayClient;
  readonly #effects: EffectsLog;
  readonly #endings: EndingsLog;
  readonly #settlements: SettlementsLog;
  readonly #ended = new Map<string, number>();
  readonly #enough = new Set<string>();
  readonly #relayEvents = new Map<string, number>();
  /** Looked at after every effect, ending and event. */
  #waiting: { readonly isOver: () => boolean; readonly resolve: () => void }[] = [];

  static async start(options: PeerOptions): Promise<StoryPeer> {
    const { folder, bootPages, allowInsecure = false, keepOutbox = false, relayCount = 2, limits = {} } = options;
    const sessions = join(folder, "sessions");
    const relay = relayClient({ count: relayCount, ...(limits.relay !== undefined && { limits: limits.relay }) });
    const node = await createNode({
      identity: await loadIdentity(join(folder, "identity.key")),
      sessions:
        options.losesUnsynced === true
          ? unsyncedStore(await LmdbSessionStore.open(sessions, { sync: "flush" }))
          : await LmdbSessionStore.open(sessions),
      transports: [tcp({ listen: false })],
      lookup: metatrackers({ bootPages, allowInsecure, ...(limits.lookup !== undefined && { limits: limits.lookup }) }),
      parts: [relay],
      keepOutbox,
      allowPrivateAddresses: true, // stories take place on loopback
      ...(limits.node !== undefined && { limits: { node: limits.node } }),
    });
    const peer = new StoryPeer(node, relay, folder);
    await node.start();
    return peer;
  }

  private constructor(node: EgtpNode, relay: RelayClient, folder: string) {
    this.#node = node;
    this.#relay = relay;
    this.#effects = new EffectsLog(join(folder, "effects.log"));
    this.#endings = new EndingsLog(join(folder, "endings.log"));
    this.#settlements = new SettlementsLog(join(folder, "settlements.log"));
    node.handle(note, ({ messageId, body: { batch, n, sentAt } }) => {
      this.#effects.once({ messageId, batch, n, sentAt, at: now() });
      this.#lookAgain();
    });
    node.handle(question, () => ({}));
    void this.#watch(join(folder, "events.log"));
  }

  readonly orders: { [Name in Exclude<OrderName, "start">]: (given: Given<Name>) => Promise<Answer<Name>> } = {
    send: (batch) => this.#send(batch),
    enough: async (batch) => {
      this.#enough.add(batch);
    },
    ended: ({ batch, count }) => this.#until(() => (this.#ended.get(batch) ?? 0) >= count),
    effects: ({ batch, count }) => this.#until(() => this.#effects.count(batch) >= count),
    more: ({ count }) => {
      const enough = this.#effects.total + count;
      return this.#until(() => this.#effects.total >= enough);
    },
    quiet: () => this.#until(() => this.#node.stats().kept === 0),
    ask: async ({ to }) => {
      const begun = now();
      await this.#node.request(parsePeerId(to), question, {}, { timeoutMs, failFast: false });
      return now() - begun;
    },
    lookUp: async (peer) => {
      const record = await this.#node.lookUp(parsePeerId(peer));
      return record && waysIn(record);
    },
    relayEvents: ({ state, count }) => this.#until(() => (this.#relayEvents.get(state) ?? 0) >= count),
    figures: async (): Promise<Figures> => ({ node: this.#node.stats(), relay: this.#relay.stats() }),
    stop: async () => {
      await this.#node.stop();
      this.#effects.close();
      this.#endings.close();
      this.#settlements.close();
    },
  };

  get id(): string {
    return this.#node.peerId;
  }

  /** Sends in order, each as soon as one of those before it ended. */
  async #send({ to, batch, count, window, until }: Batch): Promise<Tally> {
    const peer = parsePeerId(to);
    const tally: Record<string, number> = {};
    let next = 0;
    const isMore = (): boolean => (count === "until enough" ? !this.#enough.has(batch) : next < count);
    const options = { timeoutMs, failFast: false, softTimeoutMs: until === "stored" ? 0 : timeoutMs };
    const work = async (): Promise<void> => {
      while (isMore()) {
        const n = next++;
        const outcome = await this.#node.send(peer, note, { batch, n, sentAt: now(), text }, options);
        tally[outcome.state] = (tally[outcome.state] ?? 0) + 1;
        this.#endings.write({ batch, n, state: describe(outcome) });
        this.#ended.set(batch, (this.#ended.get(batch) ?? 0) + 1);
        this.#lookAgain();
      }
    };
    await Promise.all(Array.from({ length: window }, work));
    return tally;
  }

  #until(isOver: () => boolean): Promise<void> {
    if (isOver()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ isOver, resolve }));
  }

  #lookAgain(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ isOver }) => !isOver());
    for (const one of waiting) if (!this.#waiting.includes(one)) one.resolve();
  }

  /** Notes down what happens in the node, for whoever wants to know why a story went wrong. */
  async #watch(path: string): Promise<void> {
    const file = openSync(path, "a", 0o600);
    const told = ["link", "dial-failed", "session", "published", "relay", "drop", "store", "handler-failed"] as const;
    for await (const event of this.#node.events({ kinds: [...told, "message", "missed"], maxQueued: 65_536 })) {
      if (event.kind === "message") {
        // Of another type, such as what is said to a relay, one may have the same ID: numbers run for each recipient.
        if (event.direction === "out" && event.type === note.name && event.messageId !== undefined) {
          this.#settlements.write({ messageId: event.messageId, outcome: event.outcome });
        }
        this.#lookAgain();
        continue;
      }
      writeSync(file, `${now().toFixed(0)} ${JSON.stringify(event, plainly)}\n`);
      if (event.kind !== "relay") continue;
      this.#relayEvents.set(event.state, (this.#relayEvents.get(event.state) ?? 0) + 1);
      this.#lookAgain();
    }
  }
}

function plainly(_key: string, value: unknown): unknown {
  return value instanceof Error
    ? `${value.message}${value.cause instanceof Error ? ` < ${value.cause.message}` : ""}`
    : value;
}

function describe(outcome: SendOutcome): string {
  return outcome.state === "rejected" ? `rejected:${outcome.reason}` : outcome.state;
}

function waysIn(record: Uint8Array): string[] {
  return verifyContactRecord(record, undefined).strategies.map(wayText);
}

function wayText(strategy: Strategy): string {
  return strategy.kind === "relay" ? `relay ${strategy.relay}` : strategy.kind;
}

let peer: StoryPeer | undefined;

async function obey({ name, given }: Order): Promise<unknown> {
  if (name === "start") {
    peer = await StoryPeer.start(given as PeerOptions);
    return { peer: peer.id };
  }
  if (peer === undefined) throw new TypeError(`${name} came before start`);
  return peer.orders[name](given as never);
}

process.on("message", (order: Order) => {
  const answer = (reply: Reply): void => {
    // Whoever asked may be gone.
    if (process.connected) process.send!(reply, () => {});
  };
  obey(order).then(
    (value) => answer({ id: order.id, answer: value }),
    (error: unknown) => {
      const code = error instanceof EgtpError ? `${error.code}: ` : "";
      answer({ id: order.id, failure: code + (error instanceof Error ? error.stack : String(error)) });
    },
  );
});
// A parent that is gone wants nothing any more.
process.on("disconnect", () => process.exit(0));
