/**
 * What happens in a node, for whoever wants to watch: values, never calls. The protocol does not depend on anybody
 * reading them.
 *
 * Each reader has a queue of its own, bounded; when it is full the newest are left out and their number is told. With no
 * reader for a kind nothing is made, so events cost nothing then.
 */
import type { EgtpError, Millis, PeerId, Strategy } from "@egtp/wire";
import type { Outcome } from "./delivery/outcome.ts";
import type { Link, LinkEndReason } from "./transport.ts";

/** What a node tells of itself. `at` is the node's clock. */
export type NodeEvent =
  /** A link came about, was found to lead to a peer for certain, fell silent, or ended. */
  | {
      readonly kind: "link";
      readonly at: Millis;
      readonly state: "opened" | "answered" | "silent" | "closed";
      readonly direction: Link["direction"];
      /** Known from the start when we dialled; else from the first authentic envelope on. */
      readonly peer: PeerId | undefined;
      readonly transport: string;
      readonly remote: string;
      /** Why it ended, when it did. */
      readonly reason: LinkEndReason | undefined;
    }
  /** A way to a peer failed. */
  | {
      readonly kind: "dial-failed";
      readonly at: Millis;
      readonly peer: PeerId;
      readonly strategy: string;
      readonly error: EgtpError;
    }
  /**
   * Sessions: a first authentic envelope under a session (`established`) or under an offer (`early`), one that nobody here
   * can read any more (`unreadable`: healing begins), sessions or offers of ours that the peer cannot read or has ended
   * (`lost`), or a peer that started anew (`restarted`).
   */
  | {
      readonly kind: "session";
      readonly at: Millis;
      /** `superseded`: the peer says that another process with our key came to it after us. A key is for one at a time. */
      readonly state: "early" | "established" | "unreadable" | "lost" | "restarted" | "superseded";
      readonly peer: PeerId;
    }
  /** A message was handed to its handler, or one of ours ended. */
  | {
      readonly kind: "message";
      readonly at: Millis;
      readonly direction: "in";
      readonly peer: PeerId;
      readonly type: string;
      readonly messageId: string;
      readonly bytes: number;
    }
  | {
      readonly kind: "message";
      readonly at: Millis;
      readonly direction: "out";
      readonly peer: PeerId;
      readonly type: string;
      /** `undefined` for what never got as far as the outbox. */
      readonly messageId: string | undefined;
      /** One that was stored or kept ends once more, later; what an earlier run kept, without having been sent in this one. */
      readonly outcome: Outcome["state"] | "replied";
      readonly bytes: number;
    }
  /** A handler threw, or gave out or was given what does not fit the schema. */
  | {
      readonly kind: "handler-failed";
      readonly at: Millis;
      readonly peer: PeerId;
      readonly type: string;
      readonly messageId: string;
      readonly error: unknown;
    }
  /** An envelope that was not opened, and why; `refused`: a bucket was empty. */
  | {
      readonly kind: "drop";
      readonly at: Millis;
      readonly reason: string;
      readonly source: string;
      /** What is wrong with its bytes, where that is the reason. */
      readonly error: EgtpError | undefined;
    }
  /** Our own contact record was published, or could not be. */
  | {
      readonly kind: "published";
      readonly at: Millis;
      readonly seq: number;
      readonly strategies: readonly Strategy[];
      readonly error: EgtpError | undefined;
    }
  /**
   * A relay that keeps mail for us: from now on (`registered`), and it did so for another process with our key until now
   * (`replaced`); it is out of reach (`lost`), or does not take us (`refused`); another process with our key came to it
   * after us, and this one does not go back there (`superseded`); it is not needed any more (`left`).
   */
  | {
      readonly kind: "relay";
      readonly at: Millis;
      readonly state: "registered" | "replaced" | "lost" | "refused" | "superseded" | "left";
      readonly relay: PeerId;
      readonly error: EgtpError | undefined;
    }
  /** A record of the store was unusable at start, or a write failed. */
  | {
      readonly kind: "store";
      readonly at: Millis;
      readonly state: "damaged" | "failed";
      readonly key: string | undefined;
      readonly error: unknown;
    }
  /** This reader's queue was full. */
  | { readonly kind: "missed"; readonly at: Millis; readonly count: number };

