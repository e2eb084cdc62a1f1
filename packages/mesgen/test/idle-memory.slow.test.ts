/** What an idle session costs: its entry in the store's maps, with mesgen's keys and windows. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const script = `
import { forgetfulSessionStore, SessionMaps } from "@egtp/session-store";
import { createIdentity, defaultCryptoProvider, Mesgen } from "@egtp/mesgen";

const count = 20_000;
const now = 1_800_000_000_000;
const frames = new Uint8Array([9]);
function peer() {
  const identity = createIdentity();
  const maps = SessionMaps.open(forgetfulSessionStore, {
    now, random: defaultCryptoProvider.randomBytes, bornWithIdentity: true, limits: { maxCounterparties: 2 * count },
  });
  return { id: identity.peer, maps, mesgen: new Mesgen({ identity, maps }) };
}
function say(from, to) {
  const carrier = from.mesgen.carrier(to.id, now, { application: true });
  if (to.mesgen.open(from.mesgen.seal(carrier, frames, now), now).kind !== "opened") throw new Error("not opened");
  void from.maps.commit();
  void to.maps.commit();
}
const host = peer();
function meet(guestBegins) {
  const guest = peer();
  const [one, other] = guestBegins ? [guest, host] : [host, guest];
  say(one, other);
  say(other, one);
  say(one, other);
  say(other, one);
}
const used = () => {
  for (let i = 0; i < 4; i++) globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};
const perSession = {};
for (const guestBegins of [true, false]) {
  for (let i = 0; i < 300; i++) meet(guestBegins);
  const before = used();
  for (let i = 0; i < count / 2; i++) meet(guestBegins);
  host.mesgen.tick(now + 10_000); // by then they are idle
  perSession[guestBegins ? "accepted" : "offered"] = (used() - before) / (count / 2);
}
process.stdout.write(JSON.stringify({ perSession, sessions: host.maps.sessionCount }));
`;

const windows = `
import { ReplayWindow } from "@egtp/mesgen";

const kept = Array.from({ length: 100_000 });
globalThis.gc();
const before = process.memoryUsage().heapUsed;
for (let i = 0; i < kept.length; i++) {
  const window = new ReplayWindow();
  for (const counter of [0, 1, 2, 9, 8, 5, 3, 4, 7, 6]) window.mark(counter);
  kept[i] = window;
}
globalThis.gc();
process.stdout.write(JSON.stringify((process.memoryUsage().heapUsed - before) / kept.length));
`;

async function run(program: string): Promise<unknown> {
  const args = ["--expose-gc", "--conditions=@egtp/source", "--import", "tsx", "--input-type=module", "-e", program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: new URL("..", import.meta.url) });
  return JSON.parse(stdout);
}

test("an idle replay window takes less than 100 bytes", async () => {
  expect(await run(windows)).toBeLessThan(100);
});

test("an idle session with its entry costs at most 2 KiB of heap and array buffers", { timeout: 600_000 }, async () => {
  const { perSession, sessions } = (await run(script)) as {
    perSession: { accepted: number; offered: number };
    sessions: number;
  };
  expect(sessions).toBe(20_600);
  expect(perSession.accepted).toBeLessThanOrEqual(2_048);
  expect(perSession.offered).toBeLessThanOrEqual(2_048);
});
