/** Where a server tells whoever looks after it how it is: `/health` and, for Prometheus, `/metrics`. */
import { type Metric, metricsText } from "@egtp/node/metrics";
import { WebServer } from "./web-server.ts";

export interface MonitorOptions {
  readonly port: number;
  /** Default: this machine alone, since counts tell who is busy. */
  readonly host?: string | undefined;
  /** What does not work; empty when all is well. */
  readonly problems: () => readonly string[] | Promise<readonly string[]>;
  readonly metrics: () => readonly Metric[];
}

/** @throws {@link TransportError} when it cannot listen. */
export function openMonitor({ port, host = "127.0.0.1", problems, metrics }: MonitorOptions): Promise<WebServer> {
  return WebServer.open({
    port,
    host,
    pages: {
      "/health": async () => {
        const found = await problems();
        const body = `${JSON.stringify(found.length === 0 ? { status: "ok" } : { status: "failing", problems: found })}\n`;
        return { status: found.length === 0 ? 200 : 503, type: "application/json", body };
      },
      "/metrics": () => ({ type: "text/plain; version=0.0.4; charset=utf-8", body: metricsText(metrics()) }),
    },
  });
}
