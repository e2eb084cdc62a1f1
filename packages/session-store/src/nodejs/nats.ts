/**
 * The way to a NATS JetStream cluster, for stores that several relays or metatrackers share: `@egtp/session-store/nats`.
 *
 * The packages of NATS are loaded when a store is opened, and are installed by whoever has one.
 */
import { readFile } from "node:fs/promises";
import type { JetStreamClient, JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { StoreError } from "../errors.ts";
import { NatsQuestions } from "./nats-questions.ts";

export { StoreError } from "../errors.ts";

type Transport = Pick<
  typeof import("@nats-io/transport-node"),
  "connect" | "createInbox" | "credsAuthenticator" | "errors" | "headers"
>;
type JetStream = Pick<
  typeof import("@nats-io/jetstream"),
  | "AckPolicy"
  | "DeliverPolicy"
  | "DiscardPolicy"
  | "JetStreamApiError"
  | "StorageType"
  | "jetstream"
  | "jetstreamManager"
>;

/** What of the packages of NATS is used. */
export type Nats = Transport & JetStream;

export interface NatsLinkOptions {
  /** `nats://HOST:PORT` of some of the cluster's servers; the others are learned from them. */
  readonly servers: readonly string[];
  /** A file as `nsc` writes it, or any that NATS calls credentials. */
  readonly credentialsFile?: string;
}

export interface Patience {
  /** Ends the asking early, with its reason. */
  readonly signal?: AbortSignal;
  /** No question is asked again after so long. Default: a new leader takes 5 to 8 s, and who asks us waits for 10 s. */
  readonly giveUpMs?: number;
}

/** How soon a server is tried again that was lost. */
const reconnectMs = 100;
/** How often a server is asked whether it is there. One that misses two of these counts as lost. */
const pingMs = 1_000;
/** Answers of the cluster's leader that are missed in a row before another server is tried. */
const maxMissed = 2;
/** How long one question may take before it is asked again: a server that was frozen or cut off says nothing. */
const askMs = 2_000;
/** A question that failed is asked again after this, doubling, with half of it at random, */
const minRetryMs = 50;
/** up to this. */
const maxRetryMs = 1_000;
const defaultGiveUpMs = 9_000;

/** Codes of JetStream's answers. */
const noStream = 10_059;
const nameInUse = 10_058;
/** Answers below 500 that may pass nevertheless; the last three come from servers of 2.11 and later. */
const passingCodes: ReadonlySet<number> = new Set([
  10_005, // no suitable peers for placement: servers that have just started do not know each other yet
  10_158, // duplicate message id is in process: what was asked before is under way
  10_164, // wrong last sequence, without a number: something else is under way in the same place
  10_167, // too many requests
]);

/** @throws {@link StoreError} `EGTP_STORE_MISSING_PART`. */
async function loadNats(): Promise<Nats> {
  try {
    return { ...(await import("@nats-io/transport-node")), ...(await import("@nats-io/jetstream")) };
  } catch (cause) {
    throw new StoreError(
      "EGTP_STORE_MISSING_PART",
      "The store in a NATS cluster needs the packages @nats-io/transport-node and @nats-io/jetstream, which cannot be loaded.",
      { cause, hint: "npm install @nats-io/transport-node@^3.4.0 @nats-io/jetstream@^3.4.0" },
    );
  }
}

/** A connection that is made again for ever once it stood. */
export class NatsLink {
  readonly nats: Nats;
  readonly connection: NatsConnection;
  readonly jetstream: JetStreamClient;
  readonly manager: JetStreamManager;
  /** What is asked for each message. */
  readonly questions: NatsQuestions;
  readonly #closing = new AbortController();
  #isConnected = true;

  /**
   * Connects to the first server that answers.
   *
   * @throws {@link StoreError} `EGTP_STORE_MISSING_PART`, `EGTP_STORE_UNREACHABLE`; `RangeError` for an address with a
   *   password in it, which would stand in logs.
   */
  static async open({ servers, credentialsFile }: NatsLinkOptions): Promise<NatsLink> {
    if (servers.length === 0) throw new RangeError("servers must name one at least");
    if (servers.some((server) => server.includes("@"))) {
      throw new RangeError("servers must be addresses alone: credentials belong into a file");
    }
    const nats = await loadNats();
    try {
      const credentials = credentialsFile === undefined ? undefined : await readFile(credentialsFile);
      const connection = await nats.connect({
        servers: [...servers],
        timeout: askMs,
        maxReconnectAttempts: -1,
        reconnectTimeWait: reconnectMs,
        pingInterval: pingMs,
        maxPingOut: 2,
        // A stack trace for each question is half of what it costs.
        noAsyncTraces: true,
        ...(credentials !== undefined && { authenticator: nats.credsAuthenticator(credentials) }),
      });
      return new NatsLink(
        nats,
        connection,
        await nats.jetstreamManager(connection, { timeout: askMs, checkAPI: false }),
      );
    } catch (cause) {
      throw unreachable("No server of the NATS cluster lets us in", cause);
    }
  }

  private constructor(nats: Nats, connection: NatsConnection, manager: JetStreamManager) {
    this.nats = nats;
    this.connection = connection;
    this.jetstream = nats.jetstream(connection, { timeout: askMs });
    this.manager = manager;
    this.questions = new NatsQuestions(nats, connection, askMs);
    void this.#watchConnection();
    void this.#watchLeader();
  }

  /** Whether there is a server now. */
  get isConnected(): boolean {
    return this.#isConnected && !this.connection.isClosed();
  }

  /** Of the server to which it is connected now, such as `2.10.4`. */
  get serverVersion(): string {
    return this.connection.info?.version ?? "";
  }

  /** The code of an answer of JetStream that says no; `undefined` for any other failure. */
  apiCode(error: unknown): number | undefined {
    return error instanceof this.nats.JetStreamApiError ? error.code : undefined;
  }

  /**
   * Asks, and asks again while what fails may pass: a server that is gone, a stream without a leader. So what is asked must be
   * such that it may be done twice.
   *
   * @throws what JetStream answered, if it understood and says no; {@link StoreError} `EGTP_STORE_UNREACHABLE` when it is
   *   given up, `EGTP_STORE_CLOSED`; the signal's reason.
   */
  async patiently<Answer>(ask: () => Promise<Answer>, { signal, giveUpMs }: Patience = {}): Promise<Answer> {
    const giveUpAt = performance.now() + (giveUpMs ?? defaultGiveUpMs);
    for (let retryMs = minRetryMs; ; retryMs = Math.min(2 * retryMs, maxRetryMs)) {
      signal?.throwIfAborted();
      try {
        return await ask();
      } catch (error) {
        if (this.connection.isClosed()) {
          throw new StoreError("EGTP_STORE_CLOSED", "The store was closed.", { cause: error });
        }
        if (!this.#mayPass(error)) throw error;
        const waitMs = retryMs * (0.5 + Math.random() / 2);
        if (performance.now() + waitMs > giveUpAt) throw unreachable("The NATS cluster does not answer", error);
        await pause(waitMs, signal);
      }
    }
  }

  /**
   * Makes a stream, or gives the one that is there these bounds: asked patiently, and whoever else may do the same.
   *
   * @throws {@link StoreError} `EGTP_STORE_UNREACHABLE`, also when there are no servers for so many replicas.
   */
  async openStream(config: Partial<StreamConfig> & { readonly name: string }): Promise<void> {
    const { streams } = this.manager;
    const { num_replicas: replicas = 1 } = config;
    // Asked to keep more of a stream that it has, a server that stands alone says yes.
    if (replicas > 1 && this.connection.info?.cluster === undefined) {
      throw new StoreError(
        "EGTP_STORE_UNREACHABLE",
        `The NATS server stands alone, and cannot keep ${replicas} replicas.`,
        {
          hint: "Connect to a cluster of as many servers, or ask for one replica.",
        },
      );
    }
    const asked = async (): Promise<void> => {
      const present = await streams.info(config.name).then(
        (found) => found.config,
        (error: unknown) => {
          if (this.apiCode(error) === noStream) return undefined;
          throw error;
        },
      );
      if (present === undefined) {
        await streams.add(config);
        return;
      }
      const isSame = Object.entries(config).every(
        ([key, value]) => JSON.stringify(present[key as keyof StreamConfig]) === JSON.stringify(value),
      );
      if (!isSame) await streams.update(config.name, config);
    };
    await this.patiently(() =>
      asked().catch((error: unknown) => {
        // Made by somebody else in the meantime, perhaps with other bounds.
        if (this.apiCode(error) === nameInUse) return asked();
        throw error;
      }),
    );
  }

  /** Passes some time, or what is left until it is closed. */
  async rest(ms: number): Promise<void> {
    await pause(ms, this.#closing.signal).catch(() => {});
  }

  async close(): Promise<void> {
    this.#closing.abort();
    if (!this.connection.isClosed()) await this.connection.close();
  }

  async #watchConnection(): Promise<void> {
    for await (const { type } of this.connection.status()) {
      if (type === "disconnect") this.#isConnected = false;
      else if (type === "reconnect") this.#isConnected = true;
    }
  }

  /** A server that is cut off from the others answers pings, and nothing else: then another one is better. */
  async #watchLeader(): Promise<void> {
    const { signal } = this.#closing;
    for (let missed = 0; !signal.aborted; ) {
      await pause(pingMs, signal).catch(() => {});
      if (signal.aborted || !this.#isConnected) continue;
      // Of the cluster's leader.
      const asked = this.manager.getAccountInfo();
      missed = await asked.then(
        () => 0,
        (error: unknown) => (this.#mayPass(error) ? missed + 1 : 0),
      );
      if (missed < maxMissed) continue;
      missed = 0;
      await this.connection.reconnect().catch(() => {});
    }
  }

  #mayPass(error: unknown): boolean {
    const { JetStreamApiError, errors } = this.nats;
    // Below 500 it understood, and says no.
    if (error instanceof JetStreamApiError) return error.status >= 500 || passingCodes.has(error.code);
    // That JetStream is not enabled has for its cause that nobody answered: so it is while there is no leader.
    const { cause } = error as { cause?: unknown };
    if (cause instanceof errors.PermissionViolationError) return false;
    const passing = [errors.RequestError, errors.TimeoutError, errors.ConnectionError];
    return passing.some((kind) => error instanceof kind || cause instanceof kind);
  }
}

/** What a server's monitor says at `/jsz` of what it keeps. */
export interface JetStreamReport {
  readonly streams: number;
  readonly messages: number;
  readonly bytes: number;
  readonly maxBytes: number;
  /** How long what was acknowledged may wait for the disk: 0 for not at all, `undefined` if the server does not say. */
  readonly syncMs: number | undefined;
}

/**
 * @param monitorUrl - Of a server of the cluster, such as `http://127.0.0.1:8222`.
 * @throws {@link StoreError} `EGTP_STORE_UNREACHABLE`.
 */
export async function readJetStreamReport(monitorUrl: string): Promise<JetStreamReport> {
  try {
    const response = await fetch(new URL("jsz?config=true", `${monitorUrl}/`), { signal: AbortSignal.timeout(askMs) });
    if (!response.ok) throw new Error(`It answered ${response.status}`);
    return jetStreamReport((await response.json()) as SaidJetStream);
  } catch (cause) {
    throw new StoreError("EGTP_STORE_UNREACHABLE", `No /jsz can be read at ${monitorUrl}.`, {
      cause,
      hint: "Name the monitoring address of a NATS server with JetStream: http://HOST:8222.",
    });
  }
}

/** What is read of `/jsz`; a server leaves out what does not apply to it. */
interface SaidJetStream {
  readonly streams?: number;
  readonly messages?: number;
  readonly bytes?: number;
  readonly config?: {
    readonly max_storage?: number;
    /** Nanoseconds. */
    readonly sync_interval?: number;
    readonly sync_always?: boolean;
  };
}

/** Reads the JSON of `/jsz`. */
export function jetStreamReport(said: SaidJetStream): JetStreamReport {
  const { streams = 0, messages = 0, bytes = 0, config = {} } = said;
  const { max_storage: maxBytes = 0, sync_interval: interval, sync_always: isAlways = false } = config;
  const syncMs = isAlways ? 0 : interval === undefined ? undefined : interval / 1e6;
  return { streams, messages, bytes, maxBytes, syncMs };
}

/**
 * What whoever runs the cluster should know of power loss; `undefined` when what is acknowledged is on disks.
 *
 * @param report - Where a monitor is known.
 */
export function durabilityWarning(serverVersion: string, report?: JetStreamReport): string | undefined {
  const what = "a loss of power at most of the servers at once may lose what they acknowledged up to";
  const [major = 0, minor = 0] = serverVersion.split(".").map(Number);
  if (major < 2 || (major === 2 && minor < 10)) {
    return `NATS ${serverVersion} writes to disk every two minutes and cannot be told otherwise: ${what} then. Use 2.10 or later with sync_interval: always`;
  }
  if (report === undefined || report.syncMs === 0) return undefined;
  const syncMs = report.syncMs ?? 120_000;
  return `NATS writes to disk every ${syncMs / 1_000} s: ${what} then. Set sync_interval: always`;
}

function unreachable(what: string, cause: unknown): StoreError {
  return new StoreError("EGTP_STORE_UNREACHABLE", `${what}.`, {
    cause,
    hint: "Check the addresses, the credentials, that most of the servers run with JetStream, and that they are as many as replicas.",
  });
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal!.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
