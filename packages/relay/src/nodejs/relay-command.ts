/** The command `egtp-relay`: runs a relay. */
import {
  checkNatsOptions,
  duration,
  errorText,
  type NatsOptions,
  natsPlace,
  natsShape,
  natsSpecs,
  natsUsage,
  readOptions,
  type ServerPlace,
  type ServiceLimits,
  serve,
  serverSchemaWith,
  serverSpecs,
  serverUsage,
  someText,
  tellDurability,
  UsageError,
  wholeNumber,
} from "@egtp/metatracker/command";
import type { EgtpNode } from "@egtp/node";
import { counter, counters, gauge, type Metric } from "@egtp/node/metrics";
import * as z from "zod/mini";
import { defaultMailboxLimits, type MailboxLimits } from "../limits.ts";
import { type MailboxStore, MemoryMailboxStore, type RelayAccess, type RelayServer, relayServer } from "../server.ts";
import { readAllowFile } from "./allow-file.ts";
import { LmdbMailboxStore } from "./lmdb.ts";
import { NatsMailboxStore } from "./nats.ts";

const defaults = { data: "./egtp-relay-data", port: 4820 };
const dayMs = 24 * 60 * 60 * 1_000;
const { maxMessages, maxBytes, ttlMs, maxMailboxes, maxTotalBytes } = defaultMailboxLimits;

export const relayUsage = `Usage: egtp-relay [options]

Runs a relay: it keeps sealed mail for peers that are away or accept no connections, and reads none of it. Ctrl-C ends it.

${serverUsage(defaults)}
  --store nats         mailboxes in a NATS JetStream cluster, shared by all relays there; needs the packages @nats-io/…
${natsUsage}

  --quota-messages N   mails that one mailbox holds; default ${maxMessages}
  --quota-bytes SIZE   bytes of them; default ${maxBytes / 2 ** 20}M. One sender gets at most half of a mailbox
  --ttl TIME           how long mail is kept, at most ${ttlMs / dayMs}d; default ${ttlMs / dayMs}d
  --max-mailboxes N    peers that may register; default ${maxMailboxes}
  --max-bytes SIZE     bytes of mail in all; default ${maxTotalBytes / 2 ** 30}G
  --access WHO         who may register: open (default), or allow-list: those in --allow-file
  --allow-file FILE    one peer ID on each line, comments after #

SIZE is a number of bytes, or one and K, M or G. TIME is a number and s, m, h or d.
Exit codes: 0 it was stopped, 1 it failed, 2 the command line is wrong.
`;

const specs = {
  ...serverSpecs,
  ...natsSpecs,
  "quota-messages": { type: "string" },
  "quota-bytes": { type: "string" },
  ttl: { type: "string" },
  "max-mailboxes": { type: "string" },
  "max-bytes": { type: "string" },
  access: { type: "string" },
  "allow-file": { type: "string" },
} as const;

const units: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
/** An envelope of full size must find room. */
const minBytes = 2 ** 17;

/** Bytes, written as a whole number, with K, M or G after it or without. */
const size = z.pipe(
  z.string().check(z.regex(/^\d{1,12}[KMG]?$/, "must be a whole number, or one and K, M or G")),
  z.pipe(
    z.transform((text: string) => Number.parseInt(text, 10) * units[/[KMG]?$/.exec(text)![0]]!),
    z.number().check(z.minimum(minBytes, "must be at least 128K"), z.maximum(2 ** 46, "is too large")),
  ),
);

const schema = z.extend(serverSchemaWith(defaults), {
  ...natsShape,
  "quota-messages": z._default(wholeNumber(1, 10_000_000), maxMessages),
  "quota-bytes": z._default(size, maxBytes),
  ttl: z._default(duration(1_000, ttlMs), ttlMs),
  "max-mailboxes": z._default(wholeNumber(1, 10_000_000), maxMailboxes),
  "max-bytes": z._default(size, maxTotalBytes),
  access: z._default(z.enum(["open", "allow-list"], "must be open or allow-list"), "open"),
  "allow-file": z.optional(someText),
});

/** As many peers as there may be owners and links, and those that only pass along. */
const maxPeers = 131_072;
/** Owners keep one link each, on which they are heard every minute. */
const limits: ServiceLimits = {
  maxLinks: 65_536,
  idleMs: 180_000,
  node: {
    node: { maxRoutes: maxPeers },
    delivery: { maxConversations: maxPeers },
    store: { maxCounterparties: maxPeers },
  },
};
/** Metatrackers that stand on our boot page. */
const maxBootRecords = 8;

