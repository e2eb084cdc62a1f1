/** The command `egtp-metatracker`: runs a metatracker. */

import { counter, counters, gauge, type Metric } from "@egtp/node/metrics";
import * as z from "zod/mini";
import { type DirectoryStore, MemoryDirectoryStore, type MetatrackerServer, metatrackerServer } from "../server.ts";
import { BootRecords } from "./boot-records.ts";
import { readOptions, readPeerId, someTexts, wholeNumber } from "./command-line.ts";
import { LmdbDirectoryStore } from "./lmdb.ts";
import { errorText } from "./log.ts";
import { NatsDirectoryStore } from "./nats.ts";
import {
  checkNatsOptions,
  type NatsOptions,
  natsPlace,
  natsShape,
  natsSpecs,
  natsUsage,
  tellDurability,
} from "./nats-options.ts";
import { type ServerPlace, type ServiceLimits, serve } from "./serve.ts";
import { serverSchemaWith, serverSpecs, serverUsage } from "./server-options.ts";

const defaults = { data: "./egtp-metatracker-data", port: 4810 };

export const metatrackerUsage = `Usage: egtp-metatracker [options]
       egtp-metatracker bootpage --help

Runs a metatracker: the directory in which peers find each other by ID. Ctrl-C ends it.

${serverUsage(defaults)}
  --store nats         a directory in a NATS JetStream cluster, shared by all metatrackers there
${natsUsage}

  --max-records N      records kept; those published longest ago make room; default 100000
  --introduce ID       let this metatracker stand on our boot page once it publishes here. May be repeated

Exit codes: 0 it was stopped, 1 it failed, 2 the command line is wrong.
`;

const specs = {
  ...serverSpecs,
  ...natsSpecs,
  "max-records": { type: "string" },
  introduce: { type: "string", multiple: true },
} as const;

const schema = z.extend(serverSchemaWith(defaults), {
  ...natsShape,
  "max-records": z.optional(wholeNumber(1, 10_000_000)),
  introduce: someTexts,
});

/** As many peers as there may be records, about whom the node remembers something. */
const maxPeers = 131_072;
/** Clients come for a moment every two minutes: a hundred thousand of them need some 17,000 links at a time. */
const limits: ServiceLimits = {
  maxLinks: 32_768,
  idleMs: 20_000,
  node: {
    node: { maxRoutes: maxPeers },
    delivery: { maxConversations: maxPeers },
    store: { maxCounterparties: maxPeers },
  },
};

export async function metatrackerCommand(args: readonly string[]): Promise<number> {
  const { options } = readOptions(args, specs, schema);
  checkNatsOptions(options);
  const introduced = options.introduce.map((text) => readPeerId(text, "--introduce"));
  const { "max-records": maxRecords } = options;
  return serve(options, async (place) => {
    const bounds = maxRecords === undefined ? {} : { maxRecords, maxBytes: maxRecords * 1_024 };
    const store = await openStore(options, place, bounds);
    place.closers.add(() => store.close());
    const server = metatrackerServer({ store });
    const records = new BootRecords(server, introduced);
    return {
      name: "metatracker",
      part: server,
      limits,
      metrics: () => metricsOf(server),
      problems: () => [
        ...(server.storeFailure === undefined ? [] : [`The directory: ${errorText(server.storeFailure)}`]),
        ...(store instanceof NatsDirectoryStore && !store.isConnected ? ["The NATS cluster is not reached"] : []),
      ],
      bootRecords: () => records.choose(),
    };
  });
}

async function openStore(
  options: NatsOptions,
  { data, log }: ServerPlace,
  bounds: { readonly maxRecords?: number; readonly maxBytes?: number },
): Promise<DirectoryStore> {
  if (options.store === "memory") return new MemoryDirectoryStore(bounds);
  if (options.store === "nats") {
    const shared = await NatsDirectoryStore.open({ ...natsPlace(options), limits: bounds });
    await tellDurability(options, shared.serverVersion, log);
    return shared;
  }
  const store = await LmdbDirectoryStore.open(data.join("directory"), {
    limits: bounds,
    onDamage: ({ path, reason }) => log.warning("set-aside", `${path} was set aside: ${reason}`),
  });
  if (store.damagedRecords > 0) {
    log.warning("damaged", `${store.damagedRecords} records were damaged and are left out; their peers publish again`);
  }
  return store;
}

function metricsOf({ counts, size }: MetatrackerServer): Metric[] {
  const { kept, older, found, missing, listed } = counts;
  return [
    gauge("egtp_metatracker_records", "Contact records kept, goodbyes included.", size.records),
    gauge("egtp_metatracker_record_bytes", "Bytes of the records kept.", size.bytes),
    counters("egtp_metatracker_published_total", "Records brought, by what became of them.", "state", {
      kept,
      older,
      ...Object.fromEntries(Object.entries(counts.refused).map(([reason, count]) => [`refused ${reason}`, count])),
    }),
    counters("egtp_metatracker_lookups_total", "Look-ups answered, by whether a record was found.", "result", {
      found,
      missing,
    }),
    counter("egtp_metatracker_lists_total", "Requests for peers that offer a service.", listed),
    counters(
      "egtp_metatracker_unanswered_total",
      "Look-ups and lists not answered, by reason.",
      "reason",
      counts.unanswered,
    ),
    counters("egtp_metatracker_forgotten_total", "Records forgotten, by reason.", "reason", {
      expired: counts.expired,
      displaced: size.displaced,
    }),
  ];
}
