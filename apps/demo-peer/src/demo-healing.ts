/** The story as it goes: a peer dies, loses its sessions, comes back, and nothing is lost. */
import { setTimeout as sleep } from "node:timers/promises";
import type { NodeStats } from "@egtp/node";
import { hashFile } from "./demo-file.ts";
import type { StreamPlan } from "./demo-orders.ts";
import type { DemoStage } from "./demo-stage.ts";
import { compareEffects, type Direction, effectsOf, faultsOf, type Handled } from "./demo-verdict.ts";
import { readEffects } from "./effects-log.ts";
import { count, duration, megabytes } from "./timeline.ts";

interface Way extends Handled {
  readonly sent: number;
  readonly delivered: number;
  readonly handedOverAgain: number;
}

/** What `--json` prints. */
export interface HealingFigures {
  readonly ok: boolean;
  readonly faults: readonly string[];
  readonly heals: true;
  readonly seed: number;
  readonly store: "lmdb" | "memory";
  readonly lost: number;
  readonly handedOverAgain: number;
  readonly aliceToBob: Way;
  readonly bobToAlice: Way;
  readonly file: { readonly bytes: number; readonly parts: number; readonly sha256: string; readonly isEqual: boolean };
  readonly kill: { readonly atEffects: number; readonly unsettledOnReturn: number };
  /** How long bob was gone; from his return to the first message that he handled, and to alice's first receipt. */
  readonly times: {
    readonly totalMs: number;
    readonly downMs: number;
    readonly healMs: number;
    readonly ownFirstMs: number;
  };
  /** At bob's, from his return until he handled the first message. */
  readonly healing: {
    readonly unreadableEnvelopes: number;
    /** More of them, dropped unread: strangers get no more attention than that. */
    readonly refusedEnvelopes: number;
    readonly envelopesSent: number;
    readonly handshakes: number;
    readonly handshakesOfAlice: number;
  };
}

export async function runHealing(stage: DemoStage): Promise<HealingFigures> {
  const { timeline, plan, options } = stage;
  const ids = await stage.begin();
  const before = await stage.actor("alice").ask({ order: "count" }, "figures");

  const streamed = stage.actor("alice").ask({ order: "stream", peer: ids.bob.peer, plan }, "streamed");
  timeline.tell("alice", stage.describeStream());
  const kill = await stage.killInMidStream(streamed);

  const plansOfBob: StreamPlan = { ...plan, notes: Math.ceil(plan.notes / 10), pings: 5, fileBytes: 0, overMs: 200 };
  const bob = await stage.returnBob();
  // He speaks up himself as soon as he hears anything of alice, of whom he knows only the ID.
  await Promise.race([stage.actor("bob").first("session"), sleep(500)]);
  const streamedBack = stage.actor("bob").ask({ order: "stream", peer: ids.alice.peer, plan: plansOfBob }, "streamed");
  const onReturn = (await stage.actor("alice").ask({ order: "count" }, "figures")).figures.sent;
  const unsettledOnReturn = onReturn.sent - onReturn.delivered - onReturn.failures.length;
  timeline.tell("alice", `has not restarted; ${count(unsettledOnReturn)} messages of hers wait for bob`);
  const first = await stage.actor("bob").first("handled-first");
  const healMs = Math.max(0, first.at - bob.at); // she may find him before he knows that he can be found
  timeline.tell("bob", `handles messages of alice again, ${duration(healMs)} after his return`, "green");

  const back = await streamedBack;
  timeline.tell(
    "bob",
    `sent ${count(back.sent.sent)} messages of his own; alice had the first after ${duration(back.firstMs)}`,
  );
  const there = await streamed;
  timeline.tell("alice", `knows of all ${count(there.sent.sent)} messages how they ended`);
  const [alicesEnd, bobsEnd] = await Promise.all([
    stage.actor("alice").ask({ order: "count" }, "figures"),
    stage.actor("bob").ask({ order: "count" }, "figures"),
  ]);
  await stage.end();

  // The verdict does not rest on what the two say of themselves, but on their records and on the file.
  const sha256 = plan.parts === 0 ? "" : await hashFile(stage.pathOf("alice", "file-to-send"));
  const received = plan.parts === 0 ? "" : await hashFile(stage.pathOf("bob", "received-file"));
  const aliceToBob: Direction = {
    from: "alice",
    to: "bob",
    sent: there.sent,
    handled: compareEffects(effectsOf(plan), readEffects(stage.pathOf("bob", "effects.log"))),
  };
  const bobToAlice: Direction = {
    from: "bob",
    to: "alice",
    sent: back.sent,
    handled: compareEffects(effectsOf({ ...plansOfBob, parts: 0 }), readEffects(stage.pathOf("alice", "effects.log"))),
  };
  const hashes = [sha256, received, there.sent.sha256?.ours ?? "", there.sent.sha256?.theirs ?? ""];
  const faults = faultsOf([aliceToBob, bobToAlice], { hashes });
  const wayOf = ({ sent, handled }: Direction, handedOverAgain: number): Way => ({
    // With the question before the stream, without which they would not have met.
    sent: sent.sent + 1,
    delivered: sent.delivered + 1,
    ...handled,
    handedOverAgain,
  });
  return {
    ok: faults.length === 0,
    faults,
    heals: true,
    seed: options.seed,
    store: ids.alice.store,
    lost: aliceToBob.handled.lost + bobToAlice.handled.lost,
    handedOverAgain: bobsEnd.figures.handedOverAgain + alicesEnd.figures.handedOverAgain,
    aliceToBob: wayOf(aliceToBob, bobsEnd.figures.handedOverAgain),
    bobToAlice: wayOf(bobToAlice, alicesEnd.figures.handedOverAgain),
    file: { bytes: plan.fileBytes, parts: plan.parts, sha256, isEqual: new Set(hashes).size === 1 },
    kill: { atEffects: kill.atEffects, unsettledOnReturn },
    times: {
      totalMs: Math.round(timeline.elapsedMs),
      downMs: Math.round(bob.at - kill.at),
      healMs: round(healMs),
      ownFirstMs: round(back.firstMs),
    },
    healing: healingOf(first.stats, before.figures.stats, alicesEnd.figures.stats),
  };
}

