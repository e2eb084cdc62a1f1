/**
 * What a node offers to the program it runs in, and to the parts that build on it (lookups, relay clients): types only.
 */
// `AsyncDisposable` is in no library of a program that does not ask for it. Kept for the declarations, too.
/// <reference lib="esnext.disposable" preserve="true" />
import type { Epoch, MessageType, Millis, PeerId, SessionId, Strategy } from "@egtp/wire";
import type { MessageId } from "./delivery/message-id.ts";
import type { RejectReason, Stored, StrategyFailure } from "./delivery/outcome.ts";
import type { EventOptions, NodeEvent } from "./events.ts";
import type { Link } from "./transport.ts";

/** How a send ended: exactly one of these. */
export type SendOutcome =
  /** The peer's handler returned, or its promise resolved. */
  | { readonly state: "delivered" }
  /** A relay keeps it for the peer until then. How it ends at last is an event with this peer and message ID. */
  | (Stored & { readonly messageId: MessageId })
  /** The node was stopped, and its session store keeps it: the next run goes on with it, and tells its end as an event. */
  | { readonly state: "kept"; readonly messageId: MessageId }
  /** The peer would not, or could not, handle it. It will not be sent again. */
  | { readonly state: "rejected"; readonly reason: RejectReason }
  /** It left, and its deadline passed, or the node was stopped, while nothing was known of it. It may have been handled. */
  | { readonly state: "expired" }
  /** It never left this machine: as soon as that is known, or by its deadline. */
  | { readonly state: "unreachable"; readonly reasons: readonly StrategyFailure[] };

export interface SendOptions {
  /**
   * Until when it may be handled, from now. Default: `limits.delivery.defaultDeadlineMs`, one minute, or as long as a relay
   * keeps it once one has it.
   */
  readonly timeoutMs?: Millis | undefined;
  /**
   * From then on it settles as `stored` when a relay keeps it. It stays on its way: a later delivery is an event.
   * Default: `limits.node.softTimeoutMs`, one second.
   */
  readonly softTimeoutMs?: Millis | undefined;
  /**
   * Keeps it in the session store until it is settled, so that it goes on its way when this node ends, in whatever way, and
   * another is made from the same store: as soon as there is room for it in the outbox, and that is written, within a
   * second. Default: `keepOutbox` of the node. Its deadline stays the same: give it a `timeoutMs` that outlasts a restart, and
   * `failFast: false` if it shall wait for a way to its peer.
   */
  readonly keep?: boolean | undefined;
  /** Gives it up: the promise rejects with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Default true: settle as `unreachable` as soon as it is known that nothing can leave this machine. False: keep trying
   * until the deadline.
   */
  readonly failFast?: boolean | undefined;
  /**
   * Default true: ask the peer to say at once that it was handled. False: it may say so with something else, up to 25 ms
   * later, which costs a byte less.
   */
  readonly prompt?: boolean | undefined;
}

export interface RequestOptions extends Omit<SendOptions, "timeoutMs" | "softTimeoutMs" | "keep" | "prompt"> {
  /** The hard timeout, default `limits.node.requestTimeoutMs`, 30 seconds: the promise rejects with `TimeoutError`. */
  readonly timeoutMs?: Millis | undefined;
  /** After this time without a reply, `onSoftTimeout` is called once. */
  readonly softTimeoutMs?: Millis | undefined;
  readonly onSoftTimeout?: (() => void) | undefined;
}

/** A message as its handler gets it. */
export interface ReceivedMessage<Body> {
  /** Proven: nobody else can have sent it, at least once the session is established. */
  readonly from: PeerId;
  /**
   * What the type's schema gave out. Without a schema the bytes, which are the handler's to keep; they may be a view into a
   * larger buffer, so copy them to keep them long.
   */
  readonly body: Body;
  /** The same whenever this message is handed over again: record it with the effects that must happen once. */
  readonly messageId: MessageId;
  /** It came before the session was established: without forward secrecy. */
  readonly early: boolean;
  /** The sender waits for a reply. */
  readonly isRequest: boolean;
  /** How long the sender goes on waiting, by our clock and a little too long; `Infinity` when it did not say. */
  readonly remainingMs: Millis;
  /** Aborts when the sender stops waiting, or the node stops. */
  readonly signal: AbortSignal;
}

