/**
 * One of the two peers of the demo: the program that runs in the child process. It does what its parent orders and
 * reports what happens to it.
 *
 * It is written as an application would be that wants every effect once: each handler looks its message ID up in a log on
 * disk, and writes there what it did.
 */

import { metatrackers } from "@egtp/metatracker";
import { createNode, EgtpError, type EgtpNode, type MessageId } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { relayClient } from "@egtp/relay";
import { DataFolder } from "./data-folder.ts";
import { FileInParts, hashFile, makeFile } from "./demo-file.ts";
import type { Figures, Order, Report } from "./demo-orders.ts";
import { DemoStream } from "./demo-stream.ts";
import { EffectsLog } from "./effects-log.ts";
import { fileEnd, filePart, note, ping } from "./messages.ts";
import { withoutOffers } from "./transport-filter.ts";
import { waysIn } from "./ways-in.ts";

/** Reports of progress that the parent gets: one for so many effects. */
const progressEvery = 8;

/** Runs until the order to stop, or until the parent is gone. */
export function runDemoPeerProcess(): Promise<void> {
  return new Promise((resolve) => {
    let actor: Promise<DemoPeer> | undefined;
    const obey = async (order: Order): Promise<void> => {
      if (order.order === "start") actor = DemoPeer.start(order);
      const peer = await actor;
      if (peer === undefined) return;
      await peer.obey(order);
      if (order.order === "stop") process.disconnect();
    };
    process.on("message", (order: Order) => {
      obey(order).catch((error: unknown) => {
        const hint = error instanceof EgtpError ? error.hint : undefined;
        report({ report: "failed", message: error instanceof Error ? error.message : String(error), hint });
      });
    });
    // A parent that is gone wants nothing any more.
    process.on("disconnect", () => {
      resolve();
      process.exit(0);
    });
    // Ctrl-C in a terminal goes to all three processes; the parent decides.
    process.on("SIGINT", () => {});
  });
}

function report(what: Report): void {
  if (process.connected) process.send!(what);
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

class DemoPeer {
  readonly #node: EgtpNode;
  readonly #folder: DataFolder;
  readonly #log: EffectsLog;
  readonly #received: FileInParts;
  readonly #heldBack: () => number;
  #stream: DemoStream | undefined;
  #hasHandled = false;

  static async start({ folder: path, bootPage, heals }: Extract<Order, { order: "start" }>): Promise<DemoPeer> {
    const folder = await DataFolder.open(path);
    const { sessions, kind } = await folder.openSessions();
    const relay = relayClient();
    let heldBack = 0;
    const part = withoutOffers(
      relay,
      () => !heals,
      () => {
        heldBack += 1;
      },
    );
    const node = await createNode({
      identity: await folder.identity(),
      sessions,
      transports: [tcp({ listen: false })],
      lookup: metatrackers({ bootPages: [bootPage] }),
      parts: [part],
      allowPrivateAddresses: true, // the whole demo takes place on loopback
      limits: { node: { maxRetryMs: 1_000 } }, // who watches a demo has less patience than a program
    });
    const peer = new DemoPeer(node, folder, () => heldBack);
    peer.#handle();
    void peer.#tellSessions();
    await node.start();
    report({
      report: "ready",
      peer: node.peerId,
      ways: waysIn(node.contactRecord).join(", ") || "nobody",
      store: kind,
      remembered: peer.#log.countAtStart,
      at: now(),
    });
    return peer;
  }

  private constructor(node: EgtpNode, folder: DataFolder, heldBack: () => number) {
    this.#node = node;
    this.#folder = folder;
    this.#log = new EffectsLog(folder.join("effects.log"));
    this.#received = new FileInParts(folder.join("received-file"), "write");
    this.#heldBack = heldBack;
  }

  async obey(order: Order): Promise<void> {
    switch (order.order) {
      case "start":
        return;
      case "meet": {
        const begun = performance.now();
        await this.#node.request(order.peer, ping, { n: order.n }, { failFast: false });
        report({ report: "met", tookMs: performance.now() - begun });
        return;
      }
      case "stream": {
        const { fileBytes, seed } = order.plan;
        const path = this.#folder.join("file-to-send");
        if (fileBytes > 0) makeFile(path, fileBytes, seed);
        const stream = new DemoStream(this.#node, order.peer, order.plan);
        this.#stream = stream;
        await stream.run(path);
        report({ report: "streamed", sent: stream.sent, at: now(), firstMs: stream.firstMs });
        return;
      }
      case "count":
        report({ report: "figures", figures: this.#figures() });
        return;
      case "stop":
        await this.#node.stop();
        this.#log.close();
        this.#received.close();
        report({ report: "stopped" });
        return;
    }
  }

  #handle(): void {
    this.#node.handle(note, ({ messageId, body }) => this.#once(messageId, `note ${body.n}`));
    this.#node.handle(ping, ({ messageId, body }) => {
      this.#once(messageId, `ping ${body.n}`);
      return { n: body.n + 1 };
    });
    this.#node.handle(filePart, ({ messageId, body }) => {
      this.#once(messageId, `part ${body.index}`, () => this.#received.write(body.index, body.bytes));
    });
    this.#node.handle(fileEnd, async ({ messageId }) => {
      this.#once(messageId, "end 0");
      return { bytes: this.#received.bytes, sha256: await hashFile(this.#received.path) };
    });
  }

  #once(messageId: MessageId, what: string, act?: () => void): void {
    this.#log.once(messageId, what, act);
    if (!this.#hasHandled) {
      this.#hasHandled = true;
      if (this.#log.countAtStart > 0) report({ report: "handled-first", at: now(), stats: this.#node.stats() });
    }
    if (this.#log.count % progressEvery === 0) report({ report: "progress", effects: this.#log.count });
  }

  /** The first of each kind and peer is news, the others are not. */
  async #tellSessions(): Promise<void> {
    const told = new Set<string>();
    for await (const event of this.#node.events({ kinds: ["session"] })) {
      if (event.kind !== "session" || told.has(`${event.peer} ${event.state}`)) continue;
      told.add(`${event.peer} ${event.state}`);
      report({ report: "session", peer: event.peer, state: event.state });
    }
  }

  #figures(): Figures {
    return {
      sent: this.#stream?.sent ?? { sent: 0, delivered: 0, failures: [] },
      effects: this.#log.count,
      handedOverAgain: this.#log.handedOverAgain,
      heldBack: this.#heldBack(),
      stats: this.#node.stats(),
    };
  }
}
