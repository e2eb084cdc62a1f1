/** What operators are given, in deploy/ and docs/operations.md, speaks of commands, options, metrics and versions that exist. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasNatsServer } from "@egtp/test-kit/nats-cluster";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { read, readAll } from "./repository.ts";
import { faultOf } from "./shell-command.ts";

const metric = /\b(?:egtp|process)_[a-z_]+\b/g;
/** Names of metrics in the sources stand in quotes. */
const told = new Set(
  [...readAll(/^packages\/\w+\/src\/.*\.ts$/).matchAll(/"((?:egtp|process)_[a-z_]+)"/g)].map(([, name = ""]) => name),
);
const guide = read("docs/operations.md");

describe("metrics", () => {
  test("the guide says what each means, and knows no other", () => {
    expect(told.size).toBeGreaterThan(40);
    expect(new Set(guide.match(metric))).toEqual(told);
  });

  test("alerts ask for such as are told", () => {
    const { groups } = parse(read("deploy/alerts.yaml")) as { groups: { rules: { alert: string; expr: string }[] }[] };
    const rules = groups.flatMap(({ rules: some }) => some);
    const strange = rules.flatMap(({ expr }) => expr.match(metric) ?? []).filter((name) => !told.has(name));
    expect(rules.length).toBeGreaterThan(5);
    expect(strange).toEqual([]);
  });
});

describe("commands", () => {
  const units = ["egtp-relay", "egtp-metatracker"].map(
    (name) => [name, /^ExecStart=\/usr\/bin\/env (.*?)( \$\w+)?$/m.exec(read(`deploy/${name}.service`))![1]!] as const,
  );
  const containers = ["compose", "compose.cluster"].flatMap((file) =>
    Object.entries(servicesOf(file)).flatMap(([name, { command, build }]) =>
      build === undefined ? [] : [[`${name} in ${file}`, command] as const],
    ),
  );

  test.for([...units, ...containers])("of %s have options that exist", ([, command]) => {
    expect(faultOf(command)).toBeUndefined();
  });

  test.each(["compose", "compose.cluster"])("of %s can be started one by one, before there is a boot page", (file) => {
    const uses = [...read(`deploy/${file}.yaml`).matchAll(/\bBOOT_PAGE([^}\w ]*)\}/g)];
    expect(uses.length).toBeGreaterThan(0);
    expect(uses.every(([, whenUnset]) => whenUnset === "-")).toBe(true);
  });

  test("units are such as systemd takes", ({ skip }) => {
    const found = hasProgram("systemd-analyze");
    if (!found && process.env.EGTP_NO_SKIP !== "1") skip("systemd-analyze is not here");
    // It knows users, binaries and paths of this machine alone: what it says of those is not ours.
    execFileSync("systemd-analyze", ["verify", "deploy/egtp-relay.service", "deploy/egtp-metatracker.service"]);
  });
});

test.skipIf(!hasNatsServer && process.env.EGTP_NO_SKIP !== "1")("NATS is started as it takes it", () => {
  // Servers older than 2.10 know no sync_interval.
  const folder = mkdtempSync(join(tmpdir(), "egtp-nats-"));
  const config = join(folder, "nats.conf");
  writeFileSync(config, read("deploy/nats.conf").replace(/^ *sync_interval: always$/m, ""));
  const command = servicesOf("compose.cluster").nats!.command.replaceAll(/\$\{\w+(:\?)?\}/g, "127.0.0.1");
  const args = command.replace("/etc/nats.conf", config).split(/\s+/);
  try {
    const { status, stderr } = spawnSync("nats-server", [...args, "-t"], { encoding: "utf8" });
    expect(stderr).toContain("is valid");
    expect(status).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the image has the parts that the packages are tested with", () => {
  const { devDependencies } = JSON.parse(read("packages/relay/package.json")) as {
    devDependencies: Record<string, string>;
  };
  const dockerfile = read("deploy/Dockerfile");
  for (const part of ["lmdb", "ws", "@nats-io/transport-node", "@nats-io/jetstream"])
    expect(dockerfile).toContain(` ${part}@${devDependencies[part]}`);
});

interface ComposeService {
  readonly command: string;
  /** Of our own servers. */
  readonly build?: string;
}

function servicesOf(file: string): Record<string, ComposeService> {
  return (parse(read(`deploy/${file}.yaml`), { merge: true }) as { services: Record<string, ComposeService> }).services;
}

function hasProgram(name: string): boolean {
  try {
    execFileSync(name, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
