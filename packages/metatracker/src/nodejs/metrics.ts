/** Counts of a running server as text that Prometheus reads. */
import type { NodeStats } from "@egtp/node";

export interface Metric {
  /** Letters, digits and `_`. A counter's ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly samples: readonly MetricSample[];
}

export interface MetricSample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export function counter(name: string, help: string, value: number): Metric {
  return { name, help, type: "counter", samples: [{ value }] };
}

export function gauge(name: string, help: string, value: number): Metric {
  return { name, help, type: "gauge", samples: [{ value }] };
}

/** One counter for each of several reasons, kinds or states. */
export function counters(name: string, help: string, label: string, values: Readonly<Record<string, number>>): Metric {
  const samples = Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }));
  return { name, help, type: "counter", samples };
}

/** The text exposition format, version 0.0.4. */
export function metricsText(metrics: readonly Metric[]): string {
  return metrics
    .flatMap(({ name, help, type, samples }) => {
      const lines = samples.map(({ labels, value }) => `${name}${labelsText(labels ?? {})} ${value}`);
      return [
        `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
        `# TYPE ${name} ${type}`,
        ...lines,
      ];
    })
    .map((line) => `${line}\n`)
    .join("");
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replaceAll(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** What every node counts. */
export function nodeMetrics(stats: NodeStats): Metric[] {
  const { delivered, stored, rejected, expired, unreachable } = stats;
  const memory = process.memoryUsage();
  return [
    gauge("egtp_links", "Open links.", stats.links),
    gauge("egtp_sessions", "Sessions kept.", stats.sessions),
    gauge("egtp_routes", "Peers about whom something is remembered.", stats.routes),
    counter("egtp_envelopes_in_total", "Envelopes received.", stats.envelopesIn),
    counter("egtp_envelopes_out_total", "Envelopes sent.", stats.envelopesOut),
    counter("egtp_bytes_in_total", "Bytes of envelopes received.", stats.bytesIn),
    counter("egtp_bytes_out_total", "Bytes of envelopes sent.", stats.bytesOut),
    counter("egtp_messages_in_total", "Messages handed to a handler.", stats.messagesIn),
    counter("egtp_messages_out_total", "Messages and requests sent.", stats.messagesOut),
    counters("egtp_messages_settled_total", "Messages sent, by how they ended.", "state", {
      delivered,
      stored,
      rejected,
      expired,
      unreachable,
    }),
    counters("egtp_drops_total", "Envelopes not opened, by reason.", "reason", stats.drops),
    counter("egtp_unreadable_total", "Envelopes of sessions that nobody here can read.", stats.unreadable),
    counter("egtp_handshakes_total", "Halves of handshakes computed.", stats.handshakes),
    counter("egtp_dials_total", "Links dialled.", stats.dials),
    gauge("process_resident_memory_bytes", "Resident memory of the process.", memory.rss),
    gauge("process_uptime_seconds", "Seconds since the process started.", Math.floor(process.uptime())),
  ];
}
