/** The options that every server command has: where it keeps things, where it listens, what it tells. */
import { isWebSocketUrl } from "@egtp/wire";
import * as z from "zod/mini";
import { UsageError } from "./command-errors.ts";
import { flag, type OptionSpecs, portNumber, someText, someTexts } from "./command-line.ts";

export const serverSpecs = {
  data: { type: "string" },
  store: { type: "string" },
  port: { type: "string" },
  host: { type: "string" },
  "public-host": { type: "string", multiple: true },
  "ws-port": { type: "string" },
  "public-url": { type: "string" },
  "tls-cert": { type: "string" },
  "tls-key": { type: "string" },
  "trust-proxy": { type: "boolean" },
  "boot-page": { type: "string", multiple: true },
  "allow-private-addresses": { type: "boolean" },
  "serve-bootpage": { type: "boolean" },
  "bootpage-port": { type: "string" },
  "metrics-port": { type: "string" },
  "metrics-host": { type: "string" },
  json: { type: "boolean" },
} as const satisfies OptionSpecs;

export const serverSchema = z.object({
  data: someText,
  store: z._default(z.enum(["memory", "lmdb"], "must be memory or lmdb"), "lmdb"),
  port: portNumber,
  host: z.optional(someText),
  "public-host": someTexts,
  "ws-port": z.optional(portNumber),
  "public-url": z.optional(
    z.string().check(z.refine(isWebSocketUrl, "must be a URL that begins with wss:// or ws://")),
  ),
  "tls-cert": z.optional(someText),
  "tls-key": z.optional(someText),
  "trust-proxy": flag,
  "boot-page": someTexts,
  "allow-private-addresses": flag,
  "serve-bootpage": flag,
  "bootpage-port": z.optional(portNumber),
  "metrics-port": z.optional(portNumber),
  "metrics-host": z._default(someText, "127.0.0.1"),
  json: flag,
});

export interface ServerOptions extends Omit<z.infer<typeof serverSchema>, "store"> {
  /** Of `nats` only what several servers share is kept there: identity and sessions are each one's own. */
  readonly store: "memory" | "lmdb" | "nats";
}

/** The schema with the defaults of one command. */
export function serverSchemaWith(defaults: { readonly data: string; readonly port: number }) {
  return z.extend(serverSchema, {
    data: z._default(someText, defaults.data),
    port: z._default(portNumber, defaults.port),
  });
}

/** What `--help` says of them. */
export function serverUsage(defaults: { readonly data: string; readonly port: number }): string {
  return `  --data FOLDER        where identity and stores are kept; default ${defaults.data}
  --store KIND         lmdb (default): survives restarts, needs the package lmdb; or memory

  --port N             TCP port; 0 lets the system choose; default ${defaults.port}
  --host ADDRESS       listen at this address only; default: all of this machine's
  --public-host HOST   what peers should dial instead, HOST or HOST:PORT. May be repeated
  --ws-port N          take WebSockets, too, at this port; needs the package ws
  --public-url URL     what peers should dial for that: wss://HOST[:PORT][/PATH]
  --tls-cert FILE      the certificate of HOST with its chain, in PEM: speak TLS at --ws-port
  --tls-key FILE       its private key, in PEM. Both are read again on SIGHUP
  --trust-proxy        a reverse proxy of ours, and nobody else, reaches --ws-port

  --boot-page URL      where to find metatrackers, to publish ourselves there. May be repeated
  --allow-private-addresses   dial private addresses of records: on a network of one's own
  --serve-bootpage     serve a boot page with our address at /boot.json of --ws-port
  --bootpage-port N    serve it at a port of its own

  --metrics-port N     tell /health and /metrics (Prometheus) at this port
  --metrics-host ADDRESS   there; default 127.0.0.1: this machine alone
  --json               log one JSON object per line
  --help               this text
`;
}

/** @throws {@link UsageError} for options that only mean something together. */
export function checkServerOptions(options: ServerOptions): void {
  const needs = (name: keyof ServerOptions, other: keyof ServerOptions): void => {
    const isGiven = options[name] !== undefined && options[name] !== false;
    if (isGiven && options[other] === undefined) throw new UsageError(`--${name} needs --${other}.`);
  };
  needs("tls-cert", "tls-key");
  needs("tls-key", "tls-cert");
  needs("public-url", "ws-port");
  needs("trust-proxy", "ws-port");
  needs("serve-bootpage", "ws-port");
  if (options["tls-cert"] !== undefined && options["ws-port"] === undefined && options["bootpage-port"] === undefined) {
    throw new UsageError("--tls-cert needs --ws-port or --bootpage-port: TCP links need none.");
  }
  if (options["public-url"]?.startsWith("ws:") === true && options["tls-cert"] !== undefined) {
    throw new UsageError("--public-url must begin with wss: when there is a certificate.");
  }
}
