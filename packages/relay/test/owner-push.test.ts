/** How mail is handed to its owner by a store that takes its time, while the owner comes, fails and comes again. */
import { createIdentity } from "@egtp/node";
import { describe, expect, test } from "vitest";
import { relayServerLimits } from "../src/limits.ts";
import type { CollectRoom, MailboxStore, StoredMail } from "../src/mailbox-store.ts";
import { OwnerPush } from "../src/owner-push.ts";

describe("an owner whose mail is asked for when it begins anew", () => {
  test("is handed what it missed, though newer mail was on its way from the store", async () => {
    const { owner, handed, asked, answer, miss } = world(3);
    owner.begin("run");
    answer([1]);
    await turn();
    expect(handed).toEqual([1]);
    miss(1);
    await turn();
    owner.begin("run");
    answer([2, 3]);
    await turn();
    answer([1, 2, 3]);
    await turn();
    expect(asked).toEqual([0, 1, 0, 3]);
    expect(handed).toEqual([1, 1, 2, 3]);
  });

  test("is handed nothing that the store brings while it rests", async () => {
    const { owner, handed, asked, answer, miss, passTime } = world(2);
    owner.begin("run");
    answer([1]);
    await turn();
    miss(1);
    await turn();
    answer([2]);
    await turn();
    expect(handed).toEqual([1]);
    passTime();
    answer([1, 2]);
    await turn();
    expect(asked).toEqual([0, 1, 0, 2]);
    expect(handed).toEqual([1, 1, 2]);
  });

  test("is handed nothing by a relay that was to stand by meanwhile", async () => {
    const { owner, handed, answer } = world(1);
    owner.begin("run");
    owner.standBy();
    answer([1]);
    await turn();
    expect(handed).toEqual([]);
  });
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** An owner that is connected, and a store that answers when it is told to. */
function world(count: number) {
  const bodies = Array.from({ length: count }, (_, at) => Uint8Array.of(at + 1));
  const handed: number[] = [];
  const asked: number[] = [];
  const collecting: ((mails: readonly StoredMail[]) => void)[] = [];
  const sending = new Map<number, (isTaken: boolean) => void>();
  let passTime = (): void => {};
  const collect = (_owner: unknown, after: number, _room: CollectRoom): Promise<readonly StoredMail[]> => {
    asked.push(after);
    return new Promise((resolve) => collecting.push(resolve));
  };
  const owner = new OwnerPush(createIdentity().peer, {
    limits: relayServerLimits({}),
    store: { collect } as Partial<MailboxStore> as MailboxStore,
    now: () => 0,
    isLinked: () => true,
    hasRoom: () => true,
    send: (_peer, body) => {
      handed.push(body[0]!);
      return new Promise((resolve) => sending.set(body[0]!, resolve));
    },
    defer: (task) => task(),
    setTimer: (task) => {
      passTime = task;
      return () => {};
    },
    passed: () => {},
    failed: (error) => {
      throw error;
    },
  });
  return {
    owner,
    handed,
    asked,
    answer: (numbers: readonly number[]) =>
      collecting.shift()!(numbers.map((number) => ({ number, body: bodies[number - 1]! }))),
    miss: (number: number) => sending.get(number)!(false),
    passTime: () => passTime(),
  };
}