export async function relayCommand(args: readonly string[]): Promise<number> {
  const { options } = readOptions(args, specs, schema);
  checkNatsOptions(options);
  const { "quota-messages": messages, "quota-bytes": bytes, "allow-file": allowFile } = options;
  if (options.access === "allow-list" && allowFile === undefined)
    throw new UsageError("--access allow-list needs --allow-file.");
  if (options.access === "open" && allowFile !== undefined)
    throw new UsageError("--allow-file needs --access allow-list.");
  const access: RelayAccess = allowFile === undefined ? "open" : { allow: await readAllowFile(allowFile) };
  const bounds: Partial<MailboxLimits> = {
    maxMessages: messages,
    maxBytes: bytes,
    maxSenderMessages: Math.ceil(messages / 2),
    maxSenderBytes: bytes / 2,
    maxStrangerMessages: Math.ceil(messages / 2),
    maxStrangerBytes: bytes / 2,
    maxMailboxes: options["max-mailboxes"],
    maxTotalBytes: options["max-bytes"],
    ttlMs: options.ttl,
  };
  return serve(options, async (place) => {
    const store = await openStore(options, place, bounds);
    place.closers.add(() => store.close());
    const server = relayServer({ store, access });
    return {
      name: "relay",
      part: server,
      limits,
      metrics: () => metricsOf(server),
      problems: () => [
        ...(server.storeFailure === undefined ? [] : [`The mailboxes: ${errorText(server.storeFailure)}`]),
        ...(store instanceof NatsMailboxStore && !store.isConnected ? ["The NATS cluster is not reached"] : []),
      ],
      bootRecords: metatrackerRecords,
    };
  });
}

async function openStore(
  options: NatsOptions,
  { data, log }: ServerPlace,
  bounds: Partial<MailboxLimits>,
): Promise<MailboxStore> {
  if (options.store === "memory") return new MemoryMailboxStore({ limits: bounds });
  if (options.store === "nats") {
    const shared = await NatsMailboxStore.open({ ...natsPlace(options), limits: bounds });
    await tellDurability(options, shared.serverVersion, log);
    return shared;
  }
  return LmdbMailboxStore.open(data.join("mailboxes"), {
    limits: bounds,
    onDamage: ({ path, reason }) => log.warning("set-aside", `${path} was set aside, with the mail in it: ${reason}`),
  });
}

/** Whoever finds us by our boot page finds metatrackers there too, if we know some. */
async function metatrackerRecords(node: EgtpNode): Promise<readonly Uint8Array[]> {
  const known = await node.discover("metatracker", { max: maxBootRecords });
  const records = await Promise.all(known.map((peer) => node.lookUp(peer).catch(() => undefined)));
  return records.filter((record) => record !== undefined);
}

function metricsOf(server: RelayServer): Metric[] {
  const stats = server.stats();
  const { passed, stored, held, delivered, expired, dropped, elsewhere, waiting, found, mailboxes, bytes } =
    stats.mailboxes;
  return [
    counter("egtp_relay_in_total", "Envelopes passed along: passed + stored + held + refused.", stats.in),
    counter("egtp_relay_passed_total", "Envelopes acknowledged before they were written.", passed),
    counter(
      "egtp_relay_stored_total",
      "Envelopes stored: delivered + expired + dropped + elsewhere + waiting - found.",
      stored,
    ),
    counters("egtp_relay_refused_total", "Envelopes not taken, by reason.", "reason", stats.refused),
    counter("egtp_relay_delivered_total", "Stored envelopes that their owners acknowledged.", delivered),
    counter("egtp_relay_expired_total", "Stored envelopes whose time was over.", expired),
    counters("egtp_relay_dropped_total", "Stored envelopes lost, by reason.", "reason", { damaged: dropped }),
    counter("egtp_relay_elsewhere_total", "Of shared mailboxes: stored envelopes that other relays saw to.", elsewhere),
    gauge("egtp_relay_held", "Envelopes handed over and not acknowledged yet, in memory alone.", held),
    gauge("egtp_relay_waiting", "Stored envelopes that wait for their owners.", waiting),
    gauge("egtp_relay_found", "Stored envelopes that were there at the start.", found),
    gauge("egtp_relay_bytes", "Bytes of envelopes that wait or are held.", bytes),
    gauge("egtp_relay_mailboxes", "Mailboxes.", mailboxes),
    gauge("egtp_relay_owners", "Owners that registered since the start and were heard of lately.", stats.owners),
    counter("egtp_relay_pushed_total", "Envelopes handed over, again counted again.", stats.pushed),
    counter("egtp_relay_missed_total", "Of those, not taken in.", stats.missed),
    counter("egtp_relay_unknown_total", "Mails acknowledged that nobody knows.", stats.unknown),
    counter("egtp_relay_malformed_total", "Requests that were none.", stats.malformed),
    counters("egtp_relay_registrations_total", "Registrations, by what became of them.", "state", stats.registrations),
    counter(
      "egtp_relay_store_failures_total",
      "Times that the mailboxes could not be read or written.",
      stats.storeFailures,
    ),
  ];
}
