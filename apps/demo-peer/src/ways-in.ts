/** How a peer can be reached, as its contact record says, for people. */
import { verifyContactRecord } from "@egtp/wire";

export function waysIn(record: Uint8Array | undefined): string[] {
  if (record === undefined) return [];
  return verifyContactRecord(record, Date.now()).strategies.map((strategy) => {
    if (strategy.kind === "relay") return `relay ${strategy.relay.slice(0, 8)}…`;
    if (strategy.kind === "websocket") return strategy.url;
    if (strategy.kind !== "tcp") return strategy.address;
    return strategy.host.includes(":") ? `[${strategy.host}]:${strategy.port}` : `${strategy.host}:${strategy.port}`;
  });
}
