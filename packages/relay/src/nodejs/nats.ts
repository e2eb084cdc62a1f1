/**
 * Mailboxes in a NATS JetStream cluster, shared by any number of relays: what is said to be stored is acknowledged by the quorum of
 * a stream's replicas.
 *
 * @see docs/design/relay-cluster.md
 */
import { NatsLink, type NatsLinkOptions } from "@egtp/session-store/nats";
import { type MailboxLimits, mailboxLimits } from "../limits.ts";
import { SharedMailboxStore, type SharedStoreOptions } from "../shared-store.ts";
import { NatsMailLog } from "./nats-log.ts";

export { StoreError } from "@egtp/session-store/nats";

export interface NatsMailboxOptions extends NatsLinkOptions {
  /** Begins the names of all streams and subjects: deployments of the same name share their mailboxes. Default `egtp`. */
  readonly name?: string;
  /** On how many servers each mail is kept. Default 3. */
  readonly replicas?: number;
  /** Streams over which the mailboxes of a new deployment are spread, each with a leader of its own. Default 4. */
  readonly partitions?: number;
  readonly limits?: Partial<MailboxLimits>;
}

const defaults = { name: "egtp", replicas: 3, partitions: 4 };

export class NatsMailboxStore extends SharedMailboxStore {
  readonly #link: NatsLink;

  /**
   * Connects, and makes what is not there.
   *
   * @throws {@link StoreError} `EGTP_STORE_MISSING_PART`, `EGTP_STORE_UNREACHABLE`; `RangeError` for an option that cannot work.
   */
  static async open(options: NatsMailboxOptions): Promise<NatsMailboxStore> {
    const { name = defaults.name, replicas = defaults.replicas, partitions = defaults.partitions } = options;
    if (!/^\w[\w-]{0,63}$/.test(name)) throw new RangeError("name must be letters, digits, - and _");
    const limits = mailboxLimits(options.limits);
    const link = await NatsLink.open(options);
    try {
      const log = await NatsMailLog.open({ link, name, replicas, partitions, limits });
      return new NatsMailboxStore(log, link, { limits });
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  private constructor(log: NatsMailLog, link: NatsLink, options: SharedStoreOptions) {
    super(log, options);
    this.#link = link;
  }

  /** Whether it is connected to one of the servers. */
  get isConnected(): boolean {
    return this.#link.isConnected;
  }

  /** Of the server to which it is connected now. */
  get serverVersion(): string {
    return this.#link.serverVersion;
  }
}