/**
 * Handles messages of one type. The message counts as handled when it returns, or when its promise resolves; what it
 * returns is the reply to a request. When it throws, the sender hears `rejected`, and the message is not sent again.
 */
export type Handler<BodyOut, ReplyIn> = (
  message: ReceivedMessage<BodyOut>,
) => Result<ReplyIn> | Promise<Result<ReplyIn>>;

// biome-ignore lint/suspicious/noConfusingVoidType: a handler may be a function that is declared to return nothing.
type Result<ReplyIn> = ReplyIn | undefined | void;

/** Counts since the node was made; the last group is of now. */
export interface NodeStats {
  readonly envelopesIn: number;
  readonly envelopesOut: number;
  /** Bytes of envelopes, with their length prefixes. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly messagesIn: number;
  readonly messagesOut: number;
  readonly delivered: number;
  /** Settled as stored; those of them that were delivered later are counted there, too. */
  readonly stored: number;
  readonly rejected: number;
  readonly expired: number;
  readonly unreachable: number;
  /** Messages that earlier runs had kept. How they ended is among the counts above. */
  readonly resumed: number;
  /** Envelopes not opened, by reason; `refused`: an admission bucket was empty. */
  readonly drops: Readonly<Record<string, number>>;
  /** Envelopes of sessions that nobody here can read. */
  readonly unreadable: number;
  /** Halves of handshakes computed. */
  readonly handshakes: number;
  readonly dials: number;

  readonly links: number;
  readonly routes: number;
  readonly sessions: number;
  /** Sends that wait for room in an outbox. */
  readonly waitingSends: number;
  /** Messages that the session store keeps for the next run, if they are not settled before. */
  readonly kept: number;
}

export interface LookUpRequest {
  readonly signal?: AbortSignal | undefined;
  /** The number of the record that was just tried in vain: the lookup is asked for a newer one. */
  readonly tried?: number | undefined;
}

export interface DiscoverRequest {
  readonly signal?: AbortSignal | undefined;
  /** Default 16. */
  readonly max?: number | undefined;
}

export interface ReadyOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface StopOptions {
  /**
   * Publishes a goodbye: this peer does not come back, and whoever looks it up need not try. Default false. When that fails,
   * its record is forgotten when its time is over.
   */
  readonly goodbye?: boolean | undefined;
}

/** A link as it is now. */
export interface LinkState {
  readonly peer: PeerId | undefined;
  readonly direction: Link["direction"];
  readonly transport: string;
  readonly remote: string;
  /** The peer proved that the link leads to it. */
  readonly isAnswered: boolean;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** A session as it is now, the preferred one first. */
export interface SessionState {
  readonly id: SessionId;
  readonly role: "initiator" | "responder";
  readonly createdAt: Millis;
  /** False for one that was loaded: it only receives. */
  readonly sends: boolean;
  readonly confirmed: boolean;
}

/** A running peer, made by `createNode`. */
export interface EgtpNode extends AsyncDisposable {
  readonly peerId: PeerId;
  /** Names this run in message IDs. */
  readonly epoch: Epoch;

  /**
   * Opens the listeners and publishes the contact record. Called once.
   *
   * @throws {@link TransportError} when a transport cannot listen.
   */
  start(): Promise<void>;

  /**
   * Says goodbye on open links, settles what is outstanding, closes links, listeners, timers and the store. Calling it
   * twice does no harm. The node cannot be started again; what it kept goes on with the next one made from its store.
   */
  stop(options?: StopOptions): Promise<void>;

  /**
   * Takes messages of a type; what the handler returns is the reply. Messages that arrived before wait for it until their
   * deadlines.
   *
   *     node.handle(ping, ({ from, body }) => ({ n: body.n + 1 }));
   *
   * @returns What takes the handler away again.
   * @throws {@link DuplicateHandlerError}.
   */
  handle<BodyIn, BodyOut, ReplyIn, ReplyOut>(
    type: MessageType<BodyIn, BodyOut, ReplyIn, ReplyOut>,
    handler: Handler<BodyOut, ReplyIn>,
  ): () => void;

