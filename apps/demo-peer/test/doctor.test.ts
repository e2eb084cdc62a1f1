/** What the doctor says of a place where all is well, and of what is not. */
import { generateKeyPairSync, sign } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdentity } from "@egtp/node";
import { ServerProcess } from "@egtp/test-kit/server-process";
import { peerIdFromBytes, signBootPage, signContactRecord } from "@egtp/wire";
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
  readonly findings: readonly {
    readonly check: string;
    readonly state: string;
    readonly text: string;
    readonly remedy?: string;
  }[];
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
    const here = { "node.js": "good", folder: "good", store: "good" };
    const abroad = { "boot page": "good", clock: "good", directory: "good", relay: "good", record: "good" };
    expect(statesOf(report)).toEqual({ ...here, ...abroad, reach: "good", versions: "good" });
    expect({ code, ok: report.ok }).toEqual({ code: 0, ok: true });
    expect(report.findings.find(({ check }) => check === "reach")!.text).toMatch(/: relay /);

    await relay.kill(); // its record is still known
    const away = JSON.parse((await new Commands(context).run("doctor", ...options)).stdout) as Report;
    expect(statesOf(away)).toEqual({ ...here, ...abroad, relay: "bad", record: undefined });
    expect(away.findings.at(-1)!.remedy).toMatch(/^Check that the peer runs/);
  });

  test("says of a boot page, its server's clock and the metatracker on it which of them is at fault", async (context) => {
    const commands = new Commands(context);
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const id = peerIdFromBytes(Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url"));
    const now = Date.now();
    const about = { id, seq: 1, issued: now };
    const signer = (message: Uint8Array): Uint8Array => sign(null, message, privateKey);
    const gone = { kind: "tcp", host: "127.0.0.1", port: 1 } as const; // nobody listens there
    const services = ["metatracker"];
    const metatracker = signContactRecord(
      { ...about, ttl: 3_600_000, strategies: [gone], services, gone: false },
      signer,
    );
    const page = signBootPage({ ...about, expires: now + 3_600_000, records: [metatracker] }, signer);
    const server = createServer((_request, response) => {
      response.setHeader("date", new Date(now + 30 * 3_600_000).toUTCString());
      response.end(page);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    context.onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/boot.json`;
    const doctor = async (bootPage: string): Promise<readonly (readonly [string, string])[]> => {
      const { stdout } = await commands.run(
        "doctor",
        "--json",
        "--data",
        join(folder, "pages"),
        "--bootpage",
        bootPage,
      );
      const { findings } = JSON.parse(stdout) as Report;
      for (const { state, remedy } of findings) expect(remedy === undefined).toBe(state === "good");
      return findings.slice(3).map(({ check, state }) => [check, state]);
    };
    expect(await doctor(`${url}#${createIdentity().peer}`)).toEqual([
      ["boot page", "bad"],
      ["clock", "bad"],
    ]);
    expect(await doctor(url)).toEqual([
      ["boot page", "doubtful"], // it names no publisher
      ["clock", "bad"],
      ["directory", "bad"],
    ]);
  });

  test("finds no fault with a peer of this machine", async (context) => {
    const place = ["--data", join(folder, "local"), "--book", join(folder, "book")];
    const { code, stdout } = await new Commands(context).run("doctor", ...place);
    expect(stdout.split("\n").map((line) => line.slice(0, 2))).toEqual(["ok", "ok", "ok", "ok", "ok", "ok"]);
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

  test("says that the sessions were damaged, and that an ID leads nowhere", async (context) => {
    const data = join(folder, "torn");
    const place = ["--json", "--data", data, "--book", join(folder, "book")];
    const commands = new Commands(context);
    await commands.run("doctor", ...place);
    await writeFile(join(data, "sessions", "data.mdb"), "nonsense");
    const { code, stdout } = await commands.run("doctor", ...place, "--peer", createIdentity().peer);
    const here = { "node.js": "good", folder: "good", store: "doubtful", record: "good", reach: "good" };
    expect(statesOf(JSON.parse(stdout) as Report)).toEqual({ ...here, peer: "bad", versions: "good" });
    expect(code).toBe(1);
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
