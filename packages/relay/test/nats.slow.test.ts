/** The store in a NATS cluster passes the conformance suite, here with one server; cluster.slow.test.ts kills several. */
import { describeWithNats, NatsCluster } from "@egtp/test-kit/nats-cluster";
import { afterAll, beforeAll, describe, it } from "vitest";
import { describeMailboxStore } from "../src/conformance.ts";
import { type NatsMailboxOptions, NatsMailboxStore } from "../src/nodejs/nats.ts";

describeWithNats("NatsMailboxStore", () => {
  let cluster: NatsCluster;
  beforeAll(async () => {
    cluster = await NatsCluster.start();
  });
  afterAll(async () => cluster.stop());

  let places = 0;
  function newPlace(): (options?: Partial<NatsMailboxOptions>) => Promise<NatsMailboxStore> {
    places += 1;
    const name = `place-${places}`;
    return (options) => NatsMailboxStore.open({ servers: cluster.urls, name, replicas: 1, partitions: 2, ...options });
  }

  describeMailboxStore(
    "nats",
    () => {
      const open = newPlace();
      return { open: (limits) => open({ limits }), survives: true };
    },
    { describe, it },
  );
});
