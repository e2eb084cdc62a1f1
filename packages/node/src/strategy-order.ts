/**
 * In which order the ways to a peer are tried, and how they are named in reports.
 *
 * @see docs/spec.md, "Contact record"
 */
import type { Millis, Strategy } from "@egtp/wire";
import { hostOfUrl, isRoutableAddress } from "./address.ts";

/** Names a strategy: equal for equal ones. */
export function strategyText(strategy: Strategy): string {
  switch (strategy.kind) {
    case "tcp":
      return `tcp ${strategy.host.includes(":") ? `[${strategy.host}]` : strategy.host}:${strategy.port}`;
    case "websocket":
      return `websocket ${strategy.url}`;
    case "relay":
      return `relay ${strategy.relay}`;
    default:
      return `${strategy.kind} ${strategy.address}`;
  }
}

/** Whether there is a way among these, other than through a relay, that was not among those before. */
export function hasNewWay(strategies: readonly Strategy[], before: readonly Strategy[]): boolean {
  const known = new Set(before.map(strategyText));
  return strategies.some((strategy) => strategy.kind !== "relay" && !known.has(strategyText(strategy)));
}

/**
 * Whether its address is, or may be, on the public internet. A relay is named by key and reached by strategies of its own. An
 * address of one's own kind may be a file of this machine, or anything: it is taken for private.
 */
export function isRoutable(strategy: Strategy): boolean {
  switch (strategy.kind) {
    case "tcp":
      return isRoutableAddress(strategy.host);
    case "websocket":
      return isRoutableAddress(hostOfUrl(strategy.url));
    default:
      return strategy.kind === "relay";
  }
}

/**
 * Sorts strategies: those that did not fail lately first, direct ones before relays, routable addresses before private
 * ones, and else in the order given, which is that of the peer; those that failed in that of their failing, so that each has
 * its turn.
 *
 * @param failedAt - When one failed, by its text, if that was lately.
 */
export function orderStrategies(
  strategies: readonly Strategy[],
  failedAt: (name: string) => Millis | undefined,
): Strategy[] {
  return strategies
    .map((strategy, index) => {
      const failed = failedAt(strategyText(strategy));
      const rank =
        (failed === undefined ? 0 : 4) + (strategy.kind === "relay" ? 2 : 0) + (isRoutable(strategy) ? 0 : 1);
      return { strategy, index, rank, failed: failed ?? 0 };
    })
    .sort((a, b) => a.rank - b.rank || a.failed - b.failed || a.index - b.index)
    .map(({ strategy }) => strategy);
}