export type NodeEventKind = NodeEvent["kind"];

export interface EventOptions {
  /** Default: all. */
  readonly kinds?: readonly NodeEventKind[];
  /** Events that wait to be read. Default 1,024. */
  readonly maxQueued?: number;
  readonly signal?: AbortSignal;
}

const defaultMaxQueued = 1_024;

/** Where events come in and are handed to their readers. */
export class EventHub {
  readonly #readers = new Set<EventReader>();
  /** How many readers each kind has. */
  readonly #wanted = new Map<NodeEventKind, number>();
  #closed = false;

  /** Whether anybody reads this kind: ask before making one. */
  wants(kind: NodeEventKind): boolean {
    return this.#readers.size > 0 && (this.#wanted.get(kind) ?? 0) > 0;
  }

  emit(event: NodeEvent): void {
    for (const reader of this.#readers) reader.offer(event);
  }

  /** A reader. It ends when the node stops, the signal aborts, or its loop is left. */
  stream(options: EventOptions): AsyncIterableIterator<NodeEvent> {
    const { kinds, maxQueued = defaultMaxQueued, signal } = options;
    if (!(maxQueued >= 1)) throw new RangeError(`maxQueued must be a number of at least 1, not ${maxQueued}`);
    const wanted = new Set<NodeEventKind>(kinds ?? allEventKinds);
    const leave = (): void => {
      if (!this.#readers.delete(reader)) return;
      for (const kind of wanted) this.#wanted.set(kind, (this.#wanted.get(kind) ?? 0) - 1);
      signal?.removeEventListener("abort", end);
    };
    const end = (): void => reader.end();
    const reader = new EventReader(wanted, maxQueued, leave);
    if (this.#closed || signal?.aborted === true) {
      reader.end();
      return reader;
    }
    this.#readers.add(reader);
    for (const kind of wanted) this.#wanted.set(kind, (this.#wanted.get(kind) ?? 0) + 1);
    signal?.addEventListener("abort", end);
    return reader;
  }

  /** Every reader ends after what it has queued. */
  close(): void {
    this.#closed = true;
    for (const reader of this.#readers) reader.end();
  }
}

export const allEventKinds: readonly NodeEventKind[] = [
  "link",
  "dial-failed",
  "session",
  "message",
  "handler-failed",
  "drop",
  "published",
  "relay",
  "store",
];

const done: IteratorResult<NodeEvent> = { done: true, value: undefined };

class EventReader implements AsyncIterableIterator<NodeEvent> {
  readonly #kinds: ReadonlySet<NodeEventKind>;
  readonly #maxQueued: number;
  readonly #leave: () => void;
  readonly #queue: NodeEvent[] = [];
  readonly #waiting: ((result: IteratorResult<NodeEvent>) => void)[] = [];
  #missed = 0;
  #ended = false;

  constructor(kinds: ReadonlySet<NodeEventKind>, maxQueued: number, leave: () => void) {
    this.#kinds = kinds;
    this.#maxQueued = maxQueued;
    this.#leave = leave;
  }

  offer(event: NodeEvent): void {
    if (!this.#kinds.has(event.kind)) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) waiting({ done: false, value: event });
    else if (this.#queue.length >= this.#maxQueued) this.#missed += 1;
    else {
      if (this.#missed > 0) {
        this.#queue.push({ kind: "missed", at: event.at, count: this.#missed });
        this.#missed = 0;
      }
      this.#queue.push(event);
    }
  }

  end(): void {
    this.#ended = true;
    this.#leave();
    for (const waiting of this.#waiting.splice(0)) waiting(done);
  }

  next(): Promise<IteratorResult<NodeEvent>> {
    const value = this.#queue.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (this.#ended) return Promise.resolve(done);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<NodeEvent>> {
    this.#queue.length = 0;
    this.end();
    return Promise.resolve(done);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
