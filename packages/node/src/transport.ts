/**
 * The seam between a running node and the media that carry its envelopes.
 *
 * A transport opens links; a link carries whole envelopes both ways, in order, and knows nothing of what is in them. Who
 * is at the other end only an authentic envelope can tell, so a link begins unauthenticated, under tight limits, until
 * the node says otherwise.
 *
 * @see docs/spec.md, "Links"
 */
import type { EgtpError, Millis, PeerId, Strategy } from "@egtp/wire";
import type { RejectReason } from "./delivery/outcome.ts";

/** Code that carries envelopes over one medium. */
export interface Transport {
  /** For reports: "tcp", "websocket", "memory". */
  readonly kind: string;

  /** Connections that were not let in since this transport was made, by reason. */
  readonly refusals: Readonly<Record<RefusalReason, number>>;

  /**
   * Lets links in for an identity. The first identity opens the listener, the last one to stop closes it; one transport
   * serves several identities when the same object is given to several nodes. A transport that only dials serves nobody:
   * the call succeeds, and no strategies come of it.
   *
   * @param onLink - Called with each link whose dialer named this identity. Call `start` on it.
   * @param onMail - Called with what others gave a relay for this identity.
   * @throws {@link TransportError} when it cannot listen; `TypeError` when the identity is already served.
   */
  serve(identity: ServedIdentity, onLink: (link: Link) => void, onMail?: TakeMail): Promise<Served>;

  /** Whether `dial` can try this strategy. */
  canDial(strategy: Strategy): boolean;

  /**
   * Opens a link to whoever is at an address and asks for `target` there. Whether the target is served there, or the one
   * who answers is the target, does not show yet: who is not the target closes the link without a word. The link
   * belongs to the caller.
   *
   * @throws {@link TransportError} when no connection comes about.
   */
  dial(strategy: Strategy, target: PeerId, options: DialOptions): Promise<Link>;
}

/**
 * Takes in an envelope that came by way of a relay, so that nobody is at the other end of it. Envelopes are handed over
 * in the order of the calls; the next one need not wait for the promise of the one before.
 *
 * @param envelope - Given over.
 * @param source - What limits per source count by: the relay.
 * @returns Resolves true when all that is in it was handled and will be remembered, or when it is of no more use: the relay
 *   may forget it. False when it was not taken in: it must be handed over again later.
 */
export type TakeMail = (envelope: Uint8Array, source: string) => Promise<boolean>;

/** The part of an identity that a transport needs to know. */
export interface ServedIdentity {
  readonly peer: PeerId;
}

/** An identity for which a transport lets links in. */
export interface Served {
  /** Where it can be reached, best first: what its contact record should say of this transport. */
  readonly strategies: readonly Strategy[];

  /** Closes the links that came in for this identity. When the promise resolves nothing of it is left open. */
  stop(): Promise<void>;
}

export interface DialOptions {
  /** Gives the attempt up. Without effect once the link exists. */
  readonly signal: AbortSignal;
  /**
   * Asked for each IP address before it is connected to, those that a name resolved to included: a name chosen by a
   * stranger must not lead into a private network. Absent: all are allowed. A medium that does not show addresses (a
   * browser's) cannot ask.
   */
  readonly permits?: (address: string) => boolean;
}

/** One live connection. */
export interface Link {
  readonly direction: "incoming" | "outgoing";
  /** The other end, for reports. */
  readonly remote: string;
  /** What limits per source count by: an IP address, or the network an IPv6 address is in. */
  readonly source: string;

  /** Bytes of envelopes with their length prefixes, as far as they arrived whole. */
  readonly bytesReceived: number;
  /** Bytes of envelopes with their length prefixes, as far as the medium took them. */
  readonly bytesSent: number;
  /** Bytes of envelopes with their length prefixes that the medium has not taken yet. */
  readonly queuedBytes: number;
  /** Whether to go on sending: false from a `send` that returned false until `drain`, and once the link ends. */
  readonly writable: boolean;

  /** Begins to hand over what arrives. Called once; nothing is handed over before it, and never while it runs. */
  start(handlers: LinkHandlers): void;

  /** What is given to `send` shall have so many bytes before it in its memory, for the link to write to. Absent: none. */
  readonly headBytes?: number;

