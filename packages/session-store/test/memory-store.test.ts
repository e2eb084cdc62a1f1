import { describe, expect, it } from "vitest";
import { describeSessionStore } from "../src/conformance.ts";
import { MemorySessionStore } from "../src/index.ts";

describeSessionStore(
  "memory",
  () => {
    const store = new MemorySessionStore();
    return { open: () => store };
  },
  { describe, it },
);

describe("MemorySessionStore", () => {
  it("gives a snapshot that later writes do not change", () => {
    const store = new MemorySessionStore();
    store.write([["a", Uint8Array.of(1)]]);
    const snapshot = store.snapshot();
    store.write([["a", Uint8Array.of(2)]]);
    expect([...snapshot.load()]).toEqual([["a", Uint8Array.of(1)]]);
  });
});
