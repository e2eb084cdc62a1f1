import { createIdentity } from "@egtp/mesgen";
import { describe, expect, it } from "vitest";
import { Mail } from "../src/delivery/mail.ts";
import { defaultNodeLimits } from "../src/limits.ts";
import { UnreadMail } from "../src/unread-mail.ts";

const start = 1_800_000_000_000;
const { unreadMailMs, unreadMailForMs } = defaultNodeLimits;
const { peer } = createIdentity();

/** A mail that nobody can read, and what its mailbox is told of it. */
function unreadable(unread: UnreadMail, now: number, sender = peer): { isTaken: boolean | undefined } {
  const told: { isTaken: boolean | undefined } = { isTaken: undefined };
  const mail = new Mail((isTaken) => {
    told.isTaken = isTaken;
  });
  unread.hold(sender, mail, now);
  return told;
}

describe("mail that cannot be read", () => {
  it("is given back some time after the answer left, and comes again", () => {
    const unread = new UnreadMail(defaultNodeLimits);
    const told = unreadable(unread, start);
    expect(unread.giveBack(start, () => false)).toBe(start + unreadMailMs);
    expect(unread.giveBack(start + unreadMailMs, () => false)).toBe(Infinity);
    expect(told.isTaken).toBe(false);
  });

  it("is held while the answer has yet to leave, so that the sender is heard before it comes again", () => {
    const unread = new UnreadMail(defaultNodeLimits);
    const told = unreadable(unread, start);
    let now = start;
    for (let i = 0; i < 5; i++) now = unread.giveBack(now, () => true);
    expect(told.isTaken).toBeUndefined();
    unread.healed(peer);
    expect(told.isTaken).toBe(true);
    expect(unread.isEmpty).toBe(true);
  });

  it("is held of each sender once, and of so many senders: the others are of no use, and the mailbox forgets them", () => {
    const unread = new UnreadMail({ ...defaultNodeLimits, maxUnreadMails: 2 });
    const senders = Array.from({ length: 3 }, () => createIdentity().peer);
    const told = [0, 1, 2, 2].map((at) => unreadable(unread, start, senders[at]));
    expect(told.map(({ isTaken }) => isTaken)).toEqual([true, undefined, undefined, true]);
    expect(senders.map((sender) => unread.has(sender))).toEqual([false, true, true]);
  });

  it("comes again and again of the same sender for an hour at most, however it is answered", () => {
    const unread = new UnreadMail(defaultNodeLimits);
    let now = start;
    for (; now < start + unreadMailForMs; now += unreadMailMs) {
      const told = unreadable(unread, now);
      unread.giveBack(now + unreadMailMs, () => false);
      expect(told.isTaken).toBe(false);
    }
    expect(unreadable(unread, now).isTaken).toBe(true);
  });

  it("is done with when a relay keeps the answer, not when none does", () => {
    const unread = new UnreadMail(defaultNodeLimits);
    const told = unreadable(unread, start);
    for (const isKept of [false, true]) {
      const envelope = new Uint8Array(1);
      unread.answered(peer, envelope);
      unread.settled(envelope, isKept);
      expect(told.isTaken).toBe(isKept ? true : undefined);
    }
  });

  it("stays in its mailbox when the node stops", () => {
    const unread = new UnreadMail(defaultNodeLimits);
    const told = unreadable(unread, start);
    unread.close();
    expect(told.isTaken).toBe(false);
  });

  it("is given up when no answer leaves for long", () => {
    const unread = new UnreadMail(defaultNodeLimits);
    const told = unreadable(unread, start);
    expect(unread.giveBack(start + unreadMailForMs, () => true)).toBe(Infinity);
    expect(told.isTaken).toBe(true);
    expect(unread.isEmpty).toBe(true);
  });
});
