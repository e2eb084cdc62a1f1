/** The options of servers that may keep their things in a NATS cluster, and share them with others like them. */
import { durabilityWarning, type NatsLinkOptions, readJetStreamReport } from "@egtp/session-store/nats";
import * as z from "zod/mini";
import { UsageError } from "./command-errors.ts";
import { type OptionSpecs, someText, wholeNumber } from "./command-line.ts";
import type { Log } from "./log.ts";

export const natsSpecs = {
  nats: { type: "string" },
  "nats-credentials": { type: "string" },
  "nats-monitor": { type: "string" },
  "nats-name": { type: "string" },
  replicas: { type: "string" },
} as const satisfies OptionSpecs;

/** Addresses, between commas. Nothing secret may stand in them: the command line is seen by all, and logged. */
const addresses = z.pipe(
  z
    .string()
    .check(
      z.regex(
        /^(nats|tls):\/\/[^\s,/@]+(,((nats|tls):\/\/)?[^\s,/@]+)*$/,
        "must be nats://HOST:PORT, several of them between commas; credentials are read from --nats-credentials",
      ),
    ),
  z.transform((text: string) => text.split(",")),
);

const monitorUrl = z.string().check(z.regex(/^https?:\/\/[^\s/@]+\/?$/, "must be http://HOST:PORT"));

export const natsShape = {
  store: z._default(z.enum(["memory", "lmdb", "nats"], "must be memory, lmdb or nats"), "lmdb"),
  nats: z.optional(addresses),
  "nats-credentials": z.optional(someText),
  "nats-monitor": z.optional(monitorUrl),
  "nats-name": z.optional(z.string().check(z.regex(/^\w[\w-]{0,63}$/, "must be letters, digits, - and _"))),
  replicas: z.optional(wholeNumber(1, 5)),
};

export interface NatsOptions {
  readonly store: "memory" | "lmdb" | "nats";
  readonly nats?: readonly string[] | undefined;
  readonly "nats-credentials"?: string | undefined;
  readonly "nats-monitor"?: string | undefined;
  readonly "nats-name"?: string | undefined;
  readonly replicas?: number | undefined;
}

/** What `--help` says of them. */
export const natsUsage = `  --nats URLS          with --store nats: nats://HOST:PORT of some servers of the cluster, between commas
  --nats-credentials FILE   what lets us in there
  --nats-monitor URL   http://HOST:PORT of a server's monitor, to see how soon it writes to disk
  --nats-name NAME     servers of one name share what they keep; default egtp
  --replicas N         on how many servers of the cluster everything is kept; default 3`;

/** @throws {@link UsageError} for options that only mean something together. */
export function checkNatsOptions(options: NatsOptions): void {
  if (options.store === "nats") {
    if (options.nats === undefined) throw new UsageError("--store nats needs --nats.");
    return;
  }
  const given = ["nats", "nats-credentials", "nats-monitor", "nats-name", "replicas"] as const;
  for (const name of given) if (options[name] !== undefined) throw new UsageError(`--${name} needs --store nats.`);
}

/** How a store is opened that is kept there. */
export interface NatsPlace extends NatsLinkOptions {
  readonly name?: string;
  readonly replicas?: number;
}

export function natsPlace(options: NatsOptions): NatsPlace {
  const { nats: servers = [], "nats-credentials": credentialsFile, "nats-name": name, replicas } = options;
  return {
    servers,
    ...(credentialsFile !== undefined && { credentialsFile }),
    ...(name !== undefined && { name }),
    ...(replicas !== undefined && { replicas }),
  };
}

/** Warns when a loss of power may take with it what the cluster acknowledged. */
export async function tellDurability(options: NatsOptions, serverVersion: string, log: Log): Promise<void> {
  const { "nats-monitor": monitorUrl } = options;
  const report =
    monitorUrl === undefined
      ? undefined
      : await readJetStreamReport(monitorUrl).catch((error: unknown) => {
          log.failed("nats-monitor", error);
          return undefined;
        });
  const warning = durabilityWarning(serverVersion, report);
  if (warning !== undefined) log.warning("durability", warning);
}
