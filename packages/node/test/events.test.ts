import { expect, test } from "vitest";
import { EventHub, type NodeEvent } from "../src/events.ts";

const drop = (reason: string): NodeEvent => ({ kind: "drop", at: 1, reason, source: "test", error: undefined });

test("a reader gets what happens after it began, of the kinds it asked for", async () => {
  const hub = new EventHub();
  expect(hub.wants("drop")).toBe(false);
  hub.emit(drop("before"));
  const all = hub.stream({});
  const stores = hub.stream({ kinds: ["store"] });
  expect(hub.wants("drop")).toBe(true);
  hub.emit(drop("one"));
  hub.close();
  hub.emit(drop("after"));
  const seen: NodeEvent[] = [];
  for await (const event of all) seen.push(event);
  for await (const event of stores) seen.push(event);
  expect(seen).toEqual([drop("one")]);
  expect(hub.wants("drop")).toBe(false);
});

test("a reader that is too slow misses the newest, and is told how many", async () => {
  const hub = new EventHub();
  const reader = hub.stream({ maxQueued: 2 });
  for (const reason of ["1", "2", "3", "4"]) hub.emit(drop(reason));
  expect((await reader.next()).value).toEqual(drop("1"));
  hub.emit(drop("5"));
  expect((await reader.next()).value).toEqual(drop("2"));
  expect((await reader.next()).value).toEqual({ kind: "missed", at: 1, count: 2 });
  expect((await reader.next()).value).toEqual(drop("5"));
});

test("a reader ends when its loop is left, or its signal aborts", async () => {
  const hub = new EventHub();
  const left = hub.stream({});
  hub.emit(drop("1"));
  for await (const _ of left) break;
  expect(hub.wants("drop")).toBe(false);
  const controller = new AbortController();
  const aborted = hub.stream({ signal: controller.signal });
  const next = aborted.next();
  controller.abort();
  expect((await next).done).toBe(true);
  expect(hub.wants("drop")).toBe(false);
  expect((await hub.stream({ signal: controller.signal }).next()).done).toBe(true);
});

test("several who wait each get one", async () => {
  const hub = new EventHub();
  const reader = hub.stream({});
  const waiting = [reader.next(), reader.next()];
  hub.emit(drop("1"));
  hub.emit(drop("2"));
  expect((await Promise.all(waiting)).map(({ value }) => value)).toEqual([drop("1"), drop("2")]);
});
