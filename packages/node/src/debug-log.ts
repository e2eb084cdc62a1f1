/**
 * What happens in a node as lines for whoever looks for a fault, by namespace: `egtp:link`, `egtp:session` and so on, one for each
 * kind of event. Nothing else imports this file, and what is not switched on is not even made.
 *
 * No line holds a secret: of keys there are only public ones, of messages the name of their type and their length, and of an
 * error whose text is not ours its name alone.
 */
import { EgtpError } from "@egtp/wire";
import type { EgtpNode } from "./api.ts";
import { allEventKinds, type NodeEvent } from "./events.ts";

/** As `debuglog` of `node:util` and the package `debug` make them. */
export interface DebugLogger {
  (format: "%s", line: string): void;
  /** False: what happens in this namespace is not asked for. Absent: true. */
  readonly enabled?: boolean;
}

export interface DebugLogOptions {
  readonly signal?: AbortSignal;
}

/**
 * Writes what happens in a node, until the node stops or the signal aborts.
 *
 *     debugLog(node, debuglog); // of node:util: NODE_DEBUG=egtp:session,egtp:relay, or NODE_DEBUG=egtp:*
 *
 * @param loggerOf - Makes the logger of a namespace; asked once for each.
 */
export function debugLog(
  node: EgtpNode,
  loggerOf: (namespace: string) => DebugLogger,
  { signal }: DebugLogOptions = {},
): void {
  const loggers = new Map(allEventKinds.map((kind) => [kind, loggerOf(`egtp:${kind}`)]));
  const kinds = allEventKinds.filter((kind) => loggers.get(kind)?.enabled !== false);
  if (kinds.length === 0) return;
  const events = node.events({ kinds, ...(signal !== undefined && { signal }) });
  const missed = loggerOf("egtp:missed");
  void (async () => {
    for await (const event of events) (loggers.get(event.kind) ?? missed)("%s", lineOf(node, event));
  })();
}

/** `name=value`, in the order in which the event has them. */
function lineOf({ peerId }: EgtpNode, event: NodeEvent): string {
  const words = [new Date(event.at).toISOString(), `node=${peerId.slice(0, 8)}`];
  for (const [name, value] of Object.entries(event)) {
    if (name !== "kind" && name !== "at" && value !== undefined) words.push(`${name}=${textOf(value)}`);
  }
  return words.join(" ");
}

function textOf(value: unknown): string {
  if (value instanceof EgtpError) return `${value.code} ${JSON.stringify(value.message)}`;
  if (value instanceof Error) return value.name;
  const text = typeof value === "string" || typeof value === "number" ? String(value) : JSON.stringify(value);
  return /[\s"]/.test(text) && typeof value === "string" ? JSON.stringify(text) : text;
}
