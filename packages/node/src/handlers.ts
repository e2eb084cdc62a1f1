/**
 * Handlers by message type, and what happens around one call of them: decoding, the reply, what is thrown.
 *
 * The way of a raw message to a handler that returns at once costs one map lookup and one object; everything else comes
 * only when it is needed.
 */
import { decodeMessageBody, encodeMessageReply, type MessageType, type Millis, type PeerId } from "@egtp/wire";
import type { Handler, ReceivedMessage } from "./api.ts";
import type { MessageId } from "./delivery/message-id.ts";
import type { Delivery, Incoming, Verdict } from "./delivery.ts";
import { DuplicateHandlerError } from "./errors.ts";
import type { EventHub } from "./events.ts";
import type { NodeSchedule } from "./schedule.ts";

type AnyType = MessageType<unknown, unknown, unknown, unknown>;
type AnyHandler = Handler<unknown, unknown>;

interface Registration {
  readonly type: AnyType;
  readonly handler: AnyHandler;
  readonly isRaw: boolean;
}

export interface HandlersOptions {
  readonly events: EventHub;
  readonly schedule: NodeSchedule;
  /** The time of this turn; what was brought about leaves at its end. */
  readonly turn: () => Millis;
}

export class Handlers {
  messagesIn = 0;
  /** Set once, before anything arrives. */
  delivery!: Delivery;
  readonly #options: HandlersOptions;
  readonly #events: EventHub;
  /** Bounded by the program, which registers them. */
  readonly #byType = new Map<string, Registration>();
  /** Messages whose handlers look at their signals. Bounded by the messages that delivery holds. */
  readonly #signalled = new Set<Received>();
  #isClosed = false;

  constructor(options: HandlersOptions) {
    this.#options = options;
    this.#events = options.events;
  }

