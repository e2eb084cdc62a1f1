/**
 * A million seeds of the cores on all processors, and after them whole nodes for an hour of processor time. To go on after an
 * end: EGTP_SIM_FROM is the seed that was told last.
 */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const dayMs = 24 * 3_600_000;
const from = Number(process.env.EGTP_SIM_FROM ?? 1);
const millionth = 1_000_000;

async function sim(...args: readonly string[]): Promise<number | null> {
  const child = spawn("npx", ["pnpm", "sim", ...args], { cwd: root, stdio: "inherit" });
  return new Promise((resolve) => child.once("close", resolve));
}

it.runIf(from <= millionth)("a million seeds pass", { timeout: dayMs }, async () => {
  expect(await sim("--seeds", String(millionth - from + 1), "--from", String(from))).toBe(0);
});

it("whole nodes pass for an hour", { timeout: dayMs }, async () => {
  expect(await sim("--profile", "stack", "--seconds", "3600", "--from", String(from))).toBe(0);
});
