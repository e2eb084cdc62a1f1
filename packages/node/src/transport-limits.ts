/**
 * Every size, count and duration of the transports, with its unit and its reason: first what the protocol fixes, then
 * what we chose and a caller may change.
 *
 * @see docs/spec.md, "Links"
 */
import { checkedLimits, lengthPrefixBytes, maxEnvelopeBytes } from "@egtp/wire";

// ---- Fixed by the protocol

/** Random bytes that make each dial tag a new one. */
export const dialSaltBytes = 16;

/** Bytes that open a link: the salt, and 16 bytes of hash, too many to guess. */
export const dialTagBytes = dialSaltBytes + 16;

/** How long a used salt is refused, 10 minutes. */
export const dialSaltLifeMs = 10 * 60_000;

/**
 * Bytes in a WebSocket message, 128 KiB: room for the longest envelope with its length and a dial tag. A message is in
 * memory whole before anything of it can be judged, so this bounds what a stranger can leave there.
 */
export const maxWebSocketMessageBytes = 131_072;

// ---- Chosen

export interface TransportLimits {
  /** Links let in at one time. An idle one costs some 10 KB, so this is some 40 MB. */
  readonly maxLinks: number;
  /** The same from one source: many peers may share one address behind a NAT, but one address must not take all. */
  readonly maxLinksPerSource: number;
  /**
   * Links let in that are not authenticated yet: each may hold an envelope and one read of 64 KiB, so this is 32 MiB.
   * When reached, the oldest of them makes room, since an honest dialer authenticates within a round trip or two:
   * refusing new ones would let a few sources that never speak keep everybody out.
   */
  readonly maxUnauthenticated: number;
  /** The same from one source; beyond it new ones are refused, so a source can only displace itself. */
  readonly maxUnauthenticatedPerSource: number;
  /**
   * How long a link may take to bring its first authentic envelope, tag and all. Ends slow senders and half-open
   * connections; long enough for a first contact over a slow mobile line.
   */
  readonly unauthenticatedMs: number;
  /** How long to wait for a connection: three tries of TCP, which come after 0, 1 and 3 seconds, and a slow answer. */
  readonly dialMs: number;
  /** A link that carries nothing for so long is closed; about as long as a NAT keeps a silent connection. */
  readonly idleMs: number;
  /** A link that takes nothing of what is queued for so long is closed: its other end is gone or holds memory here. */
  readonly stalledMs: number;
  /** How long a closing link may take for what was sent to leave. */
  readonly closingMs: number;
  /**
   * Silence after which the other end is asked whether it still lives: over TCP by the operating system, over WebSocket by
   * a ping. Reverse proxies end what was silent for a minute.
   */
  readonly keepAliveMs: number;
  /** Queued bytes from which `send` says stop: 16 envelopes, enough to keep a fast line busy for a turn. */
  readonly highWaterBytes: number;
  /** Queued bytes at which `drain` says go on; above 0, so that the line does not run dry meanwhile. */
  readonly lowWaterBytes: number;
  /**
   * Bytes handed to the medium at once. What a closed link cannot vouch for, and what has to move within `stalledMs`, is
   * at most this much; larger pieces are no faster.
   */
  readonly maxWriteBytes: number;
  /**
   * Bytes held while a link is paused. Only a browser, which cannot make a sender wait, comes near: a link that is being
   * judged may be sent all that its peer has queued. Nothing is lost when it ends: what was not receipted is sent again.
   */
  readonly maxHeldBytes: number;
  /**
   * Salts remembered. When full the oldest leaves: whoever fills the table in ten minutes makes valid tags, so it knows
   * the target's ID and learns nothing from a replay, while refusing newcomers would let it keep everybody out.
   */
  readonly maxUsedSalts: number;
}

export const defaultTransportLimits: TransportLimits = {
  maxLinks: 4_096,
  maxLinksPerSource: 256,
  maxUnauthenticated: 256,
  maxUnauthenticatedPerSource: 64,
  unauthenticatedMs: 10_000,
  dialMs: 10_000,
  idleMs: 5 * 60_000,
  stalledMs: 60_000,
  closingMs: 2_000,
  keepAliveMs: 45_000,
  highWaterBytes: 1_048_576,
  lowWaterBytes: 262_144,
  maxWriteBytes: 262_144,
  maxHeldBytes: 4 * 1_048_576,
  maxUsedSalts: 65_536,
};

/** The defaults with the caller's changes. @throws `RangeError` for a limit that cannot work. */
export function transportLimits(changes: Partial<TransportLimits> = {}): TransportLimits {
  const limits = checkedLimits(defaultTransportLimits, changes);
  if (limits.lowWaterBytes > limits.highWaterBytes)
    throw new RangeError("lowWaterBytes must not exceed highWaterBytes");
  return limits;
}

/** What an envelope counts on a link. */
export function linkBytesOf(envelope: Uint8Array): number {
  return lengthPrefixBytes + envelope.length;
}

/** @throws `RangeError` for an envelope that no link carries: a mistake in the calling program. */
export function checkEnvelopeLength(envelope: Uint8Array): void {
  if (envelope.length < 1 || envelope.length > maxEnvelopeBytes) {
    throw new RangeError(`A link carries envelopes of 1 to ${maxEnvelopeBytes} bytes, not ${envelope.length}`);
  }
}
