import { existsSync } from "node:fs";
import {
  chmod,
  type FileHandle,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createNode, type EgtpNode } from "../src/index.ts";
import { IdentityFileError, loadIdentity } from "../src/nodejs/files.ts";
import { errorOf } from "./world.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "egtp-identity-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("an identity is made once, for its owner alone, and is the same ever after", async () => {
  const path = join(folder, "alice.key");
  const made = await loadIdentity(path);
  expect(made.isNew).toBe(true);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const again = await loadIdentity(path);
  expect(again.isNew).toBe(false);
  expect(again.peer).toBe(made.peer);
  expect(again.exportSeed()).toEqual(made.exportSeed());
  expect(await readdir(folder)).toEqual(["alice.key"]);
});

test.skipIf(process.platform === "win32")("is on disk before it is used, with its name", async () => {
  const path = join(folder, "alice.key");
  const probe = await open(tmpdir());
  const handles = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  const sync = Reflect.get(handles, "sync") as () => Promise<void>;
  const synced: boolean[] = [];
  const spy = vi.spyOn(handles, "sync").mockImplementation(async function (this: FileHandle) {
    synced.push((await this.stat()).isDirectory() && existsSync(path));
    return sync.call(this);
  });
  await loadIdentity(path).finally(() => spy.mockRestore());
  expect(synced).toEqual([false, true]);
});

test("several that make it at once get one identity", async () => {
  const path = join(folder, "alice.key");
  const all = await Promise.all(Array.from({ length: 8 }, () => loadIdentity(path)));
  expect(new Set(all.map(({ peer }) => peer)).size).toBe(1);
  expect(all.filter(({ isNew }) => isNew)).toHaveLength(1);
  expect(await readdir(folder)).toEqual(["alice.key"]);
});

test("a file that holds no identity is refused, whatever it holds", async () => {
  const path = join(folder, "alice.key");
  await loadIdentity(path);
  const good = await readFile(path, "utf8");
  const [first, seed, peer] = good.split("\n") as [string, string, string];
  const other = (await loadIdentity(join(folder, "other.key"))).peer;
  const wrong = [
    "",
    "hello\n",
    good.slice(0, -1),
    `${good}\n`,
    good.toUpperCase(),
    `${first}\n${seed.slice(2)}\n${peer}\n`,
    `${first}\n${seed}\n${other}\n`,
    "x".repeat(100_000),
  ];
  for (const content of wrong) {
    await writeFile(path, content, { mode: 0o600 });
    const error = await errorOf(loadIdentity(path));
    expect(error).toBeInstanceOf(IdentityFileError);
    expect(error).toMatchObject({ code: "EGTP_IDENTITY_FILE_BAD", path });
    expect((error as IdentityFileError).hint).toBeDefined();
    expect((error as Error).message).not.toContain(seed);
  }
});

test("a file that others may read is refused", async () => {
  const path = join(folder, "alice.key");
  await loadIdentity(path);
  for (const mode of [0o644, 0o640, 0o602]) {
    await chmod(path, mode);
    expect(await errorOf(loadIdentity(path))).toMatchObject({ code: "EGTP_IDENTITY_FILE_EXPOSED" });
  }
});

test("a place that cannot be used is told", async () => {
  expect(await errorOf(loadIdentity(join(folder, "no", "alice.key")))).toMatchObject({ code: "EGTP_IDENTITY_FILE_IO" });
  expect(await errorOf(loadIdentity(folder))).toMatchObject({ code: "EGTP_IDENTITY_FILE_BAD" });
});

test("runs one node at a time, by whatever path it was loaded", async () => {
  const path = join(folder, "alice.key");
  const start = async (from: string): Promise<EgtpNode> => {
    const node = await createNode({ identity: await loadIdentity(from) });
    await node.start();
    return node;
  };
  const bob = await start(join(folder, "bob.key"));
  const first = await start(path);
  await symlink(path, join(folder, "link.key"));
  for (const from of [path, join(folder, "link.key")]) {
    const error = await errorOf(start(from));
    expect(error).toBeInstanceOf(IdentityFileError);
    expect(error).toMatchObject({ code: "EGTP_IDENTITY_FILE_IN_USE", hint: expect.stringContaining("Stop") });
  }
  await first.stop();
  const second = await start(path);
  await Promise.all([second.stop(), bob.stop()]);
  expect(await readdir(folder), "nothing is left of the locks").toEqual(["alice.key", "bob.key", "link.key"]);
});

test("is free again when a node was stopped while it started, and when its start failed", async () => {
  const identity = await loadIdentity(join(folder, "alice.key"));
  const hasty = await createNode({ identity });
  const starting = errorOf(hasty.start());
  await hasty.stop();
  expect(await starting).toMatchObject({ code: "EGTP_NODE_STOPPED" });
  const serve = () => Promise.reject(new Error("no port"));
  const failing = await createNode({
    identity,
    transports: [{ kind: "x-none", canDial: () => false, serve } as never],
  });
  expect(await errorOf(failing.start())).toMatchObject({ message: "no port" });
  const node = await createNode({ identity });
  await node.start();
  await node.stop();
});

test("runs a node nevertheless where no lock can be had, as beside a mounted secret", async () => {
  const path = join(folder, "alice.key");
  const identity = await loadIdentity(path);
  await rm(path); // so that there is no place for one
  const node = await createNode({ identity });
  await node.start();
  await node.stop();
});
