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

  it("is never that of two short ones, also after one was given back", () => {
    const memory = new EnvelopeMemory();
    const taken = new Map<ArrayBufferLike, number>();
    for (let i = 0; i < 500; i++) {
      const envelope = memory.take(74 + ((i * 37) % 900));
      expect(envelope.byteOffset).toBeGreaterThanOrEqual(taken.get(envelope.buffer) ?? 0);
      taken.set(envelope.buffer, envelope.byteOffset + envelope.length);
      memory.give(envelope);
    }
    expect(taken.size).toBeGreaterThan(10);
  });

  it("is of their own for those of middle length", () => {
    const memory = new EnvelopeMemory();
    const envelope = memory.take(5_000);
    expect(envelope.buffer.byteLength).toBe(5_000);
    memory.give(envelope);
    expect(memory.take(5_000).buffer).not.toBe(envelope.buffer);
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
