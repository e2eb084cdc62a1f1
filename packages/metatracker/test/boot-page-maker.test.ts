/** The page that a server hands out. */
import { createIdentity } from "@egtp/node";
import { maxBootPageBytes, verifyBootPage } from "@egtp/wire";
import { expect, test } from "vitest";
import { BootPageMaker } from "../src/server.ts";

const identity = createIdentity();
const hourMs = 3_600_000;

function maker(records: () => Uint8Array[]) {
  const clock = { now: 1_800_000_000_000 };
  let asked = 0;
  const made = new BootPageMaker({
    identity,
    records: async () => {
      asked += 1;
      return records();
    },
    lifeMs: 24 * hourMs,
    now: () => clock.now,
  });
  return { made, clock, asked: () => asked };
}

test("is signed, and the same for every visitor as long as nothing changes", async () => {
  const { made, clock, asked } = maker(() => [Uint8Array.of(1), Uint8Array.of(2)]);
  const first = await made.page();
  const page = verifyBootPage(first.bytes, clock.now);
  expect(page).toMatchObject({ id: identity.peer, expires: clock.now + 24 * hourMs });
  expect(page.records).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
  const visits = await Promise.all(Array.from({ length: 50 }, () => made.page()));
  for (const visit of visits) expect(visit).toBe(first);
  clock.now += hourMs;
  expect(await made.page()).toBe(first);
  expect(asked()).toBe(2);
});

test("is signed anew when what stands on it changes, or half of its time is over, with a higher number", async () => {
  const records = [Uint8Array.of(1)];
  const { made, clock } = maker(() => [...records]);
  const first = await made.page();
  records.push(Uint8Array.of(2));
  expect(await made.page()).toBe(first); // a moment later
  clock.now += 11_000;
  const second = await made.page();
  expect(second.etag).not.toBe(first.etag);
  clock.now += 13 * hourMs;
  const third = await made.page();
  const seqs = [first, second, third].map(({ bytes }) => verifyBootPage(bytes, undefined).seq);
  expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
  expect(new Set(seqs).size).toBe(3);
  clock.now -= 100 * hourMs; // the clock goes back: numbers do not
  records.push(Uint8Array.of(3));
  clock.now += 200 * hourMs;
  expect(verifyBootPage((await made.page()).bytes, undefined).seq).toBeGreaterThan(seqs[2]!);
});

test("leaves out what there is no room for", async () => {
  const { made, clock } = maker(() => Array.from({ length: 300 }, (_, i) => new Uint8Array(1_000).fill(i)));
  const { bytes } = await made.page();
  expect(bytes.length).toBeLessThanOrEqual(maxBootPageBytes);
  const { records } = verifyBootPage(bytes, clock.now);
  expect(records.length).toBeGreaterThan(40);
  expect(records[0]).toEqual(new Uint8Array(1_000).fill(0));
});
