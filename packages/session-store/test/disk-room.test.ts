import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DiskRoom, type FileStats } from "../src/nodejs/disk-room.ts";
import { bytes } from "./builders.ts";

const stats: FileStats = {
  pageSize: 4096,
  treeDepth: 2,
  treeBranchPageCount: 1,
  treeLeafPageCount: 9,
  lastPageNumber: 99,
};

describe("DiskRoom", () => {
  it("lengthens the file ahead of what is written, and seldom", () => {
    const folder = mkdtempSync(join(tmpdir(), "egtp-room-"));
    const path = join(folder, "data");
    writeFileSync(path, bytes(10_000, 1));
    let asked = 0;
    const room = new DiskRoom(path, () => {
      asked++;
      return stats;
    });
    room.reserve([["k", bytes(100, 1)]]);
    expect(statSync(path).size).toBeGreaterThan((99 + 1 + 60) * 4096);
    for (let i = 0; i < 100; i++) room.reserve([["k", bytes(100, 1)]]);
    expect(statSync(path).size).toBeLessThanOrEqual(2 * 2 ** 20);
    room.reserve([["large", new Uint8Array(5_000_000)]]);
    expect(statSync(path).size).toBeGreaterThan(5_000_000 + 100 * 4096);
    room.flush();
    room.close();
    expect(asked).toBeGreaterThan(1);
    rmSync(folder, { recursive: true });
  });
});
