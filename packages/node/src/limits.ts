/**
 * Every count and duration of a running node that is not a transport's, delivery's or the sessions', with its unit and its
 * reason. All of them are chosen; nodes with other values understand each other.
 *
 * @see docs/spec.md, "Limits"
 */
import { checkedLimits, type Millis } from "@egtp/wire";

export interface NodeLimits {
  // ---- Sending
  /** Sends that wait for room in the outbox of one peer. Beyond it they are refused. */
  readonly maxWaitingSends: number;
  /** The same over all peers, and bytes of their bodies: what waits holds memory. */
  readonly maxWaitingSendsTotal: number;
  readonly maxWaitingBytesTotal: number;
  /** After so many bytes sent in one turn `ready` waits for the turn to end: a few envelopes, and few enough to stay in the
   * processor's cache until they left. */
  readonly maxTurnBytes: number;
  /** The hard timeout of a request for which none was given. */
  readonly requestTimeoutMs: Millis;
  /** How long a send for which none was given hopes for more than that a mailbox keeps it: a round trip through a relay. */
  readonly softTimeoutMs: Millis;

  // ---- Routing
  /** Peers about whom the router remembers something; those with nothing going on leave first. */
  readonly maxRoutes: number;
  /** Attempts to open links at the same time, over all peers; further ones wait their turn. */
  readonly maxDials: number;
  /** When a strategy has not led to an answering link for so long, the next one is tried beside it. */
  readonly nextStrategyAfterMs: Millis;
  /** A link that was asked something and brings nothing authentic for so long is no longer preferred: two times 1 s. */
  readonly silentAfterMs: Millis;
  /** A strategy that failed goes behind the others for so long. */
  readonly failedStrategyMs: Millis;
  /** A way through a relay of which nothing comes, too; each time for twice as long, up to this. */
  readonly maxDoubtMs: Millis;
  /** A relay that refused something for a peer, because its mailbox is full or it is not registered, is not asked for so long. */
  readonly refusedStrategyMs: Millis;
  /**
   * What must fail fast is tried at once; when all strategies failed, more of it sent within so long settles with the same
   * reasons, so that a busy program costs ten dials and lookups a second at most. What need not fail fast is tried again
   * after this for the first time,
   */
  readonly minRetryMs: Millis;
  /**
   * then whenever the peer has been out of reach twice as long as at the attempt before, with jitter: time alone counts, not
   * how much is sent. While the program keeps sending to the peer it waits no longer than this, to notice its return;
   */
  readonly busyRetryMs: Millis;
  /** otherwise no longer than this. */
  readonly maxRetryMs: Millis;
  /**
   * While what is said to a peer leaves through a relay the direct ways to it are tried again beside that: for the first time
   * after this, in which one that restarts is back, and which bounds what a peer with ever new addresses can make us dial;
   */
  readonly minDirectRetryMs: Millis;
  /** then after pauses that double up to this: six times an hour for a way that never works. */
  readonly maxDirectRetryMs: Millis;
  /** A peer that prefers another process with our key is not dialled for so long; what is for it fails meanwhile. */
  readonly supersededMs: Millis;
  /** How long a lookup may take. */
  readonly lookupMs: Millis;
  /** Contact records kept in memory; the least recently used leaves. 1 KB each. */
  readonly maxContactRecords: number;

  /**
   * After so many bytes on a link that we dialled nothing more leaves until something authentic came on it, or the
   * challenge is repeated: a peer that restarted could read none of it. A first burst fits into one envelope, and leaves
   * whole.
   */
  readonly unansweredBytes: number;

  /** When mail for a peer lies in a mailbox for so long, it is looked up again: it may not go there any more, */
  readonly followMailMs: Millis;
  /** then ever more rarely, up to this. */
  readonly maxFollowMailMs: Millis;

  /** Mail that nobody here can read is left in its mailbox for so long at a time, to come again when its sender was not heard. */
  readonly unreadMailMs: Millis;
  /** After so long its sender is given up, or was made up. */
  readonly unreadMailForMs: Millis;
  /** Such mails held at a time; fewer than a relay hands over before it waits, so that they keep none of the others back. */
  readonly maxUnreadMails: number;

  // ---- Strangers
  /** Over an incoming link that has not answered a challenge at most so many times the bytes received are sent. */
  readonly maxAmplification: number;
  /** Incoming links with nothing authentic on them that are spoken to at one time, to answer what could not be read. */
  readonly maxSpokenTo: number;
  /** Such a link is closed when nothing authentic comes for so long after we spoke. */
  readonly spokenToMs: Millis;
  /** Sources that the admission remembers; the least recently used leaves. */
  readonly maxSources: number;

  // ---- The contact record
  /**
   * How long our contact record is valid: longer than relays keep mail for us, 21 days, since whoever would leave us some while
   * we are away has to find them.
   */
  readonly contactTtlMs: Millis;
  /** It is published anew after this, or after a third of that: a directory may forget it. */
  readonly republishMs: Millis;

  /** How long `start` waits for it to be published; then it goes on without. */
  readonly firstPublishMs: Millis;

  // ---- Stopping
  /** How long `stop` waits for the last bytes to leave. */
  readonly stopMs: Millis;
}

const minuteMs = 60_000;

export const defaultNodeLimits: NodeLimits = {
  maxWaitingSends: 4_096,
  maxWaitingSendsTotal: 65_536,
  maxWaitingBytesTotal: 64 * 1024 * 1024,
  maxTurnBytes: 256 * 1024,
  requestTimeoutMs: 30_000,
  softTimeoutMs: 1_000,
  maxRoutes: 16_384,
  maxDials: 64,
  nextStrategyAfterMs: 500,
  silentAfterMs: 2_000,
  failedStrategyMs: minuteMs,
  maxDoubtMs: 60 * minuteMs,
  refusedStrategyMs: 5_000,
  minRetryMs: 100,
  busyRetryMs: 4_000,
  maxRetryMs: minuteMs,
  minDirectRetryMs: 5_000,
  maxDirectRetryMs: 10 * minuteMs,
  supersededMs: minuteMs,
  lookupMs: 10_000,
  maxContactRecords: 4_096,
  unansweredBytes: 32 * 1024,
  followMailMs: 30_000,
  maxFollowMailMs: 60 * minuteMs,
  unreadMailMs: 5_000,
  unreadMailForMs: 60 * minuteMs,
  maxUnreadMails: 32,
  maxAmplification: 3,
  maxSpokenTo: 64,
  spokenToMs: 10_000,
  maxSources: 4_096,
  contactTtlMs: 22 * 24 * 60 * minuteMs,
  republishMs: 8 * 60 * minuteMs,
  firstPublishMs: 2_000,
  stopMs: 5_000,
};

/** The defaults with the caller's changes. @throws `RangeError` for a limit that cannot work. */
export function nodeLimits(changes: Partial<NodeLimits> = {}): NodeLimits {
  return checkedLimits(defaultNodeLimits, changes);
}
