/** Lines by namespace, of what is switched on and nothing more, and without secrets. */
import { defineMessage } from "@egtp/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DebugLogger, debugLog } from "../src/debug-log.ts";
import { World } from "./world.ts";

const note = defineMessage("test/note");

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

test("lines come by namespace, of what is switched on, and hold no secret", async () => {
  const lines: string[] = [];
  const asked: string[] = [];
  const loggerOf = (namespace: string): DebugLogger => {
    asked.push(namespace);
    const write = (format: string, line: string): void => void lines.push(`${namespace} ${format} ${line}`);
    return Object.assign(write, { enabled: namespace !== "egtp:link" });
  };
  const alice = await world.join("alice");
  const bob = await world.join("bob");
  debugLog(bob.node, loggerOf);
  debugLog(alice.node, () => Object.assign(() => expect.unreachable("all is off"), { enabled: false }));
  bob.node.handle(note, () => {
    throw new Error("a secret of the application");
  });
  const body = new TextEncoder().encode("a secret of the message");
  await world.time.of(alice.node.send(bob.node.peerId, note, body));
  await world.end();
  expect(asked).toContain("egtp:link");
  expect(lines.join("\n")).not.toMatch(/egtp:link|secret/);
  expect(lines.find((line) => line.startsWith("egtp:session"))).toMatch(
    new RegExp(`^egtp:session %s \\S+Z node=${bob.node.peerId.slice(0, 8)} state=\\w+ peer=${alice.node.peerId}$`),
  );
  expect(lines.find((line) => line.startsWith("egtp:message"))).toMatch(
    / direction=in .* type=test\/note .* bytes=23$/,
  );
  expect(lines.find((line) => line.startsWith("egtp:handler-failed"))).toMatch(/ error=Error$/);
});
