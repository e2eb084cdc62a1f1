/**
 * The same story with the healing switched off: the session deadlock of 2004.
 *
 * The software of that time answered what it could not read down the connection it had come on. What came through a relay
 * had none, so no answer left, and the sender went on under a session that was no more. Here the transport of the returned
 * bob does not let session messages out: to both it is as if they had a relay of 2004 between them.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { DemoStage } from "./demo-stage.ts";
import { count, duration } from "./timeline.ts";

/** What `--json` prints. */
export interface DeadlockFigures {
  /** The deadlock was shown. */
  readonly ok: boolean;
  readonly faults: readonly string[];
  readonly heals: false;
  readonly seed: number;
  readonly store: "lmdb" | "memory";
  readonly kill: { readonly atEffects: number };
  readonly watchedMs: number;
  /** Messages of alice that wait at the end. */
  readonly stuck: number;
  /** Messages that bob handled after his return. */
  readonly handledAfterReturn: number;
  /** Envelopes that reached bob, and of those the ones that he looked at and could not read; strangers' floods he drops. */
  readonly envelopes: number;
  readonly unreadableEnvelopes: number;
  /** Session messages that bob made and that were not let out. */
  readonly heldBack: number;
  readonly times: { readonly totalMs: number; readonly downMs: number };
}

const watchMs = 4_000;
const lookEveryMs = 1_000;

export async function runDeadlock(stage: DemoStage): Promise<DeadlockFigures> {
  const { timeline, plan, options } = stage;
  const ids = await stage.begin();
  const streamed = stage.actor("alice").ask({ order: "stream", peer: ids.bob.peer, plan }, "streamed");
  timeline.tell("alice", stage.describeStream());
  const kill = await stage.killInMidStream(streamed);

  const bob = await stage.returnBob();
  timeline.tell("demo", "from now on bob is as he was in 2004: he has no way to tell alice that he cannot read her");
  const look = async () => {
    const [atAlice, atBob] = await Promise.all([
      stage.actor("alice").ask({ order: "count" }, "figures"),
      stage.actor("bob").ask({ order: "count" }, "figures"),
    ]);
    const { sent, delivered, failures } = atAlice.figures.sent;
    return {
      stuck: sent - delivered - failures.length,
      handledAfterReturn: atBob.figures.effects - bob.remembered,
      envelopes: atBob.figures.stats.envelopesIn,
      unreadableEnvelopes: atBob.figures.stats.unreadable,
      heldBack: atBob.figures.heldBack,
    };
  };
  let seen = await look();
  for (let passedMs = lookEveryMs; passedMs <= watchMs; passedMs += lookEveryMs) {
    await sleep(lookEveryMs);
    seen = await look();
    timeline.tell(
      "demo",
      `after ${duration(passedMs)}: envelopes that reached bob: ${count(seen.envelopes)}, readable: none; ` +
        `messages of alice that wait: ${count(seen.stuck)}`,
    );
  }
  const faults: string[] = [];
  if (seen.unreadableEnvelopes === 0) faults.push("bob got nothing that he could not read");
  if (seen.heldBack === 0) faults.push("bob had no session message to hold back");
  if (seen.handledAfterReturn > 0) faults.push(`bob handled ${seen.handledAfterReturn} messages after his return`);
  if (seen.stuck === 0) faults.push("no message of alice waits");
  return {
    ok: faults.length === 0,
    faults,
    heals: false,
    seed: options.seed,
    store: ids.alice.store,
    kill: { atEffects: kill.atEffects },
    watchedMs: watchMs,
    ...seen,
    times: { totalMs: Math.round(timeline.elapsedMs), downMs: Math.round(bob.at - kill.at) },
  };
}

/** The figures for people. */
export function deadlockLines(figures: DeadlockFigures): [label: string, text: string][] {
  const { stuck, handledAfterReturn, envelopes, unreadableEnvelopes, heldBack, watchedMs } = figures;
  return [
    ["stuck", `${count(stuck)} messages of alice, ${duration(watchedMs)} after bob's return`],
    ["handled since then", count(handledAfterReturn)],
    ["reached bob", `${count(envelopes)} envelopes, ${count(unreadableEnvelopes)} looked at, none readable`],
    ["held back", `${count(heldBack)} session messages of bob, any one of which would have healed it`],
  ];
}
