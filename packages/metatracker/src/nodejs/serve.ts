/**
 * The life of a server command: opens everything, in the order in which one needs the other, says where it is, runs until it
 * is told to stop, and closes everything again.
 */
import { debuglog } from "node:util";
import {
  createNode,
  type EgtpNode,
  type Identity,
  type NodeOptionsLimits,
  type NodePart,
  type Transport,
} from "@egtp/node";
import { debugLog } from "@egtp/node/debug-log";
import { type Metric, nodeMetrics } from "@egtp/node/metrics";
import { tcp } from "@egtp/node/tcp";
import { websocket } from "@egtp/node/websocket";
import { LmdbSessionStore } from "@egtp/session-store/lmdb";
import { maxContactRecordTtlMs, type Strategy, verifyContactRecord } from "@egtp/wire";
import { BootPageMaker } from "../boot-page-maker.ts";
import type { MaybePromise } from "../directory-store.ts";
import { type MetatrackersEvent, metatrackers } from "../metatrackers.ts";
import { addressText } from "./address-text.ts";
import { bootPageFiles } from "./boot-page-files.ts";
import { type Certificate, loadCertificate } from "./certificate.ts";
import { Closers } from "./closers.ts";
import { readHost } from "./command-line.ts";
import { DataFolder } from "./data-folder.ts";
import { errorText, Log } from "./log.ts";
import { openMonitor } from "./monitor.ts";
import { processMetrics } from "./process-metrics.ts";
import { exitCodes } from "./program.ts";
import { replaceFile } from "./replace-file.ts";
import { checkServerOptions, type ServerOptions } from "./server-options.ts";
import { listenForStop } from "./stop-signal.ts";
import { type WebPage, WebServer } from "./web-server.ts";

/** What a server has before its node is made. */
export interface ServerPlace {
  readonly data: DataFolder;
  readonly identity: Identity;
  readonly log: Log;
  /** What is opened is closed when the server stops, after its node. */
  readonly closers: Closers;
}

/** What makes one server differ from another. */
export interface Service {
  /** What its contact record offers: "metatracker", "relay". */
  readonly name: string;
  readonly part: NodePart;
  readonly limits: ServiceLimits;
  readonly metrics: () => readonly Metric[];
  /** What does not work; empty when all is well. */
  readonly problems: () => readonly string[];
  /** Records that stand on the boot page behind its own. */
  readonly bootRecords: (node: EgtpNode) => MaybePromise<readonly Uint8Array[]>;
}

export interface ServiceLimits {
  /** Links at one time, for TCP and WebSocket each. */
  readonly maxLinks: number;
  /** How long a silent link is kept. */
  readonly idleMs: number;
  /** What its node needs more room for than usual. */
  readonly node?: NodeOptionsLimits;
}

const bootPagePath = "/boot.json";

/** Runs a server until it is told to stop. @returns The exit code. @throws an `EgtpError` when it cannot start. */
export async function serve(options: ServerOptions, open: (place: ServerPlace) => Promise<Service>): Promise<number> {
  checkServerOptions(options);
  const stop = listenForStop();
  const closers = new Closers();
  const log = new Log({ json: options.json });
  try {
    await start(options, open, log, closers);
    const signal = await stop.stopped;
    log.info("stopping", `Stops: ${signal}`);
  } finally {
    await closers.close();
    stop.cancel();
  }
  log.info("stopped", "Stopped");
  return exitCodes.ok;
}

