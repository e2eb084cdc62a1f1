/**
 * What the stage manager of the demo and its two actors say to each other over the channel between parent and child.
 * Nothing of this passes between the actors: they have only EGTP, and the URL of a boot page.
 */
import type { NodeStats, PeerId } from "@egtp/node";

/** From the parent. */
export type Order =
  /** Comes alive. Answered by `ready`. */
  | { readonly order: "start"; readonly folder: string; readonly bootPage: string; readonly heals: boolean }
  /** Asks somebody something. Answered by `met`. */
  | { readonly order: "meet"; readonly peer: PeerId; readonly n: number }
  /** Begins to send. Answered by `streamed` when everything was handled. */
  | { readonly order: "stream"; readonly peer: PeerId; readonly plan: StreamPlan }
  /** Answered by `figures`. */
  | { readonly order: "count" }
  /** Answered by `stopped`; then the process ends. */
  | { readonly order: "stop" };

/** What is to be sent, evenly over a time. */
export interface StreamPlan {
  readonly notes: number;
  readonly pings: number;
  /** Zero: no file. */
  readonly fileBytes: number;
  readonly seed: number;
  readonly overMs: number;
  /** How long each message may wait. */
  readonly timeoutMs: number;
}

/** From a child. `at`: milliseconds since the Unix epoch, with fractions. */
export type Report =
  | {
      readonly report: "ready";
      readonly peer: PeerId;
      /** How others can reach it. */
      readonly ways: string;
      readonly store: "lmdb" | "memory";
      /** Effects that an earlier run recorded. */
      readonly remembered: number;
      /** When others could find it. */
      readonly at: number;
    }
  | { readonly report: "met"; readonly tookMs: number }
  /** Its record of effects grew. */
  | { readonly report: "progress"; readonly effects: number }
  /** The first message that was handled in this run; told only by one that came back. */
  | { readonly report: "handled-first"; readonly at: number; readonly stats: NodeStats }
  /** For the first time in this run: what the node said of a session with that peer. */
  | { readonly report: "session"; readonly peer: PeerId; readonly state: string }
  | { readonly report: "streamed"; readonly sent: Sent; readonly at: number; readonly firstMs: number }
  | { readonly report: "figures"; readonly figures: Figures }
  | { readonly report: "stopped" }
  | { readonly report: "failed"; readonly message: string; readonly hint: string | undefined };

export type ReportOf<Kind extends Report["report"]> = Extract<Report, { report: Kind }>;

/** How the messages of a stream ended. */
export interface Sent {
  readonly sent: number;
  /** The peer's handler returned, or replied. */
  readonly delivered: number;
  /** Rejected, expired, unreachable: each as text. */
  readonly failures: readonly string[];
  /** SHA-256 of the file, here and as the peer replied; absent when there was none, or not yet. */
  readonly sha256?: { readonly ours: string; readonly theirs: string };
}

export interface Figures {
  readonly sent: Sent;
  readonly effects: number;
  readonly handedOverAgain: number;
  /** Session messages that were not let out, where healing is off. */
  readonly heldBack: number;
  readonly stats: NodeStats;
}
