/** What a node is made from. Only the identity has no default. */
import type { CryptoProvider, Identity, MesgenLimits } from "@egtp/mesgen";
import type { SessionStore, StoreLimits } from "@egtp/session-store";
import type { AdmissionRates } from "./admission.ts";
import type { EgtpNode } from "./api.ts";
import type { DeliveryLimits } from "./delivery.ts";
import type { NodeEvent } from "./events.ts";
import type { NodeLimits } from "./limits.ts";
import type { Lookup } from "./lookup.ts";
import type { NodeSchedule } from "./schedule.ts";
import type { Transport } from "./transport.ts";

/** Something that lives with a node and uses it: a relay's client, a service. It belongs to one node. */
export interface NodePart {
  /** Added to the transports of the node. */
  readonly transport?: Transport;
  /**
   * Called when the node may send and take messages, before its contact record is published.
   *
   * @param options - What the node was made from.
   * @param tell - Hands an event to whoever reads the node's events.
   */
  start(node: EgtpNode, options: NodeOptions, tell: (event: NodeEvent) => void): Promise<void>;
  /**
   * Called while the node may still send. Should take no longer than a round trip: after `limits.node.stopMs` the node goes on
   * without it, and says that it stopped when this did.
   */
  stop(): Promise<void>;
}

/** The bounds of a node, by the part they belong to. Each has its defaults. */
export interface NodeOptionsLimits {
  readonly node?: Partial<NodeLimits>;
  readonly delivery?: Partial<DeliveryLimits>;
  readonly sessions?: Partial<MesgenLimits>;
  readonly store?: Partial<StoreLimits>;
  readonly admission?: Partial<AdmissionRates>;
}

export interface NodeOptions {
  /**
   * Who we are: `createIdentity()`, `identityFromSeed(bytes)`, or `loadIdentity` of `@egtp/node/files` or
   * `@egtp/node/browser-identity`.
   */
  readonly identity: Identity;
  /** Where sessions survive a restart. Given over: the node closes it. Default: memory, where nothing survives. */
  readonly sessions?: SessionStore;
  /**
   * Sends outlive this node: what is not settled when it ends, also by a crash, goes on with the next node made from the same
   * session store, under the same message IDs. Requests do not. Default false; `keep` of a send overrides it. The store holds
   * such messages in the clear until they are settled.
   */
  readonly keepOutbox?: boolean;
  /**
   * What opens and takes links: `tcp()` of `@egtp/node/tcp`, `MemoryNetwork` of `@egtp/node/memory`. One transport may
   * serve several nodes. Default: none; the node then reaches nobody.
   */
  readonly transports?: readonly Transport[];
  /** Who knows contact records. Given over: the node closes it. */
  readonly lookup?: Lookup;
  /** What lives with the node: it is started and stopped with it, in order and in reverse order. */
  readonly parts?: readonly NodePart[];
  /** What the contact record says that this node offers, such as "relay". */
  readonly services?: readonly string[];
  /** Hide our ID from relays and onlookers: 48 more bytes in every envelope. */
  readonly sealedSender?: boolean;
  /**
   * Dial private, loopback and link-local addresses that stand in contact records: on a network of one's own. Records come
   * from strangers, who could make a node knock on doors inside its network.
   */
  readonly allowPrivateAddresses?: boolean;
  readonly limits?: NodeOptionsLimits;
  /** Default: the provider of this platform. */
  readonly crypto?: CryptoProvider;
  /** The clock, the turns and the timer. Default: real time. */
  readonly schedule?: NodeSchedule;
}
