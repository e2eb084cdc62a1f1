/**
 * Nodes under a network that breaks links and loses envelopes, while some die and come back with or without their
 * stores: when it calms down every message still within its deadline has arrived (P1), none twice at one run (P2), and
 * then there is quiet (P6).
 */
import { createIdentity, type Identity, identityFromSeed } from "@egtp/mesgen";
import { MemorySessionStore } from "@egtp/session-store";
import { defineMessage } from "@egtp/wire";
import { expect, test } from "vitest";
import type { SendOutcome } from "../src/index.ts";
import { World, type WorldNode } from "./world.ts";

const note = defineMessage("test/note");

/** Repeatable choices (mulberry32). */
function choices(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const names = ["alice", "bob", "carol"] as const;

const seeds = Array.from(
  { length: Number(process.env.EGTP_SEEDS ?? 8) },
  (_, i) => i + Number(process.env.EGTP_SEED ?? 1),
);

test.each(seeds)(
  "seed %i",
  async (seed) => {
    const choose = choices(seed);
    const world = new World();
    const identities: Identity[] = names.map(() => identityFromSeed(createIdentity().exportSeed()));
    const stores = names.map(() => new MemorySessionStore());
    const runs = names.map(() => 0);
    /** Message texts as handed over, by recipient, run and text. */
    const handed = new Map<string, number>();
    const nodes: WorldNode[] = [];

    const join = async (index: number): Promise<void> => {
      runs[index]!++;
      const run = runs[index]!;
      // Carol accepts no connections: she is reached over the links that she opens.
      const joined = await world.join(`${names[index]}${run}`, {
        identity: identities[index]!,
        store: stores[index]!,
        listen: index !== 2,
        sealedSender: seed % 3 === 0,
      });
      joined.node.handle(note, async ({ body }) => {
        const key = `${names[index]} ${run} ${new TextDecoder().decode(body)}`;
        handed.set(key, (handed.get(key) ?? 0) + 1);
        if (choose(2) === 0) await new Promise<void>((resolve) => world.time.setTimer(resolve, choose(300)));
      });
      nodes[index] = joined;
    };
    for (const index of names.keys()) await join(index);

    let lossPercent = 0;
    const loses = (): boolean => choose(100) < lossPercent;
    world.network.drop = loses;
    const sent: { from: number; run: number; to: number; text: string; outcome: Promise<SendOutcome> }[] = [];
    for (let step = 0; step < 60; step++) {
      lossPercent = [0, 0, 5, 30][choose(4)]!;
      const from = choose(3);
      // Nobody can reach Carol but by her own links: what is written to her waits until she has opened one.
      const to = (from + 1 + choose(2)) % 3;
      for (let i = choose(4); i >= 0; i--) {
        const text = `${from}>${to} ${step}.${i}`;
        const outcome = nodes[from]!.node.send(identities[to]!.peer, note, new TextEncoder().encode(text), {
          timeoutMs: 3_600_000,
          failFast: false,
        });
        sent.push({ from, run: runs[from]!, to, text, outcome });
      }
      await world.time.pass(choose(400));
      const chance = choose(12);
      if (chance < 3) world.network.cut(`${names[chance]}${runs[chance]}`);
      if (chance === 4 || chance === 5) {
        // One dies without a word. At 4 it loses its store as well.
        const index = choose(3);
        const name = `${names[index]}${runs[index]}`;
        world.network.drop = (hop) => hop.from === name || hop.to === name || loses();
        world.network.cut(name);
        await world.time.of(nodes[index]!.node.stop());
        world.network.drop = loses;
        if (chance === 4) stores[index] = new MemorySessionStore();
        await join(index);
      }
    }
    lossPercent = 0;
    // Carol says something to everybody, so that they have a link to her.
    const hello = [0, 1].map((to) =>
      nodes[2]!.node.send(identities[to]!.peer, note, new TextEncoder().encode(`hello ${to}`), { failFast: false }),
    );
    await world.time.of(Promise.all(hello));
    await world.time.pass(600_000);

    for (const { from, run, to, text, outcome } of sent) {
      const settled = await Promise.race([outcome, Promise.resolve({ state: "open" } as const)]);
      if (run < runs[from]!) continue; // Its sender died; whoever came back does not know of it.
      expect({ text, state: settled.state }).toEqual({ text, state: "delivered" });
      const times = Array.from({ length: runs[to]! }, (_, i) => handed.get(`${names[to]} ${i + 1} ${text}`) ?? 0);
      expect(Math.max(...times)).toBe(1);
    }
    for (const [key, times] of handed) expect({ key, times }).toEqual({ key, times: 1 });

    const quiet = world.traffic.length;
    await world.time.pass(3_600_000);
    expect(world.traffic.length).toBe(quiet);
    world.network.drop = undefined;
    await world.end();
  },
  30_000,
);
