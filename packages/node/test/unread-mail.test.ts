import { createIdentity } from "@egtp/mesgen";
import { describe, expect, it } from "vitest";
import { Mail } from "../src/delivery/mail.ts";
import { defaultNodeLimits } from "../src/limits.ts";
import { UnreadMail } from "../src/unread-mail.ts";

const start = 1_800_000_000_000;
const { unreadMailMs, unreadMailForMs } = defaultNodeLimits;
const { peer } = createIdentity();

/** A mail that nobody can read, and what its mailbox is told of it. */
function unreadable(unread: UnreadMail, now: number): { isTaken: boolean | undefined } {
  const told: { isTaken: boolean | undefined } = { isTaken: undefined };
  const mail = new Mail((isTaken) => {
    told.isTaken = isTaken;
  });
  unread.hold(peer, mail, now);
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

  it("is given up when no answer leaves for long", () => {
    const unread = new UnreadMail(defaultNodeLimits);
    const told = unreadable(unread, start);
    expect(unread.giveBack(start + unreadMailForMs, () => true)).toBe(Infinity);
    expect(told.isTaken).toBe(true);
    expect(unread.isEmpty).toBe(true);
  });
});