async function start(
  options: ServerOptions,
  open: (place: ServerPlace) => Promise<Service>,
  log: Log,
  closers: Closers,
): Promise<void> {
  const data = await DataFolder.open(options.data);
  const identity = await data.identity();
  const certificate = await certificateFor(options);
  const service = await open({ data, identity, log, closers });
  // Given over to the node, which closes it.
  const sessions =
    options.store !== "memory"
      ? await LmdbSessionStore.open(data.join("sessions"), {
          onDamage: ({ path, reason }) => log.warning("set-aside", `${path} was set aside: ${reason}`),
        })
      : undefined;
  if (sessions !== undefined) closers.add(() => sessions.close());

  let node: EgtpNode | undefined;
  const maker = new BootPageMaker({
    identity,
    records: async () => {
      const own = node?.contactRecord;
      return own === undefined || node === undefined ? [] : [own, ...(await service.bootRecords(node))];
    },
  });
  const pages = { [bootPagePath]: bootPageFrom(maker) };
  const { host } = options;
  const { maxLinks, idleMs } = service.limits;
  const web =
    options["ws-port"] === undefined
      ? undefined
      : await WebServer.open({
          port: options["ws-port"],
          host,
          certificate,
          pages: options["serve-bootpage"] ? pages : {},
          maxConnections: maxLinks,
        });
  if (web !== undefined) closers.add(() => web.close());
  const pageServer =
    options["bootpage-port"] === undefined
      ? undefined
      : await WebServer.open({ port: options["bootpage-port"], host, certificate, pages });
  if (pageServer !== undefined) closers.add(() => pageServer.close());

  if (certificate !== undefined) {
    const renew = (): void => void renewCertificate(options, [web, pageServer], log);
    process.on("SIGHUP", renew);
    closers.add(async () => void process.off("SIGHUP", renew));
  }

  const limits = { maxLinks, idleMs };
  const advertise = options["public-host"].map((text) => {
    const { host: name, port } = readHost(text, "--public-host");
    return port === undefined ? name : { host: name, port };
  });
  const transports: Transport[] = [
    tcp({
      port: options.port,
      limits,
      ...(host !== undefined && { host }),
      ...(advertise.length > 0 && { advertise }),
    }),
  ];
  const publicUrl = options["public-url"];
  if (web !== undefined) {
    transports.push(
      websocket({
        server: web.server,
        limits,
        trustProxy: options["trust-proxy"],
        ...(publicUrl !== undefined && { publicUrl, path: new URL(publicUrl).pathname }),
      }),
    );
  }
  const bootPages = options["boot-page"];
  const running = await createNode({
    identity,
    transports,
    services: [service.name],
    parts: [service.part],
    allowPrivateAddresses: options["allow-private-addresses"],
    // As long as boot pages that somebody signed by hand: those are to lead here.
    limits: { ...service.limits.node, node: { contactTtlMs: maxContactRecordTtlMs, ...service.limits.node?.node } },
    ...(sessions !== undefined && { sessions }),
    ...(bootPages.length > 0 && {
      lookup: metatrackers({
        bootPages,
        bootPageCache: bootPageFiles(data.join("boot-pages")),
        onEvent: (event) => tellLookup(log, event),
      }),
    }),
  });
  node = running;
  closers.add(() => running.stop());
  void tellEvents(log, running);
  debugLog(running, debuglog);
  await running.start();
  await keepRecord(data, running, log, closers);

  const monitor =
    options["metrics-port"] === undefined
      ? undefined
      : await openMonitor({
          port: options["metrics-port"],
          host: options["metrics-host"],
          problems: () => service.problems(),
          metrics: () => [...service.metrics(), ...nodeMetrics(running.stats()), ...processMetrics()],
        });
  if (monitor !== undefined) closers.add(() => monitor.close());

  const addresses = strategiesOf(running).map(addressText);
  const bootPage = bootPageUrl(options, running, certificate, web, pageServer);
  const metrics = monitor && `http://${options["metrics-host"]}:${monitor.port}`;
  log.info(
    "listening",
    [
      `The ${service.name} ${running.peerId} listens at ${addresses.join(", ")}`,
      ...(bootPage === undefined ? [] : [`its boot page is ${bootPage}`]),
    ].join("; "),
    { peer: running.peerId, addresses, bootPage, metrics, store: options.store, data: data.path },
  );
}

async function certificateFor(options: ServerOptions): Promise<Certificate | undefined> {
  const { "tls-cert": cert, "tls-key": key, "public-url": publicUrl } = options;
  if (cert === undefined || key === undefined) return undefined;
  const host = publicUrl === undefined ? undefined : new URL(publicUrl).hostname.replaceAll(/[[\]]/g, "");
  return loadCertificate(cert, key, host);
}

