import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageId } from "@egtp/node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { compareEffects } from "../src/demo-verdict.ts";
import { EffectsLog, readEffects } from "../src/effects-log.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "egtp-effects-"));
  path = join(folder, "effects.log");
});
afterEach(() => rmSync(folder, { recursive: true }));

const id = (n: number): MessageId => `alice/1/${n}` as MessageId;

test("an effect happens once, in this run and in the next", () => {
  const done: number[] = [];
  const first = new EffectsLog(path);
  for (const n of [1, 2, 1]) first.once(id(n), `note ${n}`, () => done.push(n));
  expect(first).toMatchObject({ count: 2, handedOverAgain: 1, countAtStart: 0 });
  first.close();
  const second = new EffectsLog(path);
  for (const n of [2, 3]) second.once(id(n), `note ${n}`, () => done.push(n));
  expect(second).toMatchObject({ count: 3, handedOverAgain: 1, countAtStart: 2 });
  second.close();
  expect(done).toEqual([1, 2, 3]);
  expect(readEffects(path).map(({ what }) => what)).toEqual(["note 1", "note 2", "note 3"]);
});

test("what failed is not on record, and may be tried again", () => {
  const log = new EffectsLog(path);
  const fail = (): void => {
    throw new Error("no room");
  };
  expect(() => log.once(id(1), "note 1", fail)).toThrow("no room");
  log.once(id(1), "note 1");
  log.close();
  expect(readEffects(path)).toEqual([{ messageId: id(1), what: "note 1" }]);
});

test("a line that its process did not finish counts for nothing", () => {
  const log = new EffectsLog(path);
  log.once(id(1), "note 1");
  log.close();
  appendFileSync(path, "alice/1/2 no");
  expect(readEffects(path)).toEqual([{ messageId: id(1), what: "note 1" }]);
});

test("the verdict tells lost, repeated and unasked effects apart", () => {
  const log = ["note 0", "note 1", "note 1", "note 7"].map((what, n) => ({ messageId: id(n), what }));
  expect(compareEffects(["note 0", "note 1", "note 2"], log)).toEqual({
    expected: 3,
    handled: 2,
    lost: 1,
    twice: 1,
    unasked: 1,
  });
});
