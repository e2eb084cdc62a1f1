/**
 * The relay client: a part of a node that sends by way of other peers' relays, and has relays of its own keep mail for it.
 *
 * @see docs/spec.md, "Relay"
 */

import { defaultCryptoProvider } from "@egtp/mesgen";
import { type NodePart, systemSchedule, type Transport } from "@egtp/node";
import { type Millis, type PeerId, parsePeerId } from "@egtp/wire";
import type { PassAlongCounts } from "./client-hop.ts";
import type { MailCounts } from "./client-intake.ts";
import { type RelayClientLimits, relayClientLimits } from "./client-limits.ts";
import { Listener } from "./client-listener.ts";
import type { RegistrationState } from "./client-registration.ts";
import { startSender } from "./client-sender.ts";
import { RelayTransport } from "./client-transport.ts";

export interface RelayClientOptions {
  /** The relays that are to keep our mail, at most 8. Default: those of our last contact record, and discovered ones. */
  readonly relays?: readonly PeerId[];
  /** How many of them are to do so at a time, and be named in our contact record; others are left after a while. Default 2; with 0 the node only sends by relays, and no mail is kept for it. */
  readonly count?: number;
  readonly limits?: Partial<RelayClientLimits>;
}

/** A relay that keeps mail for us, or is to. */
export interface RelayState {
  readonly relay: PeerId;
  readonly state: RegistrationState;
  /** Our contact record names it. */
  readonly isAdvertised: boolean;
  /** Smoothed; unknown before its first answer. */
  readonly roundTripMs: Millis | undefined;
}

/** Counts since the client was made; the registrations are of now, the advertised ones first, best first. */
export interface RelayClientStats {
  readonly registrations: readonly RelayState[];
  readonly mail: Readonly<MailCounts>;
  readonly passedAlong: Readonly<PassAlongCounts>;
}

export interface RelayClient extends NodePart {
  readonly transport: Transport;
  stats(): RelayClientStats;
}

const defaultCount = 2;

/**
 * Makes a relay client for one node: `createNode({ …, parts: [relayClient()] })`.
 *
 * @throws {@link WireError} `EGTP_WIRE_BAD_PEER_ID`; `RangeError` for a count or limit that cannot work.
 */
export function relayClient(options: RelayClientOptions = {}): RelayClient {
  const limits = relayClientLimits(options.limits);
  const { count = defaultCount } = options;
  if (!Number.isInteger(count) || count < 0 || count > limits.maxRegistrations) {
    throw new RangeError(`count must be a whole number from 0 to ${limits.maxRegistrations}, not ${count}`);
  }
  const relays = options.relays === undefined ? undefined : [...new Set(options.relays.map(parsePeerId))];
  if (relays !== undefined && relays.length > limits.maxRegistrations) {
    throw new RangeError(`At most ${limits.maxRegistrations} relays, not ${relays.length}`);
  }
  const transport = new RelayTransport(limits);
  let listener: Listener | undefined;
  return {
    transport,

    async start(node, nodeOptions, tell) {
      const { takeMail } = transport;
      if (takeMail === undefined || listener !== undefined) throw new TypeError("A relay client belongs to one node");
      const { schedule = systemSchedule(), crypto = defaultCryptoProvider, sealedSender = false } = nodeOptions;
      const surroundings = {
        now: () => schedule.now(),
        setTimer: (task: () => void, delayMs: Millis) => schedule.setTimer(task, delayMs),
      };
      const listening = new Listener({
        ...surroundings,
        node,
        relays,
        count,
        limits,
        takeMail,
        tell,
        randomBytes: (length) => crypto.randomBytes(length),
        verify: (key, message, signature) => crypto.verify(key, message, signature),
        onRelay: (relay) => transport.leaveWaysTo(relay),
      });
      listener = listening;
      transport.start({
        ...surroundings,
        node,
        sender: sealedSender ? await startSender(node, nodeOptions) : node,
        isOurRelay: (peer) => listening.isRelay(peer),
        publishedTo: (relay) => listening.publishedTo(relay),
      });
      if (count > 0) await listening.start();
    },

    async stop() {
      await listener?.stop();
    },

    stats() {
      return {
        registrations: (listener?.registrations() ?? []).map(({ relay, state, roundTripMs }) => ({
          relay,
          state,
          roundTripMs,
          isAdvertised: listener!.isAdvertised(relay),
        })),
        mail: { ...(listener?.counts ?? noMail) },
        passedAlong: { ...transport.counts, refused: { ...transport.counts.refused } },
      };
    },
  };
}

const noMail: MailCounts = { taken: 0, notTaken: 0, repeated: 0, acknowledged: 0 };
