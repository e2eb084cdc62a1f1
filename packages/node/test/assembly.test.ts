import { partBytes } from "@egtp/wire";
import { describe, expect, it } from "vitest";
import { Assembly } from "../src/delivery/assembly.ts";

const headerBytes = 7;
const totalBytes = 3 * partBytes + 100;

/** A body, and an envelope's frames: junk, its parts each behind a header, junk. */
function framesOf({ junkBefore = 50, order = [0, 1, 2, 3] } = {}) {
  const body = Uint8Array.from({ length: totalBytes }, (_, at) => (at * 31) >> 3);
  const frames = new Uint8Array(junkBefore + totalBytes + 4 * headerBytes + 60).fill(0xee);
  const parts = new Map<number, Uint8Array>();
  let at = junkBefore;
  for (const index of order) {
    const part = body.subarray(index * partBytes, (index + 1) * partBytes);
    frames.set(part, at + headerBytes);
    parts.set(index, frames.subarray(at + headerBytes, at + headerBytes + part.length));
    at += headerBytes + part.length;
  }
  return { body, frames, parts, end: at };
}

const assemblyOf = (bytes: number) => new Assembly(1, bytes, Math.ceil(bytes / partBytes), 0, undefined);

describe("a message of few parts", () => {
  it("is joined where its parts lie one behind the other, and touches nothing around them", () => {
    const { body, frames, parts, end } = framesOf();
    const assembly = assemblyOf(totalBytes);
    for (const [index, part] of parts) assembly.add(index, part, headerBytes);
    expect(assembly.isComplete).toBe(true);
    expect(assembly.body()).toEqual(body);
    expect(assembly.body().buffer).toBe(frames.buffer);
    expect(frames.subarray(0, 50).every((byte) => byte === 0xee)).toBe(true);
    expect(frames.subarray(end).every((byte) => byte === 0xee)).toBe(true);
  });

  it("is put together in memory of its own where something else lies between them", () => {
    const { body, frames, parts } = framesOf();
    const before = frames.slice();
    const assembly = assemblyOf(totalBytes);
    // Another frame of 3 bytes before each part but the first: its bytes belong to somebody else.
    for (const [index, part] of parts) assembly.add(index, part, index === 0 ? headerBytes : headerBytes - 3);
    expect(assembly.body()).toEqual(body);
    expect(assembly.body().buffer).not.toBe(frames.buffer);
    expect(frames).toEqual(before);
  });

  it.each([[[3, 2, 1, 0]], [[1, 0, 2, 3]], [[0, 2, 1, 3]], [[0, 1, 3, 2]]])("is the same in any order: %j", (order) => {
    const { body, parts } = framesOf({ order });
    const assembly = assemblyOf(totalBytes);
    for (const [index, part] of parts) {
      expect(assembly.has(index)).toBe(false);
      assembly.add(index, part, headerBytes);
      expect(assembly.has(index)).toBe(true);
      assembly.add(index, part, headerBytes);
    }
    expect(assembly.isComplete).toBe(true);
    expect(assembly.body()).toEqual(body);
  });

  it.each([1, 2, 3])("is the same when its parts from %d on come in another envelope", (cut) => {
    const [one, two] = [framesOf(), framesOf({ junkBefore: 9 })];
    const assembly = assemblyOf(totalBytes);
    for (let index = 0; index < 4; index++) {
      assembly.add(index, (index < cut ? one : two).parts.get(index)!, headerBytes);
    }
    expect(assembly.body()).toEqual(one.body);
  });

  it("keeps no large envelope for a little of it", () => {
    const frames = new Uint8Array(65_000);
    const assembly = assemblyOf(partBytes + 10);
    assembly.add(0, frames.subarray(0, partBytes), 0);
    assembly.add(1, frames.subarray(partBytes, partBytes + 10), 0);
    expect(assembly.body().buffer.byteLength).toBe(partBytes + 10);
  });
});

it("a message of many parts is put together", () => {
  const body = Uint8Array.from({ length: 9 * partBytes + 1 }, (_, at) => at >> 5);
  const assembly = assemblyOf(body.length);
  for (let index = 9; index >= 0; index--) {
    assembly.add(index, body.slice(index * partBytes, (index + 1) * partBytes), 0);
  }
  expect(assembly.body()).toEqual(body);
});
