import { maxEnvelopeBytes } from "@egtp/wire";
import { describe, expect, it } from "vitest";
import { EnvelopeMemory } from "../src/envelope-memory.ts";

describe("the memory of envelopes", () => {
  it("is used again after it was given back, and not before", () => {
    const memory = new EnvelopeMemory();
    const one = memory.take(60_000);
    const two = memory.take(60_000);
    expect(two.buffer).not.toBe(one.buffer);
    memory.give(one);
    const three = memory.take(20_000);
    expect(three.buffer).toBe(one.buffer);
    expect([three.byteOffset, three.length]).toEqual([0, 20_000]);
    expect(memory.take(20_000).buffer).not.toBe(one.buffer);
  });

  it("is of their own for short ones", () => {
    const memory = new EnvelopeMemory();
    const short = memory.take(1_000);
    expect(short.buffer.byteLength).toBe(1_000);
    memory.give(short);
    expect(memory.take(1_000).buffer).not.toBe(short.buffer);
  });

  it("is never that of others", () => {
    const memory = new EnvelopeMemory();
    const others = [
      new Uint8Array(60_000),
      new Uint8Array(new ArrayBuffer(maxEnvelopeBytes), 32, 60_000),
      memory.take(60_000).subarray(0, 100),
    ];
    for (const other of others) memory.give(other);
    expect(others.map(({ buffer }) => buffer)).not.toContain(memory.take(60_000).buffer);
  });

  it("is kept of some only", () => {
    const memory = new EnvelopeMemory();
    const taken = Array.from({ length: 100 }, () => memory.take(60_000));
    for (const each of taken) memory.give(each);
    const known = new Set(taken.map(({ buffer }) => buffer));
    const again = Array.from({ length: 100 }, () => memory.take(60_000));
    expect(again.filter(({ buffer }) => known.has(buffer))).toHaveLength(32);
    expect(new Set(again.map(({ buffer }) => buffer)).size).toBe(100);
  });
});
