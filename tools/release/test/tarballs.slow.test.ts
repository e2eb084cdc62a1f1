/**
 * The packages as npm installs them, into plain projects outside the workspace: what the tarballs hold, all of them together
 * under Node.js, three versions of TypeScript and Vite, and each alone.
 */

import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describeInChromium } from "@egtp/browser-tests/chromium";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publishedPackages } from "../src/packages.ts";
import { faultsOf, packTarball, type Tarball } from "../src/tarball.ts";
import { NpmProject } from "./npm-project.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const packages = publishedPackages(root);
/** Needs the types of Node.js, or of an optional part; everything else compiles without them. */
const needsOtherTypes = /^@egtp\/(?:metatracker\/command|[^/]+\/nats)$/;

const place = mkdtempSync(join(tmpdir(), "egtp-tarballs-"));
const tarballs: Tarball[] = [];
beforeAll(async () => {
  for (const one of packages) tarballs.push(await packTarball(root, one, place));
});
afterAll(() => rmSync(place, { recursive: true }));

const tarballOf = (name: string): Tarball => tarballs.find(({ manifest }) => manifest.name === name)!;
/** What a program may import from a package: each of its entries. */
const entriesOf = ({ manifest }: Tarball): string[] =>
  Object.keys(manifest.exports ?? {})
    .filter((entry) => entry !== "./package.json")
    .map((entry) => manifest.name + entry.slice(1));
const importAll = (entries: readonly string[]): string =>
  entries.map((entry, index) => `import * as entry${index} from "${entry}";\nvoid entry${index};\n`).join("");

interface FirstSteps {
  /** Packages that its first command installs, and those of the others. */
  readonly needed: readonly string[];
  readonly wanted: readonly string[];
  readonly example: string;
  /** What that prints. */
  readonly prints: RegExp;
}

