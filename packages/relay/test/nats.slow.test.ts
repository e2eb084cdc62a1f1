/** The store in a NATS cluster passes the conformance suite, here with one server; cluster.slow.test.ts kills several. */

import { NatsLink } from "@egtp/session-store/nats";
import { describeWithNats, NatsCluster } from "@egtp/test-kit/nats-cluster";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeMailboxStore } from "../src/conformance.ts";
import { mailboxLimits } from "../src/limits.ts";
import { type NatsMailboxOptions, NatsMailboxStore } from "../src/nodejs/nats.ts";
import { NatsMailLog } from "../src/nodejs/nats-log.ts";
import { SharedMailboxStore } from "../src/shared-store.ts";
import { anyPeer, mailOf } from "./mails.ts";

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

  it("does not take for stored what a server says that it has, and not where", async () => {
    const link = await NatsLink.open({ servers: cluster.urls });
    const limits = mailboxLimits();
    const store = new SharedMailboxStore(
      await NatsMailLog.open({ link, name: "nowhere", replicas: 1, partitions: 1, limits }),
    );
    const owner = anyPeer(7);
    const now = Date.now();
    await store.register(owner, { id: "a", isFirst: true }, now);
    const { questions } = link;
    const ask = questions.ask.bind(questions);
    let lies = 2;
    // As nats-server 2.10 answers when its leader was lost with what it was about to store.
    questions.ask = (async (...question: Parameters<typeof ask>) => {
      if (lies-- > 0) return { stream: "nowhere-mail-0", seq: 0, duplicate: true };
      return ask(...question);
    }) as typeof ask;
    const deposited = await store.deposit(owner, mailOf(1), false, now);
    expect(deposited).toMatchObject({ state: "stored", number: expect.toSatisfy((number: number) => number > 0) });
    expect(lies).toBe(-1);
    const mails = await store.collect(owner, 0, { maxMessages: 10, maxBytes: 1_000 }, now);
    expect(mails.length).toBe(1);
    await store.close();
  });
});
