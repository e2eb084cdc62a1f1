import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fillStore, flipBits } from "./damage.ts";

it("heals from flipped bits, many times", { timeout: 600_000 }, async () => {
  const parent = mkdtempSync(join(tmpdir(), "egtp-store-"));
  try {
    const folder = join(parent, "sessions");
    const content = await fillStore(folder);
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    writeFileSync(join(folder, "run.json"), JSON.stringify({ state: "running", pid: 1, sync: "commit", boot }));
    const seen = await flipBits(folder, content, { rounds: 300, seed: Number(process.env.EGTP_SEED ?? 1) });
    console.log("300 rounds:", seen);
    expect(seen.aside).toBeGreaterThan(0);
    expect(seen.dropped).toBeGreaterThan(0);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});
