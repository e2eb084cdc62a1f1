import { describe, it } from "vitest";
import { describeDirectoryStore } from "../src/conformance.ts";
import { MemoryDirectoryStore } from "../src/memory-store.ts";

describeDirectoryStore("memory", () => ({ open: (limits) => new MemoryDirectoryStore(limits), forgets: true }), {
  describe,
  it,
});