function healingOf(bob: NodeStats, alicesBefore: NodeStats, alicesAfter: NodeStats): HealingFigures["healing"] {
  return {
    unreadableEnvelopes: bob.unreadable,
    refusedEnvelopes: bob.drops.refused ?? 0,
    envelopesSent: bob.envelopesOut,
    handshakes: bob.handshakes,
    handshakesOfAlice: alicesAfter.handshakes - alicesBefore.handshakes,
  };
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** The figures for people. */
export function healingLines(figures: HealingFigures): [label: string, text: string][] {
  const { aliceToBob, bobToAlice, file, times, healing } = figures;
  const way = ({ sent, delivered, expected, handled, twice }: Way): string =>
    `${count(sent)} sent, ${count(delivered)} acknowledged; on record ${count(handled)} of ${count(expected)}` +
    (twice === 0 ? ", each once" : `, ${count(twice)} more than once`);
  return [
    ["alice to bob", way(aliceToBob)],
    ["bob to alice", way(bobToAlice)],
    ["lost", count(figures.lost)],
    ["handed over again", `${count(figures.handedOverAgain)}: known by message ID and not done a second time`],
    ...(file.parts === 0
      ? []
      : [
          [
            "file",
            `${megabytes(file.bytes)} in ${file.parts} parts, SHA-256 ${file.sha256.slice(0, 16)}… ${file.isEqual ? "equal" : "NOT EQUAL"}`,
          ] as [string, string],
        ]),
    ["bob was gone", `${duration(times.downMs)}, then handled the first message after ${duration(times.healMs)}`],
    [
      "healing took",
      `${count(healing.unreadableEnvelopes)} unreadable envelopes and ${count(healing.refusedEnvelopes)} not looked at, ` +
        `${count(healing.envelopesSent)} sent by bob, handshakes: ` +
        `${count(healing.handshakes)} halves at bob's, ${count(healing.handshakesOfAlice)} at alice's`,
    ],
    ["in all", duration(times.totalMs)],
  ];
}
