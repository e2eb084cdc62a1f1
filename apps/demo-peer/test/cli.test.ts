/** How commands end that are not understood or cannot be done, without a process for each. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { runCommandLine } from "../src/cli.ts";

const unknownPeer = "ybndrfg8ejkmcpqxot1uwisza345h769ybndrfg8ejkmcpqxot1y";

let folder: string;
let written: { out: string; err: string };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "egtp-cli-"));
  written = { out: "", err: "" };
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    written.out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    written.err += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

describe("exit code 2: the command line is wrong", () => {
  test.for<[args: string, text: string]>([
    ["", "Usage:"],
    ["dance", 'no command "dance"'],
    ["demo --loud", "Unknown option '--loud'"],
    ["demo --megabytes lots", "--megabytes: must be a whole number from 0 to 1000"],
    ["demo --megabytes 1001", "--megabytes: must be a whole number from 0 to 1000"],
    ["demo --seed 1e3", "--seed: must be a whole number"],
    ["demo --messages", "argument missing"],
    ["id of", "is not expected"],
    ["id --name a/b", "--name: must be"],
    ["listen --listen here", "is not host:port"],
    ["listen --listen 127.0.0.1:65536", "is not host:port"],
    ["send --peer bob hello", "Not a peer ID"],
    [`send --peer ${unknownPeer}@:80 hello`, "is not host:port"],
    [`send --peer ${unknownPeer}@80 hello`, "must be host:port"],
    [`send --peer ${unknownPeer}`, "TEXT is missing"],
    ["send hello", "--peer is missing"],
    [`send --peer ${unknownPeer} --wait 0 hello`, "--wait: must be"],
  ])("%s", async ([line, text]) => {
    expect(await runCommandLine(line.split(" ").filter((word) => word !== ""))).toBe(2);
    expect(written.err).toContain(text);
    expect(written.out).toBe("");
  });
});

test("exit code 1: the data folder cannot be made", async () => {
  const file = join(folder, "a-file");
  writeFileSync(file, "");
  expect(await runCommandLine(["id", "--data", join(file, "below")])).toBe(1);
  expect(written.err).toContain("cannot be made");
  expect(written.err).toContain("because: ENOTDIR");
});

test("exit code 1: the identity is damaged", async () => {
  writeFileSync(join(folder, "identity.key"), "something else", { mode: 0o600 });
  expect(await runCommandLine(["id", "--data", folder])).toBe(1);
  expect(written.err).toContain("does not hold an identity");
});

test.for(["", "demo", "peer", "id", "send", "listen"])("%s --help fits a terminal", async (command) => {
  expect(await runCommandLine([command, "--help"].filter((word) => word !== ""))).toBe(0);
  expect(written.err).toBe("");
  expect(written.out).toMatch(/^Usage: egtp-demo-peer /);
  for (const line of written.out.split("\n")) expect(line.length).toBeLessThanOrEqual(110);
});
