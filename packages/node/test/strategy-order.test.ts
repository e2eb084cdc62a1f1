import { createIdentity } from "@egtp/mesgen";
import type { Strategy } from "@egtp/wire";
import { expect, test } from "vitest";
import { isRoutable, orderStrategies, strategyText } from "../src/strategy-order.ts";

const relay: Strategy = { kind: "relay", relay: createIdentity().peer };
const near: Strategy = { kind: "tcp", host: "192.168.1.2", port: 4000 };
const far: Strategy = { kind: "tcp", host: "2a00:1450::1", port: 4000 };
const web: Strategy = { kind: "websocket", url: "wss://example.org/egtp" };
const loop: Strategy = { kind: "websocket", url: "ws://[::1]:8080/" };

test("direct before relayed, routable before private, else as the peer prefers", () => {
  expect(orderStrategies([relay, near, web, far], () => undefined)).toEqual([web, far, near, relay]);
  expect(orderStrategies([far, web], () => undefined)).toEqual([far, web]);
});

test("what failed goes to the back, and of that what failed last", () => {
  const failedAt = new Map([[strategyText(web), 100]]);
  const ordered = () => orderStrategies([relay, web, far], (name) => failedAt.get(name));
  expect(ordered()).toEqual([far, relay, web]);
  failedAt.set(strategyText(far), 90);
  expect(ordered()).toEqual([relay, far, web]);
});

test("each has a name, and is routable or not", () => {
  expect([relay, near, far, web, loop].map(strategyText)).toEqual([
    `relay ${(relay as { relay: string }).relay}`,
    "tcp 192.168.1.2:4000",
    "tcp [2a00:1450::1]:4000",
    "websocket wss://example.org/egtp",
    "websocket ws://[::1]:8080/",
  ]);
  expect([relay, near, far, web, loop].map(isRoutable)).toEqual([true, false, true, true, false]);
});
