/** The packages of NATS, which are loaded when a store in a cluster is opened, and are installed by whoever has one. */
import { StoreError } from "@egtp/session-store";

type Transport = Pick<
  typeof import("@nats-io/transport-node"),
  "connect" | "createInbox" | "credsAuthenticator" | "headers"
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

export type Nats = Transport & JetStream;

/** @throws {@link StoreError} `EGTP_STORE_MISSING_PART`. */
export async function loadNats(): Promise<Nats> {
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
