/**
 * Mailboxes in a NATS JetStream cluster, shared by any number of relays: what is said to be stored is acknowledged by the quorum of
 * a stream's replicas.
 *
 * @see docs/design/relay-cluster.md
 */
import { readFile } from "node:fs/promises";
import { StoreError } from "@egtp/session-store";
import type { NatsConnection } from "@nats-io/transport-node";
import { type MailboxLimits, mailboxLimits } from "../limits.ts";
import { SharedMailboxStore, type SharedStoreOptions } from "../shared-store.ts";
import { NatsMailLog } from "./nats-log.ts";
import { loadNats, type Nats } from "./nats-parts.ts";

export interface NatsMailboxOptions {
  /** `nats://HOST:PORT` of some of the cluster's servers; the others are learned from them. */
  readonly servers: readonly string[];
  /** A file as `nsc` writes it, or any that NATS calls credentials. */
  readonly credentialsFile?: string;
  /** Begins the names of all streams and subjects: deployments of the same name share their mailboxes. Default `egtp`. */
  readonly name?: string;
  /** On how many servers each mail is kept. Default 3. */
  readonly replicas?: number;
  /** Streams over which the mailboxes of a new deployment are spread, each with a leader of its own. Default 4. */
  readonly partitions?: number;
  readonly limits?: Partial<MailboxLimits>;
}

const defaults = { name: "egtp", replicas: 3, partitions: 4 };
/** How soon a server is tried again that was lost. */
const reconnectMs = 100;

export class NatsMailboxStore extends SharedMailboxStore {
  /** Of the server to which it is connected now. */
  readonly #connection: NatsConnection;

  /**
   * Connects, and makes what is not there.
   *
   * @throws {@link StoreError} `EGTP_STORE_MISSING_PART`, `EGTP_STORE_UNREACHABLE`; `RangeError` for an option that cannot work.
   */
  static async open(options: NatsMailboxOptions): Promise<NatsMailboxStore> {
    const { name = defaults.name, replicas = defaults.replicas, partitions = defaults.partitions } = options;
    if (!/^\w[\w-]{0,63}$/.test(name)) throw new RangeError("name must be letters, digits, - and _");
    const limits = mailboxLimits(options.limits);
    const nats = await loadNats();
    const connection = await connect(nats, options);
    try {
      const log = await NatsMailLog.open({ nats, connection, name, replicas, partitions, limits });
      return new NatsMailboxStore(log, connection, { limits });
    } catch (cause) {
      await connection.close();
      throw unreachable("The cluster's JetStream does not answer", cause);
    }
  }

  private constructor(log: NatsMailLog, connection: NatsConnection, options: SharedStoreOptions) {
    super(log, options);
    this.#connection = connection;
  }

  /** As the server says to which it is connected; it tells what it can do. */
  get serverVersion(): string {
    return this.#connection.info?.version ?? "";
  }
}

async function connect(nats: Nats, { servers, credentialsFile }: NatsMailboxOptions): Promise<NatsConnection> {
  const credentials = credentialsFile === undefined ? undefined : await readFile(credentialsFile);
  try {
    return await nats.connect({
      servers: [...servers],
      maxReconnectAttempts: -1,
      reconnectTimeWait: reconnectMs,
      ...(credentials !== undefined && { authenticator: nats.credsAuthenticator(credentials) }),
    });
  } catch (cause) {
    throw unreachable("No server of the cluster is reached", cause);
  }
}

function unreachable(what: string, cause: unknown): StoreError {
  return new StoreError("EGTP_STORE_UNREACHABLE", `${what}.`, {
    cause,
    hint: "Check the addresses, that the servers run with JetStream, that there are as many as replicas, and the credentials.",
  });
}
