import fc from "fast-check";
import { expect, it } from "vitest";
import { type Counterparty, type KeptMessage, MemorySessionStore, type SessionMaps } from "../src/index.ts";
import {
  accepted,
  contentOf,
  epoch,
  marks,
  message,
  offerId,
  openMaps,
  peer,
  pending,
  session,
  sessionId,
  start,
} from "./builders.ts";

const limits = { maxSessions: 4, maxAccepted: 3, maxCounterparties: 4, maxStrangers: 2, maxFloors: 3 };
const peers = [1, 2, 3, 4, 5, 6, 7, 8];

/** The sentence of the proposal, and the bounds. */
function checkInvariant(maps: SessionMaps): void {
  const listed: string[] = [];
  let proven = 0;
  for (const us of maps.counterparties()) {
    expect(us.sessions.length).toBeLessThanOrEqual(limits.maxSessions);
    expect(us.accepted.length).toBeLessThanOrEqual(limits.maxAccepted);
    if (us.sessions.length + us.accepted.length + us.epochs.size > 0) proven++;
    for (const each of us.sessions) {
      listed.push(each.id);
      const found = maps.findSession(each.id);
      expect(found?.session).toBe(each);
      expect(found?.counterparty).toBe(us);
    }
    for (const each of us.accepted) expect(maps.findAccepted(each.offerId)?.offer).toBe(each);
    for (const each of us.accepted) expect(each.stamp).toBeGreaterThan(0);
    expect(us.pending && maps.findPending(us.pending.id)?.offer).toBe(us.pending);
    expect(us.accepted.map(({ stamp }) => stamp)).toEqual(
      us.accepted.map(({ stamp }) => stamp).toSorted((a, b) => a - b),
    );
  }
  expect(new Set(listed).size).toBe(listed.length);
  expect(maps.sessionCount).toBe(listed.length);
  expect(proven).toBeLessThanOrEqual(limits.maxCounterparties);
  expect(maps.size).toBeLessThanOrEqual(limits.maxCounterparties + limits.maxStrangers);
}

function insertChecked(maps: SessionMaps, us: Counterparty, n: number, at: number): void {
  const before = us.sessions.length;
  const dropped = maps.insertSession(us, session(n), at);
  expect(us.sessions.length).toBe(before + 1 - dropped.length);
  expect(us.sessions.some(({ id }) => id === sessionId(n))).toBe(true);
}

function restartChecked(
  maps: SessionMaps,
  store: MemorySessionStore,
  kept: ReadonlyMap<number, KeptMessage>,
): SessionMaps {
  void maps.commit();
  const next = openMaps(store, { limits });
  expect(contentOf(next)).toEqual(contentOf(maps));
  expect(next.takeMessages()).toEqual([...kept.values()].toSorted((a, b) => (a.peer < b.peer ? -1 : 1)));
  return next;
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("insert" as const),
      p: fc.constantFrom(...peers),
      n: fc.nat(40),
      at: fc.nat(6),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("accept" as const),
      p: fc.constantFrom(...peers),
      n: fc.nat(40),
      at: fc.constant(0),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "get" as const,
        "front",
        "remove",
        "pending",
        "noPending",
        "marks",
        "noMarks",
        "keep",
        "drop",
        "commit",
        "restart",
      ),
      p: fc.constantFrom(...peers),
      n: fc.nat(40),
      at: fc.constant(0),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("forget" as const),
      p: fc.constant(1),
      n: fc.constant(0),
      at: fc.constant(0),
    }),
  },
);

it("keeps the session map's keys exactly the listed IDs, within bounds, and a restart brings back what was committed", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const store = new MemorySessionStore();
      let maps = openMaps(store, { limits });
      const floors = new Map<number, number>();
      const kept = new Map<number, KeptMessage>();
      for (const { do: what, p, n, at } of steps) {
        const us: Counterparty | undefined =
          what === "get" || what === "noPending" ? maps.get(peer(p)) : maps.ensure(peer(p), start);
        if (what === "insert" && us && !maps.findSession(sessionId(n))) {
          insertChecked(maps, us, n, at);
        } else if (what === "accept" && us && !maps.findAccepted(offerId(n))) maps.rememberAccepted(us, accepted(n));
        else if (what === "front" && us) maps.moveToFront(us, sessionId(n));
        else if (what === "remove" && us) maps.removeSession(us, sessionId(n));
        else if (what === "pending" && us && !maps.findPending(offerId(n))) maps.setPending(us, pending(n));
        else if (what === "noPending" && us) maps.setPending(us, undefined);
        else if (what === "marks" && us) {
          us.epochs.set(epoch(n % 3), marks(n, { epoch: epoch(n % 3) }));
          maps.touchMarks(us, epoch(n % 3));
        } else if (what === "noMarks" && us) {
          us.epochs.delete(epoch(n % 3));
          maps.touchMarks(us, epoch(n % 3));
        } else if (what === "forget") {
          maps.forget();
          floors.clear();
          kept.clear();
        } else if (what === "keep") {
          kept.set(p, message(p, { deadlineAt: start + n }));
          maps.keepMessage(kept.get(p)!);
        } else if (what === "drop") {
          kept.delete(p);
          maps.dropMessage(message(p));
        } else if (what === "commit") void maps.commit();
        else if (what === "restart") {
          maps = restartChecked(maps, store, kept);
        }
        checkInvariant(maps);
        // A floor never sinks, whoever leaves and comes back: what was once forgotten stays stale.
        for (const q of peers) {
          const floor = maps.floorOf(peer(q));
          expect(floor).toBeGreaterThanOrEqual(floors.get(q) ?? 0);
          floors.set(q, floor);
        }
      }
    }),
    { numRuns: 200 },
  );
});
