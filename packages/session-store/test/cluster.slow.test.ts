/**
 * What the stores rely on in a cluster of NATS: that what three servers acknowledged is there, once, whatever happens to the one
 * that leads, and that what is asked patiently comes through.
 */
import { describeWithNats, NatsCluster } from "@egtp/test-kit/nats-cluster";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { NatsLink } from "../src/nodejs/nats.ts";

const stream = "acts";
const patience = { timeout: 30_000, interval: 100 };

describeWithNats("a cluster whose leader is lost", () => {
  let cluster: NatsCluster;
  const links: NatsLink[] = [];
  beforeAll(async () => {
    cluster = await NatsCluster.start(3);
    for (let n = 0; n < 3; n++) links.push(await NatsLink.open({ servers: cluster.urls }));
    const { StorageType } = links[0]!.nats;
    await links[0]!.openStream({ name: stream, subjects: ["act.*"], num_replicas: 3, storage: StorageType.File });
  });
  afterAll(async () => {
    await Promise.all(links.map((link) => link.close()));
    await cluster.stop();
  });

  /** Written by each until it is told to stop: under a name of its own each time, so that asking twice writes once. */
  const acknowledged = new Set<string>();
  let count = 0;
  async function write(writer: number, signal: AbortSignal, onWritten: () => void): Promise<void> {
    const link = links[writer]!;
    while (!signal.aborted) {
      const act = `${writer}-${count++}`;
      const publish = () => link.jetstream.publish(`act.${writer}`, act, { msgID: act });
      const { seq } = await link.patiently(publish, { giveUpMs: 60_000 });
      // nats-server 2.10 says that it has a duplicate, and not where: then it may have nothing.
      if (seq === 0) continue;
      acknowledged.add(act);
      onWritten();
    }
  }

  /** Writes on, and does something to the leader; resolves when all wrote on after that. */
  async function disturb(harm: (leader: number) => unknown): Promise<number> {
    const end = new AbortController();
    const counts = links.map(() => 0);
    let look = (): void => {};
    const writing = links.map((_, writer) =>
      write(writer, end.signal, () => {
        counts[writer]! += 1;
        look();
      }),
    );
    const reaches = (wanted: readonly number[]): Promise<void> =>
      new Promise((resolve) => {
        look = () => {
          if (counts.every((count, writer) => count >= wanted[writer]!)) resolve();
        };
        look();
      });
    await reaches([20, 20, 20]);
    const leader = (await cluster.leaderOf(stream))!;
    await harm(leader);
    // One of each may have been acknowledged before.
    await Promise.race([reaches(counts.map((count) => count + 20)), ...writing]);
    end.abort();
    await Promise.all(writing);
    return leader;
  }

  /**
   * All that is in the stream, as its leader says once it knows of all that was acknowledged: one that was deposed may answer, too. A
   * consumer may be with a server that was killed, and lag behind for long.
   */
  function found(): Promise<string[]> {
    const { streams } = links[0]!.manager;
    return vi.waitFor(async () => {
      const { state } = await streams.info(stream);
      expect(state.messages).toBeGreaterThanOrEqual(acknowledged.size);
      const acts: string[] = [];
      for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
        acts.push((await streams.getMessage(stream, { seq }))!.string());
      }
      return acts;
    }, patience);
  }

  /** A link chooses its server by chance. */
  async function linkAt(n: number): Promise<NatsLink> {
    for (;;) {
      const link = await NatsLink.open({ servers: cluster.urls });
      if (link.connection.info?.server_name === `n${n}`) return link;
      await link.close();
    }
  }

  it("loses nothing when it is killed", async () => {
    await cluster.restart(await disturb((leader) => cluster.kill(leader)));
  });

  it("loses nothing when it is cut off from the others: alone it acknowledges nothing, and is left for another", async () => {
    let answer: unknown;
    const leader = await disturb(async (n) => {
      const link = await linkAt(n);
      cluster.isolate(n);
      answer = await link.jetstream.publish("act.alone", "alone").catch((error: unknown) => error);
      await link.patiently(() => link.jetstream.publish("act.alone", "alone no more"), { giveUpMs: 60_000 });
      expect(link.connection.info?.server_name).not.toBe(`n${n}`);
      await link.close();
    });
    cluster.rejoin(leader);
    expect(answer).toBeInstanceOf(Error);
  });

  it("has everything once that was acknowledged", async () => {
    const acts = (await found()).filter((act) => !act.startsWith("alone"));
    expect(new Set(acts).size).toBe(acts.length);
    expect([...acknowledged].filter((act) => !acts.includes(act))).toEqual([]);
  });
});
