import { type PeerId, peerIdFromTrustedBytes } from "@egtp/wire";
import { describe, expect, it } from "vitest";
import { relayServerLimits } from "../src/limits.ts";
import { SenderRates } from "../src/sender-rates.ts";

const start = 1_800_000_000_000;
const rate = (messages: number, bytes: number) => ({
  messages: { burst: messages, perSecond: messages },
  bytes: { burst: bytes, perSecond: bytes },
});
const limits = relayServerLimits({
  registeredSender: rate(4, 1_000),
  stranger: rate(2, 500),
  strangers: rate(10, 10_000),
  maxSenders: 3,
});

function peer(n: number): PeerId {
  return peerIdFromTrustedBytes(new Uint8Array(32).fill(n));
}

/** How many of so many envelopes may pass. */
function passing(rates: SenderRates, sender: number, isStranger: boolean, bytes: number, now = start): number {
  return Array.from({ length: 20 }).filter(() => rates.take(peer(sender), isStranger, bytes, now)).length;
}

describe("what a sender may pass along", () => {
  it("is bounded in messages and in bytes, for whoever is registered and for strangers", () => {
    const rates = new SenderRates(limits, start);
    expect([passing(rates, 1, false, 1), passing(rates, 2, false, 400)]).toEqual([4, 2]);
    expect([passing(rates, 3, true, 1), passing(rates, 4, true, 300)]).toEqual([2, 1]);
  });

  it("comes back with time, to the same bound whatever the clock does meanwhile", () => {
    const rates = new SenderRates(limits, start);
    for (const now of [start, start + 1_000, start + 3_600_000]) expect(passing(rates, 1, false, 1, now)).toBe(4);
    expect(passing(rates, 1, false, 1, start)).toBe(0);
    expect(passing(rates, 1, false, 1, start + 500)).toBe(2);
  });

  it("is remembered of so many senders, those that passed something along last", () => {
    const rates = new SenderRates(limits, start);
    for (let sender = 1; sender <= 10; sender++) passing(rates, sender, false, 1, start + 2_000 * sender);
    expect(rates.size).toBe(3);
  });
});