/** What the README of a package lets its reader do first. */
function firstStepsOf({ manifest }: Tarball): FirstSteps {
  const { folder } = packages.find((one) => one.manifest.name === manifest.name)!;
  const readme = readFileSync(join(root, folder, "README.md"), "utf8");
  const block = (kind: string): string => new RegExp(`^\`\`\`${kind}\\n(.*?)^\`\`\``, "ms").exec(readme)![1]!;
  const [needed = [], ...others] = block("sh")
    .split("\n")
    .map((line) => line.replace(/#.*/, "").split(" "))
    .map((words) => words.filter((word) => !/^(?:npm|install|--save-dev|)$/.test(word)));
  const literal = block("text")
    .split("…")
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const prints = new RegExp(`^${literal.join(".*")}$`);
  return { needed, wanted: others.flat(), example: block("ts"), prints };
}

/** Two peers that greet each other, in memory. */
const hello = `
import { createIdentity, createNode, defineMessage } from "@egtp/node";
import { MemoryNetwork } from "@egtp/node/memory";
import { z } from "zod";

const greet = defineMessage("hello/greet", { body: z.object({ name: z.string() }), reply: z.string() });
const network = new MemoryNetwork();
const alice = await createNode({ identity: createIdentity(), transports: [network.transport("alice")] });
const bob = await createNode({ identity: createIdentity(), transports: [network.transport("bob")] });
bob.handle(greet, ({ body }) => \`Hello \${body.name}\`);
await Promise.all([alice.start(), bob.start()]);
alice.learn(bob.contactRecord!);
const reply: string = await alice.request(bob.peerId, greet, { name: "alice" });
console.log(reply);
await Promise.all([alice.stop(), bob.stop()]);
`;

describe("tarballs", () => {
  it.each(packages.map(({ manifest }) => manifest.name))("%s holds what it must, and nothing else", (name) => {
    expect(faultsOf(tarballOf(name))).toEqual([]);
  });
});

describe("all packages in a plain project", () => {
  const compilers = { typescript59: "5.9.3", typescript60: "6.0.3", typescript70: "7.0.2" };
  let project: NpmProject;
  beforeAll(async () => {
    project = await NpmProject.install(tarballs, tarballs, {
      ...Object.fromEntries(Object.entries(compilers).map(([name, version]) => [name, `npm:typescript@${version}`])),
      "@types/node": "20.19.43",
      "@nats-io/jetstream": "3.4.0",
      "@nats-io/transport-node": "3.4.0",
      lmdb: "3.5.6",
      vite: "8.3.8",
      ws: "8.23.0",
      zod: "4.6.7",
    });
    project.write("hello.ts", hello);
    project.write("all.ts", importAll(tarballs.flatMap(entriesOf)));
  });
  afterAll(() => project?.[Symbol.dispose]());

  it("is loaded by require()", async () => {
    const entries = JSON.stringify(tarballs.flatMap(entriesOf));
    project.write(
      "all.cjs",
      `for (const entry of ${entries}) if (Object.keys(require(entry)).length === 0) throw entry;`,
    );
    await project.node("--trace-warnings", "all.cjs");
    project.write("hello.cjs", 'console.log(require("@egtp/node").createIdentity().peer.length);');
    expect(await project.node("hello.cjs")).toBe("52\n");
  });

  describe.each(Object.entries(compilers))("%s", (compiler, version) => {
    it.each(["nodenext", "bundler"])(
      "compiles all entries and a hello that runs, with %s",
      async (moduleResolution) => {
        const compilerOptions = {
          strict: true,
          skipLibCheck: false,
          target: "es2023",
          lib: ["es2023"],
          types: ["node"],
          module: moduleResolution === "nodenext" ? "nodenext" : "esnext",
          moduleResolution,
          rootDir: ".",
          outDir: `${compiler}-${moduleResolution}`,
        };
        const config = `tsconfig.${compiler}.${moduleResolution}.json`;
        project.write(config, JSON.stringify({ compilerOptions, files: ["hello.ts", "all.ts"] }));
        const tsc = `node_modules/${compiler}/bin/tsc`;
        expect(await project.node(tsc, "--version")).toContain(version);
        expect(await project.node(tsc, "-p", config)).toBe("");
        expect(await project.node("--throw-deprecation", `${compilerOptions.outDir}/hello.js`)).toBe("Hello alice\n");
      },
    );
  });

  describeInChromium(describe, "in a page built by Vite", (browser) => {
    it("says hello", async () => {
      project.write(
        "index.html",
        '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.ts"></script>',
      );
      // A line of a peer that could really talk from here, so that the bundler meets all that a page imports.
      const rest = ["node/websocket", "node/browser-identity", "session-store/indexeddb", "metatracker", "relay"];
      const imports = importAll(rest.map((entry) => `@egtp/${entry}`)).replaceAll("void ", "globalThis.kept = ");
      project.write("page.ts", `${imports}${hello.replace("console.log(reply)", "document.title = reply")}`);
      await project.node("node_modules/vite/bin/vite.js", "build", "--logLevel", "error", "--target", "es2023");
      const server = createServer((request, response) => {
        const path = request.url === "/" ? "/index.html" : request.url!;
        response.setHeader("content-type", path.endsWith(".js") ? "text/javascript" : "text/html");
        response.end(readFileSync(join(project.folder, "dist", path)));
      });
      await once(server.listen(0, "127.0.0.1"), "listening");
      const page = await browser().newPage();
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await page.waitForFunction("document.title !== ''");
      expect(await page.title()).toBe("Hello alice");
      await page.close();
      await new Promise((resolve) => server.close(resolve));
    });
  });
});

describe("each package alone, without its optional parts", () => {
  const nats = "EGTP_STORE_MISSING_PART npm install @nats-io/transport-node@^3.4.0 @nats-io/jetstream@^3.4.0";
  const lmdb = "EGTP_STORE_MISSING_PART npm install lmdb@^3.5.6";
  const ws = "EGTP_MISSING_PART npm install ws@^8.23.0";
  /** What needs a part, by entry, and the code and hint that its user gets where the part is missing. */
  const parts: Readonly<Record<string, readonly [use: string, refusal: string]>> = {
    "@egtp/session-store/lmdb": ['part.LmdbSessionStore.open("./store")', lmdb],
    "@egtp/session-store/nats": ['part.NatsLink.open({ servers: ["nats://127.0.0.1:1"] })', nats],
    "@egtp/session-store/record-file": ['part.RecordFile.open("./store")', lmdb],
    "@egtp/node/websocket": [
      `import("@egtp/node").then(async ({ createIdentity, createNode }) => {
         const transports = [part.websocket({ port: 0, host: "127.0.0.1" })];
         await (await createNode({ identity: createIdentity(), transports })).start();
       })`,
      ws,
    ],
    "@egtp/metatracker/lmdb": ['part.LmdbDirectoryStore.open("./store")', lmdb],
    "@egtp/metatracker/nats": ['part.NatsDirectoryStore.open({ servers: ["nats://127.0.0.1:1"] })', nats],
    "@egtp/relay/lmdb": ['part.LmdbMailboxStore.open("./store")', lmdb],
    "@egtp/relay/nats": ['part.NatsMailboxStore.open({ servers: ["nats://127.0.0.1:1"] })', nats],
  };

  it.concurrent.for(packages.map(({ manifest }) => manifest.name))("%s", async (name, { expect }) => {
    const tarball = tarballOf(name);
    const { needed, wanted, example, prints } = firstStepsOf(tarball);
    using project = await NpmProject.install(tarballsOf(needed), tarballs, withVersions(needed));
    const entries = entriesOf(tarball);
    project.write("all.js", importAll(entries));
    await project.node("all.js");
    const compilerOptions = {
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      target: "es2023",
      module: "nodenext",
      types: [],
    };
    project.write("all.ts", importAll(entries.filter((entry) => !needsOtherTypes.test(entry))));
    project.write("tsconfig.json", JSON.stringify({ compilerOptions, files: ["all.ts"] }));
    expect(await project.node(join(root, "node_modules/typescript/bin/tsc"), "-p", ".")).toBe("");
    for (const entry of entries) {
      const [use, refusal] = parts[entry] ?? [];
      if (use === undefined) continue;
      const tell = '(error) => console.log(error.code + " " + error.hint)';
      project.write("part.js", `import * as part from "${entry}";\nawait ${use}.catch(${tell});\n`);
      expect(await project.node("part.js"), entry).toBe(`${refusal}\n`);
    }
    for (const command of Object.keys(tarball.manifest.bin ?? {})) {
      expect(await project.run("npx", "--no-install", command, "--help")).toContain(`Usage: ${command}`);
    }

    // And then as its README goes on.
    await project.run("npm", "install", "--no-audit", "--no-fund", "--prefer-offline", ...wanted);
    project.write("hello.mts", example);
    expect(await project.run("npx", "--no-install", "tsx", "hello.mts")).toMatch(prints);
  });

  const tarballsOf = (names: readonly string[]): Tarball[] => {
    return tarballs.filter(({ manifest }) => names.includes(manifest.name));
  };
  const withVersions = (names: readonly string[]): Record<string, string> => {
    return Object.fromEntries(names.filter((name) => !name.startsWith("@egtp/")).map((name) => [name, "*"]));
  };
});