  /**
   * Sends an envelope. On an incoming link nothing leaves before `authenticated`: it waits until then.
   *
   * @param envelope - 1 to `maxEnvelopeBytes` bytes, from now on the link's: the caller changes them no more.
   * @returns Whether to send more now. After false: wait for `drain`; the envelope was taken nevertheless. On a link that
   *   ended, or is about to, it returns false and the envelope is not taken.
   */
  send(envelope: Uint8Array): boolean;

  /**
   * The node has opened an authentic envelope from this link: the limits for strangers end, what waited may leave.
   * More calls do no harm.
   */
  authenticated(): void;

  /** Stops handing over, and where the medium can, stops the sender. */
  pause(): void;

  /**
   * Goes on handing over. An unauthenticated link pauses by itself after each envelope, so that it costs no more memory
   * than one and no more work than the node grants: call this (or `authenticated`) when the envelope was judged.
   */
  resume(): void;

  /**
   * Ends the link after what was sent has left, within a time limit. Nothing is handed over any more but `closed`.
   *
   * @param detail - Told to `closed` at this end; it does not travel.
   */
  close(detail?: string): void;
}

/** What a link tells its user. None of these is called from inside a call to the link. */
export interface LinkHandlers {
  /**
   * An envelope, whole, in the order of sending.
   *
   * @param bytes - Lent: valid, and the receiver's to change, until this returns. Copy what is kept.
   */
  envelope(bytes: Uint8Array): void;
  /** After a `send` that returned false: there is room again. */
  drain(): void;
  /**
   * An envelope has left, and its memory is the sender's again. Not every link tells.
   *
   * @param envelope - The very array that was given to `send`.
   */
  left?(envelope: Uint8Array): void;
  /**
   * On a link that leads through a relay, told of each envelope as soon as the relay says what became of it.
   *
   * @param envelope - The very array that was given to `send`.
   */
  fate?(envelope: Uint8Array, fate: EnvelopeFate): void;
  /** The link is gone. Called once, as the last. */
  closed(end: LinkEnd): void;
}

/** What became of an envelope that was given to a relay. */
export type EnvelopeFate =
  /** Its recipient acknowledged it. */
  | { readonly state: "passed" }
  /** The relay keeps it for its recipient, until then by our clock. */
  | { readonly state: "stored"; readonly relay: PeerId; readonly until: Millis }
  /** The relay did not take it: it is as if it had never left. The link closes after this. */
  | { readonly state: "refused"; readonly error: EgtpError; readonly reason: RejectReason | undefined };

/** How a link ended. */
export interface LinkEnd {
  readonly reason: LinkEndReason;
  /** More about it, for reports. */
  readonly detail: string | undefined;
  readonly error: Error | undefined;
  /**
   * What was sent but not wholly taken by the medium, in order; the caller's again. What was taken may still have been
   * lost with the link: only a receipt tells.
   */
  readonly unsent: readonly Uint8Array[];
}

export type LinkEndReason =
  /** `close` was called at this end. */
  | "closed"
  /** The other end closed it. Before any byte arrived on an outgoing link: the target is not served there. */
  | "closed-by-peer"
  /** The connection broke. */
  | "lost"
  /** Nothing authentic arrived in time. */
  | "unauthenticated"
  /** It made room for a newer one while it was unauthenticated. */
  | "displaced"
  /** Nothing was sent or received for long. */
  | "idle"
  /** The other end took nothing of what was queued for long. */
  | "stalled"
  /** What arrived is not a run of envelopes. */
  | "malformed"
  /** More arrived than can be held while it was paused. */
  | "overrun"
  /** Its identity is no longer served here. */
  | "stopped";

/** Why a connection was not let in. Its dialer is told nothing. */
export type RefusalReason =
  /** As many links as allowed. */
  | "full"
  /** As many links, or unauthenticated ones, as allowed from one source. */
  | "source-full"
  /** Its tag names no identity served here. */
  | "wrong-target"
  /** Its salt was used before. */
  | "replayed"
  /** No whole tag arrived in time, or it closed before, or spoke another protocol. */
  | "no-tag";

/** The counts of a transport that refused nobody: one that only dials stays with these. */
export const noRefusals: Readonly<Record<RefusalReason, number>> = {
  full: 0,
  "source-full": 0,
  "wrong-target": 0,
  replayed: 0,
  "no-tag": 0,
};
