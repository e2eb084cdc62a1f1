/** What the page of `demo --ui` hears of the stage that it belongs to, and what it may order. Imported by both. */
import type { NodeEvent, PeerId, SessionState } from "@egtp/node";
import * as z from "zod/mini";

/** An envelope as the relay sees it: nothing else of it can be read there. */
export interface SeenEnvelope {
  readonly what: "envelope";
  readonly at: number;
  /** `undefined` when its sender is sealed. */
  readonly from: string | undefined;
  readonly to: PeerId;
  readonly type: "data" | "offer" | "acceptance";
  /** Of the session or offer it is under, in hexadecimal. */
  readonly id: string;
  readonly bytes: number;
  /** Its last bytes in hexadecimal, which say nothing. */
  readonly sample: string;
  /** What the relay did with it. */
  readonly fate: "passed" | "kept" | "refused";
}

/** How the other peer stands, told twice a second. */
export interface OtherState {
  readonly what: "other";
  readonly peer: PeerId;
  /** Its sessions with each peer that it was told of. */
  readonly sessions: Readonly<Record<PeerId, readonly SessionState[]>>;
  readonly links: readonly { readonly peer: PeerId | undefined; readonly transport: string }[];
  readonly heldBack: number;
}

/** What happened at the other peer, in one line. */
export interface OtherEvent {
  readonly what: "other-event";
  readonly at: number;
  readonly kind: NodeEvent["kind"];
  readonly state: string;
  readonly peer: PeerId | undefined;
}

/** Who is there. */
export interface Roll {
  readonly what: "roll";
  readonly bootPage: string;
  readonly metatracker: PeerId;
  readonly relay: { readonly peer: PeerId; readonly isUp: boolean };
  readonly other: { readonly peer: PeerId; readonly isUp: boolean };
  readonly heals: boolean;
  readonly tabs: readonly { readonly peer: PeerId; readonly name: string }[];
}

export type News = SeenEnvelope | OtherState | OtherEvent | Roll;

/** What a page may order; whoever sends something else is refused. */
export const pageOrder = z.discriminatedUnion("order", [
  z.object({ order: z.literal("forget") }),
  z.object({ order: z.literal("kill-relay") }),
  z.object({ order: z.literal("start-relay") }),
  z.object({ order: z.literal("heal"), on: z.boolean() }),
]);
export type PageOrder = z.infer<typeof pageOrder>;