/** For connections from now on; without one that fits, the former goes on. */
async function renewCertificate(
  options: ServerOptions,
  servers: readonly (WebServer | undefined)[],
  log: Log,
): Promise<void> {
  try {
    const certificate = (await certificateFor(options))!;
    for (const server of servers) server?.renewCertificate(certificate);
    log.info("certificate-renewed", `Read ${options["tls-cert"]} again`);
  } catch (error) {
    log.failed("certificate", error);
  }
}

/** Any page of the web may read it; it is signed. */
function bootPageFrom(maker: BootPageMaker): WebPage {
  return async () => {
    const { bytes, etag } = await maker.page();
    return {
      type: "application/json",
      body: bytes,
      etag,
      headers: {
        "access-control-allow-origin": "*",
        "access-control-allow-headers": "if-none-match",
        "access-control-max-age": "86400",
        "cache-control": "public, max-age=60",
      },
    };
  };
}

/** What to give to peers; the ID behind it makes sure that they get ours. */
function bootPageUrl(
  options: ServerOptions,
  node: EgtpNode,
  certificate: Certificate | undefined,
  web: WebServer | undefined,
  pageServer: WebServer | undefined,
): string | undefined {
  const publicUrl = options["public-url"];
  const of = (origin: string): string => `${origin}${bootPagePath}#${node.peerId}`;
  if (options["serve-bootpage"] && publicUrl !== undefined) {
    const { protocol, host } = new URL(publicUrl);
    return of(`${protocol === "wss:" ? "https" : "http"}://${host}`);
  }
  const server = options["serve-bootpage"] ? web : pageServer;
  if (server === undefined) return undefined;
  const [publicHost] = options["public-host"];
  const name =
    publicUrl === undefined
      ? publicHost === undefined
        ? localName(options.host)
        : readHost(publicHost, "--public-host").host
      : new URL(publicUrl).hostname;
  const host = name.includes(":") && !name.startsWith("[") ? `[${name}]` : name;
  return of(`${certificate === undefined ? "http" : "https"}://${host}:${server.port}`);
}

function localName(host: string | undefined): string {
  return host === undefined || host === "0.0.0.0" || host === "::" ? "localhost" : host;
}

/** The record lies beside the identity, for boot pages that are signed by hand. */
async function keepRecord(data: DataFolder, node: EgtpNode, log: Log, closers: Closers): Promise<void> {
  let kept: Uint8Array | undefined;
  const keep = async (): Promise<void> => {
    const record = node.contactRecord;
    if (record === undefined || record === kept) return;
    kept = record;
    await replaceFile(data.join("contact.record"), record).catch((error: unknown) => log.failed("record", error));
  };
  await keep();
  const timer = setInterval(() => void keep(), 60_000);
  closers.add(async () => clearInterval(timer));
}

async function tellEvents(log: Log, node: EgtpNode): Promise<void> {
  for await (const event of node.events({ kinds: ["published", "store"] })) {
    if (event.kind === "published" && event.error !== undefined) log.failed("publish", event.error);
    else if (event.kind === "store")
      log.warning("store", `A store ${event.state === "failed" ? "failed" : "was damaged"}: ${errorText(event.error)}`);
  }
}

function tellLookup(log: Log, event: MetatrackersEvent): void {
  if (event.kind === "metatracker") log.failed("metatracker", event.error);
  else if (event.state === "failed") log.failed("boot-page", event.error);
  else if (event.state === "pinned") {
    log.warning(
      "boot-page",
      `${event.url} names no publisher: from now on only pages of ${event.publisher} count there`,
    );
  } else if (event.state === "loaded") {
    log.info("boot-page", `${event.url} names ${event.records} peer${event.records === 1 ? "" : "s"}`, {
      publisher: event.publisher,
      seq: event.seq,
    });
  }
}

function strategiesOf(node: EgtpNode): readonly Strategy[] {
  const record = node.contactRecord;
  return record === undefined ? [] : verifyContactRecord(record, undefined).strategies;
}
