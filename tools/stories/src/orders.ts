/** What a story asks of one of its peers, and what that tells, over the channel between their processes. Times are of {@link now}. */

import type { MetatrackersOptions } from "@egtp/metatracker";
import type { NodeEvent, NodeOptionsLimits, NodeStats } from "@egtp/node";
import type { RelayClientOptions, RelayClientStats } from "@egtp/relay";

/** What a peer is given. Its identity, its sessions and its logs are in its folder, and are made there. */
export interface PeerOptions {
  readonly folder: string;
  readonly bootPages: readonly string[];
  /** Load boot pages by http: from other machines, too. */
  readonly allowInsecure?: boolean;
  readonly keepOutbox?: boolean;
  readonly relayCount?: number;
  /** A kill takes along what was written and not synced, as if the power were cut. */
  readonly losesUnsynced?: boolean;
  readonly limits?: {
    readonly node?: NodeOptionsLimits["node"];
    readonly relay?: RelayClientOptions["limits"];
    readonly lookup?: MetatrackersOptions["limits"];
  };
}

/** Messages to be sent. Each is tried until its time is over. */
export interface Batch {
  readonly to: string;
  readonly batch: string;
  /** How many, or until the story says that it is enough. */
  readonly count: number | "until enough";
  /** How many wait for their end at a time. */
  readonly window: number;
  /** Content when a relay has it, or only when it is handled. */
  readonly until: "stored" | "delivered";
}

/** How many ended in which way, as far as their promises told. */
export type Tally = Readonly<Record<string, number>>;

export interface Figures {
  readonly node: NodeStats;
  readonly relay: RelayClientStats;
}

/** Each order with what it is given and what it answers. */
export interface Orders {
  start: (options: PeerOptions) => { readonly peer: string };
  /** Answers when all of them ended. */
  send: (batch: Batch) => Tally;
  enough: (batch: string) => void;
  /** Answers when the sends of that many of a batch ended. */
  ended: (options: { readonly batch: string; readonly count: number }) => void;
  /** Answers when that many of a batch were handled. */
  effects: (options: { readonly batch: string; readonly count: number }) => void;
  /** Answers when so many more messages were handled, of whatever batch. */
  more: (options: { readonly count: number }) => void;
  /** Answers when nothing is under way any more of what is kept across runs. */
  quiet: (_: undefined) => void;
  /** Asks a peer, and answers how long that took. */
  ask: (options: { readonly to: string }) => number;
  /** The ways in of a peer, such as `relay ybnd…`, if anybody knows it. */
  lookUp: (peer: string) => readonly string[] | undefined;
  /** Answers when that many events of the relay client were told. */
  relayEvents: (options: { readonly state: RelayEventState; readonly count: number }) => void;
  figures: (_: undefined) => Figures;
  stop: (_: undefined) => void;
}

export type RelayEventState = Extract<NodeEvent, { kind: "relay" }>["state"];

export type OrderName = keyof Orders;
export type Given<Name extends OrderName> = Parameters<Orders[Name]>[0];
export type Answer<Name extends OrderName> = ReturnType<Orders[Name]>;

/** From the story to the peer. */
export interface Order {
  readonly id: number;
  readonly name: OrderName;
  readonly given: unknown;
}

/** From the peer to the story. */
export type Reply =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly failure: string };

/** A clock that all processes of this machine share, in milliseconds. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
