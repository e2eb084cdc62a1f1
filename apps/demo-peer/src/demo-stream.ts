/**
 * Sends notes, questions and a file side by side, evenly over a time, and counts how each ended.
 *
 * It neither knows nor asks whether its peer is there: a send waits until it was handled or its deadline passed.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { EgtpNode, PeerId, SendOptions } from "@egtp/node";
import { FileInParts, hashFile, partCount } from "./demo-file.ts";
import type { Sent, StreamPlan } from "./demo-orders.ts";
import { fileEnd, filePart, note, ping } from "./messages.ts";

const tickMs = 10;

export class DemoStream {
  readonly #node: EgtpNode;
  readonly #peer: PeerId;
  readonly #plan: StreamPlan;
  #sent = 0;
  #delivered = 0;
  readonly #failures: string[] = [];
  #sha256: Sent["sha256"];
  #startedAt = 0;
  #firstDeliveredAt: number | undefined;

  constructor(node: EgtpNode, peer: PeerId, plan: StreamPlan) {
    this.#node = node;
    this.#peer = peer;
    this.#plan = plan;
  }

  get sent(): Sent {
    return {
      sent: this.#sent,
      delivered: this.#delivered,
      failures: this.#failures,
      ...(this.#sha256 !== undefined && { sha256: this.#sha256 }),
    };
  }

  /** From the beginning to the first message of which we know that it was handled. */
  get firstMs(): number {
    return (this.#firstDeliveredAt ?? Infinity) - this.#startedAt;
  }

  /**
   * Resolves when everything was handled or failed.
   *
   * @param path - Where the file lies, when the plan has one.
   */
  async run(path: string): Promise<void> {
    const { notes, pings, fileBytes, overMs, timeoutMs } = this.#plan;
    // That a relay keeps a message is not enough here: it must have been handled.
    const options: SendOptions = { failFast: false, timeoutMs, softTimeoutMs: timeoutMs, prompt: false };
    const parts = partCount(fileBytes);
    const file = parts > 0 ? new FileInParts(path, "read") : undefined;
    const outcomes: Promise<void>[] = [];
    const due = { notes: 0, pings: 0, parts: 0 };
    this.#startedAt = performance.now();
    while (due.notes < notes || due.pings < pings || due.parts < parts) {
      const share = Math.min(1, (performance.now() - this.#startedAt + tickMs) / overMs);
      for (; due.notes < Math.ceil(share * notes); due.notes++) {
        await this.#node.ready(this.#peer);
        outcomes.push(this.#note(due.notes, options));
      }
      for (; due.pings < Math.ceil(share * pings); due.pings++) outcomes.push(this.#ask(due.pings + 1, options));
      for (; file !== undefined && due.parts < Math.ceil(share * parts); due.parts++) {
        await this.#node.ready(this.#peer);
        const body = { index: due.parts, bytes: file.read(due.parts) };
        outcomes.push(this.#settle("part", this.#node.send(this.#peer, filePart, body, options)));
      }
      await sleep(tickMs);
    }
    await Promise.all(outcomes);
    file?.close();
    if (parts > 0) await this.#compare(path, fileBytes, timeoutMs);
  }

  #note(n: number, options: SendOptions): Promise<void> {
    const body = { n, text: `This is note ${n} of ${this.#plan.notes}.` };
    return this.#settle("note", this.#node.send(this.#peer, note, body, options));
  }

  #ask(n: number, { failFast, timeoutMs }: SendOptions): Promise<void> {
    const reply = this.#node.request(this.#peer, ping, { n }, { failFast, timeoutMs });
    return this.#settle(
      "ping",
      reply.then((answer) => ({ state: answer.n === n + 1 ? "delivered" : "answered wrongly" })),
    );
  }

  async #compare(path: string, bytes: number, timeoutMs: number): Promise<void> {
    const ours = await hashFile(path);
    const asked = this.#node.request(this.#peer, fileEnd, { bytes }, { failFast: false, timeoutMs }).then((reply) => {
      this.#sha256 = { ours, theirs: reply.sha256 };
      return { state: "delivered" };
    });
    await this.#settle("file end", asked);
  }

  async #settle(what: string, outcome: Promise<{ readonly state: string }>): Promise<void> {
    this.#sent += 1;
    let state: string;
    try {
      ({ state } = await outcome);
    } catch (error) {
      state = error instanceof Error ? error.message : String(error);
    }
    if (state !== "delivered") {
      this.#failures.push(`${what}: ${state}`);
      return;
    }
    this.#delivered += 1;
    this.#firstDeliveredAt ??= performance.now();
  }
}
