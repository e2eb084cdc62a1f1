/** What the doctor says of a place where all is well, and of what is not. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServerProcess } from "@egtp/test-kit/server-process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Commands } from "./command.ts";

const program = (name: string) => new URL(`../../../packages/${name}/src/nodejs/main.ts`, import.meta.url);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "egtp-doctor-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Report {
  readonly ok: boolean;
  readonly findings: readonly { readonly check: string; readonly state: string; readonly text: string }[];
}

const statesOf = ({ findings }: Report): Record<string, string> =>
  Object.fromEntries(findings.map(({ check, state }) => [check, state]));

describe.concurrent("doctor", { timeout: 120_000 }, () => {
  test("finds everything well with a metatracker and a relay that run", async (context) => {
    const place = (name: string): string[] => ["--host", "127.0.0.1", "--port", "0", "--data", join(folder, name)];
    const servers: ServerProcess[] = [];
    context.onTestFinished(async () => {
      for (const server of servers) await server.kill();
    });
    const metatracker = new ServerProcess(program("metatracker"), ...place("m"), "--bootpage-port", "0");
    servers.push(metatracker);
    const { bootPage } = await metatracker.listening();
    const near = ["--boot-page", bootPage, "--allow-private-addresses"];
    const relay = new ServerProcess(program("relay"), ...place("r"), ...near);
    servers.push(relay);
    await relay.listening();
    const options = ["--json", "--data", join(folder, "abroad"), "--bootpage", bootPage];
    const { code, stdout } = await new Commands(context).run("doctor", ...options);
    const report = JSON.parse(stdout) as Report;
    const all = { "node.js": "good", folder: "good", store: "good", "boot page": "good", clock: "good" };
    expect(statesOf(report)).toEqual({ ...all, directory: "good", relay: "good", reach: "good" });
    expect({ code, ok: report.ok }).toEqual({ code: 0, ok: true });
    expect(report.findings.at(-1)!.text).toMatch(/: relay /);
  });

  test("finds no fault with a peer of this machine", async (context) => {
    const place = ["--data", join(folder, "local"), "--book", join(folder, "book")];
    const { code, stdout } = await new Commands(context).run("doctor", ...place);
    expect(stdout.split("\n").map((line) => line.slice(0, 2))).toEqual(["ok", "ok", "ok", "ok", "ok"]);
    expect(code).toBe(0);
  });

  test("says that another process has the folder", async (context) => {
    const commands = new Commands(context);
    const place = ["--data", join(folder, "taken"), "--book", join(folder, "book")];
    const listener = commands.start("listen", "--json", ...place);
    await listener.event("listening");
    const { code, stdout } = await commands.run("doctor", "--json", ...place);
    expect(statesOf(JSON.parse(stdout) as Report)).toEqual({ "node.js": "good", folder: "good", store: "bad" });
    expect(code).toBe(1);
    listener.signal("SIGINT");
    await listener.ended;
  });

  test("says that the identity is damaged", async (context) => {
    const data = join(folder, "damaged");
    const commands = new Commands(context);
    await commands.run("id", "--data", data);
    await writeFile(join(data, "identity.key"), "nonsense");
    const { code, stdout } = await commands.run("doctor", "--json", "--data", data);
    expect(statesOf(JSON.parse(stdout) as Report)).toEqual({ "node.js": "good", folder: "bad" });
    expect(code).toBe(1);
  });
});