  /** @returns What takes it away again. */
  register(type: AnyType, handler: AnyHandler): () => void {
    if (this.#byType.has(type.name)) throw new DuplicateHandlerError(type.name);
    const registration: Registration = { type, handler, isRaw: type.body === undefined };
    this.#byType.set(type.name, registration);
    return () => {
      if (this.#byType.get(type.name) === registration) this.#byType.delete(type.name);
    };
  }

  /** Handlers that still run are told by their signals, and what they do is of no effect on any peer. */
  close(reason: unknown): void {
    this.#isClosed = true;
    for (const message of this.#signalled) message.abort(reason);
    this.#signalled.clear();
  }

  /** For delivery: hands a message to its handler. Never throws. */
  deliver(incoming: Incoming): Verdict {
    const registration = this.#byType.get(incoming.type);
    if (registration === undefined || this.#isClosed) return "wait";
    if (registration.type.established && incoming.early) return "refused";
    if (registration.isRaw) return this.#run(registration, incoming, incoming.body);
    let body: unknown;
    try {
      body = decodeMessageBody(registration.type, incoming.body);
    } catch (error) {
      this.#failed(incoming, error);
      return "refused";
    }
    if (!(body instanceof Promise)) return this.#run(registration, incoming, body);
    body.then(
      (decoded) => this.#conclude(incoming, this.#run(registration, incoming, decoded)),
      (error: unknown) => {
        this.#failed(incoming, error);
        this.#conclude(incoming, "refused");
      },
    );
    return "pending";
  }

  #run(registration: Registration, incoming: Incoming, body: unknown): Verdict {
    this.messagesIn += 1;
    const message = new Received(incoming, body, this.#options, this.#signalled);
    if (this.#events.wants("message")) this.#tell(incoming);
    let result: unknown;
    try {
      result = registration.handler(message);
    } catch (error) {
      message.end();
      this.#failed(incoming, error);
      return "failed";
    }
    if (isThenable(result)) {
      result.then(
        (value) => {
          message.end();
          this.#conclude(incoming, this.#returned(registration, incoming, value));
        },
        (error: unknown) => {
          message.end();
          this.#failed(incoming, error);
          this.#conclude(incoming, "failed");
        },
      );
      return "pending";
    }
    message.end();
    return this.#returned(registration, incoming, result);
  }

  /** The handler is done: sends the reply, if one is awaited. */
  #returned(registration: Registration, incoming: Incoming, value: unknown): Verdict {
    if (!incoming.isRequest) return "handled";
    const { type } = registration;
    let reply: Uint8Array | Promise<Uint8Array>;
    try {
      // A raw reply may be left out: it is empty then.
      reply = type.reply === undefined && value === undefined ? noBytes : encodeMessageReply(type, value);
    } catch (error) {
      this.#failed(incoming, error);
      return "failed";
    }
    if (!(reply instanceof Promise)) return this.#reply(incoming, reply);
    reply.then(
      (bytes) => this.#conclude(incoming, this.#reply(incoming, bytes)),
      (error: unknown) => {
        this.#failed(incoming, error);
        this.#conclude(incoming, "failed");
      },
    );
    return "pending";
  }

  #reply(incoming: Incoming, bytes: Uint8Array): Verdict {
    try {
      this.delivery.reply(incoming, bytes, this.#options.turn());
      return "handled";
    } catch (error) {
      this.#failed(incoming, error);
      return "failed";
    }
  }

  /** Tells delivery what became of a message for which it was told `pending`. */
  #conclude(incoming: Incoming, verdict: Verdict): void {
    const now = this.#options.turn();
    if (verdict === "handled") this.delivery.handled(incoming, now);
    else if (verdict === "failed") this.delivery.failed(incoming, "handler-failed", now);
    else if (verdict === "refused") this.delivery.failed(incoming, "not-accepted", now);
  }

  #failed(incoming: Incoming, error: unknown): void {
    if (!this.#events.wants("handler-failed")) return;
    const { peer, type, messageId } = incoming;
    this.#events.emit({ kind: "handler-failed", at: this.#options.schedule.now(), peer, type, messageId, error });
  }

  #tell(incoming: Incoming): void {
    const { peer, type, messageId, bodyLength } = incoming;
    const at = this.#options.schedule.now();
    this.#events.emit({ kind: "message", at, direction: "in", peer, type, messageId, bytes: bodyLength });
  }
}

/** What a handler is given. Most handlers read one or two of its fields, so the others are made when they are read. */
class Received implements ReceivedMessage<unknown> {
  readonly body: unknown;
  readonly #incoming: Incoming;
  readonly #options: HandlersOptions;
  readonly #signalled: Set<Received>;
  #controller: AbortController | undefined;
  #cancelTimer: (() => void) | undefined;
  #isOver = false;

  constructor(incoming: Incoming, body: unknown, options: HandlersOptions, signalled: Set<Received>) {
    this.body = body;
    this.#incoming = incoming;
    this.#options = options;
    this.#signalled = signalled;
  }

  get from(): PeerId {
    return this.#incoming.peer;
  }

  get messageId(): MessageId {
    return this.#incoming.messageId;
  }

  get early(): boolean {
    return this.#incoming.early;
  }

  get isRequest(): boolean {
    return this.#incoming.isRequest;
  }

  get remainingMs(): Millis {
    return Math.max(0, this.#incoming.deadlineAt - this.#options.schedule.now());
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      const { remainingMs } = this;
      if (!this.#isOver) {
        this.#signalled.add(this);
        if (remainingMs < Infinity) {
          this.#cancelTimer = this.#options.schedule.setTimer(
            () => this.abort("the sender stopped waiting"),
            remainingMs,
          );
        }
      }
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller?.abort(reason);
    this.end();
  }

  /** The handler returned. */
  end(): void {
    this.#isOver = true;
    if (this.#controller === undefined) return;
    this.#cancelTimer?.();
    this.#signalled.delete(this);
  }
}

const noBytes = new Uint8Array(0);

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