  /**
   * Sends a message, and tells how it ended. When the outbox for the peer is full it waits its turn for room.
   *
   *     const { state } = await node.send(bob, note, { text: "hi" }); // "delivered", "stored", …
   *
   * @param body - Must not change before the promise settles.
   * @returns How it ended. Rejects with `AbortedError`, `SchemaError`, `WireError`, `MessageTooLargeError`,
   *   `BacklogFullError`, `NodeStoppedError`: then nothing was sent, but for `AbortedError`. With a `TypeError` when it is to
   *   be kept and there is no session store that keeps anything.
   */
  send<BodyIn>(
    peer: PeerId,
    type: MessageType<BodyIn, unknown, unknown, unknown>,
    body: NoInfer<BodyIn>,
    options?: SendOptions,
  ): Promise<SendOutcome>;

  /**
   * Sends a request and waits for the reply.
   *
   *     const { n } = await node.request(bob, ping, { n: 1 }, { timeoutMs: 10_000, signal });
   *
   * @returns What the type's schema for replies gave out. Rejects with `UnreachableError`, `TimeoutError`,
   *   `RejectedError`, and with what `send` rejects with.
   */
  request<BodyIn, ReplyOut>(
    peer: PeerId,
    type: MessageType<BodyIn, unknown, unknown, ReplyOut>,
    body: NoInfer<BodyIn>,
    options?: RequestOptions,
  ): Promise<ReplyOut>;

  /**
   * Resolves when the outbox for the peer has room, or the node stops: await it before each send to pace a producer.
   *
   * @throws {@link AbortedError} when the signal gave it up.
   */
  ready(peer: PeerId, options?: ReadyOptions): Promise<void>;

  /**
   * What happens from now on: links, sessions, messages, relays, drops. Costs nothing while nobody reads.
   *
   *     for await (const event of node.events({ kinds: ["link", "session"] })) console.log(event.kind, event.state);
   *
   * @returns It ends when the node stops, or when its loop is left.
   */
  events(options?: EventOptions): AsyncIterableIterator<NodeEvent>;
  /** Counts since the node was made, and of what is now. */
  stats(): NodeStats;
  /** The links that are open now. */
  links(): readonly LinkState[];
  /** Whether a link is open on which the peer was heard: what is sent to it leaves at once. */
  isLinked(peer: PeerId): boolean;
  /** The sessions with a peer, the preferred one first. */
  sessions(peer: PeerId): readonly SessionState[];

  /** Our signed contact record, to be handed to others; `undefined` when there is no way in, or before `start`. */
  readonly contactRecord: Uint8Array | undefined;
  /**
   * Takes in a contact record that came some other way.
   *
   * @returns Whose it is.
   * @throws {@link WireError} when it is not a valid record.
   */
  learn(record: Uint8Array): PeerId;
  /**
   * The contact record of a peer: the newest that is known, else what the lookup finds.
   *
   * @returns Signed and verified; `undefined` when nobody knows one. Rejects with what the lookup rejects with, and with
   *   {@link WireError} when that is not a valid record of this peer.
   */
  lookUp(peer: PeerId, options?: LookUpRequest): Promise<Uint8Array | undefined>;
  /**
   * Asks the lookup for peers that offer a service, such as "relay". Their records are verified and kept.
   *
   * @returns Their IDs, without our own; none when there is no lookup, or it cannot tell.
   */
  discover(service: string, options?: DiscoverRequest): Promise<readonly PeerId[]>;
  /**
   * Says where a peer can be reached, in the order to try. Believed and dialled as they are, before those of its contact
   * record, private addresses too. Replaces what was said of it before.
   */
  introduce(peer: PeerId, strategies: readonly Strategy[]): void;
  /** Ways in besides those of the transports, such as relays with a live registration. Publishes the record anew. */
  advertise(strategies: readonly Strategy[]): void;
}
