/** What both server commands share: options, log lines, metrics, certificates, and the web server. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gauge } from "@egtp/node/metrics";
import { type CertificateFields, makeCertificate } from "@egtp/test-kit/certificate";
import { EgtpError } from "@egtp/wire";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import * as z from "zod/mini";
import {
  DataFolder,
  duration,
  flag,
  Log,
  loadCertificate,
  openMonitor,
  paintFor,
  portNumber,
  readHost,
  readOptions,
  readPeerId,
  runProgram,
  someTexts,
  UsageError,
  type WebPage,
  WebServer,
} from "../src/nodejs/command.ts";
import { CommandError } from "../src/nodejs/command-errors.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "egtp-kit-"));
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  vi.restoreAllMocks();
});

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof EgtpError && error.hint !== undefined) return error.code;
    throw error;
  }
  throw new Error("It did not reject");
}

describe("options", () => {
  const specs = {
    port: { type: "string" },
    json: { type: "boolean" },
    ttl: { type: "string" },
    also: { type: "string", multiple: true },
  } as const;
  const schema = z.object({
    port: z._default(portNumber, 4_000),
    json: flag,
    ttl: z.optional(duration(1_000, 30 * 86_400_000)),
    also: someTexts,
  });
  const read = (line: string, names: string[] = []) =>
    readOptions(
      line.split(" ").filter((word) => word !== ""),
      specs,
      schema,
      { names },
    );

  test("are read, with defaults", () => {
    expect(read("").options).toEqual({ port: 4_000, json: false, also: [] });
    const { options, words } = read("--port 0 --json --ttl 21d --also a --also=b one two", ["FILE..."]);
    expect(options).toEqual({ port: 0, json: true, ttl: 21 * 86_400_000, also: ["a", "b"] });
    expect(words).toEqual(["one", "two"]);
  });

  test.for([
    ["--loud", "Unknown option '--loud'"],
    ["--port 65536", "--port: must be a whole number from 0 to 65535"],
    ["--port 1e3", "--port: must be"],
    ["--ttl 21", "--ttl: must be a whole number and s, m, h or d, such as 90s or 7d, from 1s to 30d"],
    ["--ttl 31d", "--ttl: must be"],
    ["--also", "argument missing"],
    ["--also=", "--also: must not be empty"],
    ["word", '"word" is not expected'],
  ])("that are wrong: %s", ([line, text]) => {
    expect(() => read(line!)).toThrow(UsageError);
    expect(() => read(line!)).toThrow(text);
  });

  test("hosts", () => {
    expect(readHost("example.org", "--host")).toEqual({ host: "example.org", port: undefined });
    expect(readHost("192.0.2.1:80", "--host")).toEqual({ host: "192.0.2.1", port: 80 });
    expect(readHost("2001:db8::1", "--host")).toEqual({ host: "2001:db8::1", port: undefined });
    expect(readHost("[2001:db8::1]:80", "--host")).toEqual({ host: "2001:db8::1", port: 80 });
    for (const text of ["", "a b", "a:b", "http://a", "a:0", "a:65536", "[::1", "a/b"]) {
      expect(() => readHost(text, "--host")).toThrow(UsageError);
    }
    expect(() => readPeerId("bob", "--peer")).toThrow(/^--peer: Not a peer ID/);
  });
});

describe("a program", () => {
  const program = {
    main: { usage: "Usage: main\n", run: async () => 0 },
    subcommands: {
      fail: {
        usage: "Usage: fail\n",
        run: async () => {
          throw new CommandError("EGTP_COMMAND_FILE", "No", { cause: new Error("why") });
        },
      },
      misuse: {
        usage: "Usage: misuse\n",
        run: async () => {
          throw new UsageError("What?");
        },
      },
    },
  };
  const run = async (...args: string[]) => {
    const said = { out: "", err: "" };
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      said.out += String(text);
      return true;
    });
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      said.err += String(text);
      return true;
    });
    return { code: await runProgram(program, args), ...said };
  };

  test("runs the main command or a subcommand, or says how to", async () => {
    expect(await run()).toEqual({ code: 0, out: "", err: "" });
    expect(await run("--help")).toEqual({ code: 0, out: "Usage: main\n", err: "" });
    expect(await run("fail", "-h")).toEqual({ code: 0, out: "Usage: fail\n", err: "" });
    expect((await run("toString")).code).toBe(0); // a word for the main command
  });

  test("tells what went wrong, with the reason and a hint", async () => {
    const { code, err } = await run("fail");
    expect(code).toBe(1);
    expect(err).toMatch(/^No\n {2}because: why\n {2}Check the name/);
    const asJson = await run("fail", "--json");
    expect(JSON.parse(asJson.err)).toMatchObject({
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      event: "failed",
      code: "EGTP_COMMAND_FILE",
      because: "why",
    });
    expect((await run("misuse")).code).toBe(2);
  });

  test("tells it in colour where that is wanted, and never in JSON", async () => {
    vi.stubEnv("FORCE_COLOR", "1");
    expect((await run("fail")).err).toContain("\u001b[31mNo\u001b[0m\n");
    expect((await run("fail", "--json")).err).not.toContain("\u001b");
    vi.unstubAllEnvs();
  });
});

test("log lines are one line each, whatever is in them", () => {
  const lines: string[] = [];
  const write = (line: string) => lines.push(line);
  const plain = new Log({ json: false, write, now: () => 0 });
  plain.info("started", "It started");
  plain.warning("odd", "two\nlines \u001b[31m");
  plain.failed("failed", new Error("a", { cause: new Error("b") }));
  expect(lines.splice(0)).toEqual([
    "1970-01-01T00:00:00.000Z  It started\n",
    "1970-01-01T00:00:00.000Z  warning: two lines  [31m\n",
    "1970-01-01T00:00:00.000Z  error: a (b)\n",
  ]);
  const json = new Log({ json: true, write, now: () => 0 });
  json.info("started", "It started", { port: 7 });
  json.failed("failed", new UsageError("What?"));
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { time: "1970-01-01T00:00:00.000Z", level: "info", event: "started", message: "It started", port: 7 },
    expect.objectContaining({ level: "error", message: "What?", code: "EGTP_COMMAND_USAGE" }),
  ]);
});

test("log lines are coloured where that is wanted", () => {
  const lines: string[] = [];
  const log = new Log({
    json: false,
    write: (line) => lines.push(line),
    now: () => 0,
    paint: paintFor({ isTTY: true }, {}),
  });
  log.warning("odd", "careful");
  expect(lines).toEqual(["\u001b[2m1970-01-01T00:00:00.000Z\u001b[0m  \u001b[33mwarning: \u001b[0mcareful\n"]);
});

describe("colours", () => {
  test.each([
    [true, {}, true],
    [false, {}, false],
    [undefined, {}, false],
    [true, { NO_COLOR: "1" }, false],
    [true, { NO_COLOR: "" }, true],
    [true, { TERM: "dumb" }, false],
    [false, { FORCE_COLOR: "1" }, true],
    [true, { FORCE_COLOR: "0" }, false],
    [true, { FORCE_COLOR: "false" }, false],
    [true, { NO_COLOR: "1", FORCE_COLOR: "1" }, true],
    [true, { FORCE_COLOR: "" }, true],
  ] as const)("terminal %s, %o: %s", (isTTY, env, isColourful) => {
    const text = paintFor(isTTY === undefined ? {} : { isTTY }, env)("red", "x");
    expect(text).toBe(isColourful ? "\u001b[31mx\u001b[0m" : "x");
  });
});

describe("the data folder", () => {
  test("is made for its owner alone, and keeps who we are", async () => {
    const path = join(folder, "made", "here");
    const first = await (await DataFolder.open(path)).identity();
    const second = await (await DataFolder.open(path)).identity();
    expect(second.peer).toBe(first.peer);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(join(path, "identity.key")).mode & 0o777).toBe(0o600);
  });

  test("that cannot be used is told", async () => {
    writeFileSync(join(folder, "file"), "");
    expect(await codeOf(DataFolder.open(join(folder, "file", "below")))).toBe("EGTP_COMMAND_DATA");
  });
});

describe("certificates", () => {
  const file = (name: string) => join(folder, name);
  const make = (name: string, fields: CertificateFields) => {
    const { cert, key } = makeCertificate(fields);
    writeFileSync(file(`${name}.pem`), cert);
    writeFileSync(file(`${name}.key`), key);
  };
  const load = (cert: string, key: string, host?: string, now?: number) =>
    loadCertificate(file(cert), file(key), host, now);

  beforeAll(() => {
    make("a", { names: ["relay.example.org"], addresses: ["192.0.2.1"] });
    make("b", { names: ["localhost"] });
    writeFileSync(file("junk.pem"), "junk");
  });

  test("that fit are taken", async () => {
    expect((await load("a.pem", "a.key")).cert).toContain("BEGIN CERTIFICATE");
    for (const host of ["relay.example.org", "192.0.2.1"]) await load("a.pem", "a.key", host);
  });

  test("that do not fit are refused before anything is opened", async () => {
    const dayMs = 86_400_000;
    expect(await codeOf(load("a.pem", "b.key"))).toBe("EGTP_COMMAND_CERTIFICATE");
    expect(await codeOf(load("a.pem", "a.key", "other.example.org"))).toBe("EGTP_COMMAND_CERTIFICATE");
    expect(await codeOf(load("a.pem", "a.key", undefined, Date.now() + 3 * dayMs))).toBe("EGTP_COMMAND_CERTIFICATE");
    expect(await codeOf(load("a.pem", "a.key", undefined, Date.now() - dayMs))).toBe("EGTP_COMMAND_CERTIFICATE");
    expect(await codeOf(load("junk.pem", "a.key"))).toBe("EGTP_COMMAND_CERTIFICATE");
    expect(await codeOf(load("a.pem", "junk.pem"))).toBe("EGTP_COMMAND_CERTIFICATE");
    expect(await codeOf(load("none.pem", "a.key"))).toBe("EGTP_COMMAND_FILE");
  });
});

describe("the web server", () => {
  const open = async (pages: Record<string, WebPage>) => WebServer.open({ port: 0, host: "127.0.0.1", pages });
  const body: WebPage = () => ({
    type: "text/plain",
    body: "hé",
    etag: '"1"',
    headers: { "access-control-allow-origin": "*" },
  });

  test("gives out its pages, and says so to whoever has them already", async () => {
    const server = await open({ "/page": body });
    const url = `http://127.0.0.1:${server.port}`;
    const first = await fetch(`${url}/page?x`);
    expect([first.status, await first.text(), first.headers.get("etag")]).toEqual([200, "hé", '"1"']);
    expect(first.headers.get("access-control-allow-origin")).toBe("*");
    const second = await fetch(`${url}/page`, { headers: { "if-none-match": '"0", "1"' } });
    expect([second.status, await second.text()]).toEqual([304, ""]);
    const head = await fetch(`${url}/page`, { method: "HEAD" });
    expect([head.status, await head.text(), head.headers.get("content-length")]).toEqual([200, "", "3"]);
    const asked = await fetch(`${url}/page`, { method: "OPTIONS" });
    expect([asked.status, asked.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
    expect((await fetch(`${url}/page`, { method: "POST", body: "x" })).status).toBe(405);
    for (const path of ["/", "/other", "/constructor"]) expect((await fetch(url + path)).status).toBe(404);
    await server.close();
  });

  test("survives pages that fail and clients that send nonsense", async () => {
    const server = await open({
      "/page": () => {
        throw new Error("a secret");
      },
    });
    const failed = await fetch(`http://127.0.0.1:${server.port}/page`);
    expect([failed.status, await failed.text()]).toEqual([500, "Failed\n"]);
    const answered = await new Promise<string>((resolve) => {
      const socket = connect(server.port, "127.0.0.1", () => socket.write("\u0000nonsense\r\n\r\n"));
      let said = "";
      socket.setEncoding("utf8").on("data", (data: string) => {
        said += data;
      });
      socket.on("close", () => resolve(said));
    });
    expect(answered).toContain("400 Bad Request");
    const absolute = await new Promise<number | undefined>((resolve) => {
      request({ port: server.port, host: "127.0.0.1", path: "http://[/" }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).end();
    });
    expect(absolute).toBe(404);
    await server.close();
  });

  test("says when a port is taken or a host is not ours", async () => {
    const server = await open({});
    expect(await codeOf(WebServer.open({ port: server.port, host: "127.0.0.1", pages: {} }))).toBe(
      "EGTP_ADDRESS_IN_USE",
    );
    expect(await codeOf(WebServer.open({ port: 0, host: "192.0.2.1", pages: {} }))).toBe("EGTP_LISTEN_FAILED");
    await server.close();
  });

  test("tells health and counts", async () => {
    const problems: string[] = [];
    const monitor = await openMonitor({ port: 0, problems: () => problems, metrics: () => [gauge("a", "A.", 1)] });
    const url = `http://127.0.0.1:${monitor.port}`;
    const well = await fetch(`${url}/health`);
    expect([well.status, await well.json()]).toEqual([200, { status: "ok" }]);
    problems.push("the disk is full");
    const ill = await fetch(`${url}/health`);
    expect([ill.status, await ill.json()]).toEqual([503, { status: "failing", problems }]);
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("\na 1\n");
    await monitor.close();
  });
});
