/** A peer of a story, as the story sees it: a process that is ordered about and killed, and a folder that outlives it. */
import { fork } from "node:child_process";
import { mkdirSync } from "node:fs";
import { cp, mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type Effect,
  type Ending,
  readEffects,
  readEndings,
  readEvents,
  readSettlements,
  type Settlement,
} from "../src/effects-log.ts";
import type { Answer, Batch, Given, Order, OrderName, PeerOptions, Reply } from "../src/orders.ts";
import { Child, nodeIn } from "./child.ts";

const program = fileURLToPath(new URL("../dist/story-peer.js", import.meta.url));

interface Asked {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
}

export class Peer {
  readonly #options: PeerOptions;
  readonly #namespace: string | undefined;
  readonly #asked = new Map<number, Asked>();
  #orders = 0;
  #child: Child | undefined;
  #id: string | undefined;

  /** @param namespace - The network namespace that it is in. */
  constructor(options: PeerOptions, namespace?: string) {
    this.#options = options;
    this.#namespace = namespace;
  }

  get id(): string {
    if (this.#id === undefined) throw new Error("It was not started");
    return this.#id;
  }

  /** Brings it to life. What it does not know from its folder it does not know. */
  async start(): Promise<void> {
    const { folder } = this.#options;
    // At once: from here on there is a process, and a kill hits it.
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const [execPath, ...execArgv] = nodeIn(this.#namespace);
    const child = new Child(
      basename(folder),
      fork(program, { execPath, execArgv, stdio: ["ignore", "ignore", "pipe", "ipc"] }),
    );
    this.#child = child;
    child.process.on("message", (reply: Reply) => {
      const asked = this.#asked.get(reply.id);
      this.#asked.delete(reply.id);
      if ("failure" in reply) asked?.reject(new Error(`${child.name}: ${reply.failure}`));
      else asked?.resolve(reply.answer as never);
    });
    this.#id = (await this.order("start", this.#options)).peer;
  }

  /** Rejects when the peer fails, or ends before. */
  order<Name extends OrderName>(name: Name, given: Given<Name>): Promise<Answer<Name>> {
    const child = this.#child!;
    const order: Order = { id: this.#orders++, name, given };
    const answer = new Promise<Answer<Name>>((resolve, reject) => this.#asked.set(order.id, { resolve, reject }));
    child.process.send(order, () => {}); // one that is gone says so by itself
    const answered = child.orFailed(answer);
    answered.catch(() => {}); // it may be awaited later than it fails
    return answered;
  }

  /** Sends, and waits until all of it ended. */
  send(to: Peer, batch: string, count: Batch["count"], options: Partial<Batch> = {}): Promise<Answer<"send">> {
    return this.order("send", { to: to.id, batch, count, window: 16, until: "delivered", ...options });
  }

  /** Waits until that many of a batch were handled. */
  handled(batch: string, count: number): Promise<void> {
    return this.order("effects", { batch, count });
  }

  /** Waits until so many relays took its registration in this run. */
  registered(times = 1): Promise<void> {
    return this.order("relayEvents", { state: "registered", count: times });
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#child?.end("SIGKILL");
  }

  /** Stops it in its tracks, as a machine that sleeps. */
  freeze(): void {
    this.#child!.process.kill("SIGSTOP");
  }

  /** Lets it go on as if nothing had been. */
  thaw(): void {
    this.#child!.process.kill("SIGCONT");
  }

  /** Lets it end by itself. */
  async stop(): Promise<void> {
    await this.order("stop", undefined);
    await this.kill();
  }

  /** The total loss: all but who it is, and what it did. To be called while it does not run. */
  forget(): Promise<void> {
    return rm(join(this.#options.folder, "sessions"), { recursive: true });
  }

  /** Takes over who another is, and nothing else of it. */
  async impersonate(other: Peer): Promise<void> {
    await mkdir(this.#options.folder, { recursive: true, mode: 0o700 });
    await cp(join(other.#options.folder, "identity.key"), join(this.#options.folder, "identity.key"));
  }

  /** What lies on its disk. */
  effects(): Effect[] {
    return readEffects(join(this.#options.folder, "effects.log"));
  }

  endings(): Ending[] {
    return readEndings(join(this.#options.folder, "endings.log"));
  }

  /** When it told of an event after some time. @param of - Whether it is that one. */
  firstEvent(after: number, of: (event: string) => boolean): number | undefined {
    return readEvents(join(this.#options.folder, "events.log")).find(({ at, text }) => at >= after && of(text))?.at;
  }

  settlements(): Settlement[] {
    return readSettlements(join(this.#options.folder, "settlements.log"));
  }
}
