/** How an address of a contact record is written for people. */
import type { Strategy } from "@egtp/wire";

export function addressText(strategy: Strategy): string {
  if (strategy.kind === "websocket") return strategy.url;
  if (strategy.kind === "relay") return `relay ${strategy.relay}`;
  if (strategy.kind !== "tcp") return `${strategy.kind} ${strategy.address}`;
  const { host, port } = strategy;
  return host.includes(":") ? `tcp [${host}]:${port}` : `tcp ${host}:${port}`;
}
