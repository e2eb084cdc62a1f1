/** Counts as text that Prometheus reads. Nothing else imports this file: who does not measure does not load it. */
import type { NodeStats } from "./api.ts";

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

/**
 * The text exposition format, version 0.0.4. Those of one name, as of several nodes, stand together.
 *
 * @returns To be served as `text/plain; version=0.0.4; charset=utf-8`.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export function metricsText(metrics: readonly Metric[]): string {
  const byName = new Map<string, Metric[]>();
  for (const metric of metrics) byName.set(metric.name, [...(byName.get(metric.name) ?? []), metric]);
  let text = "";
  for (const [name, family] of byName) {
    const [{ help, type }] = family as [Metric];
    text += `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n# TYPE ${name} ${type}\n`;
    for (const { labels, value } of family.flatMap(({ samples }) => samples)) {
      text += `${name}${labelsText(labels ?? {})} ${value}\n`;
    }
  }
  return text;
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replaceAll(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/**
 * What a node counts.
 *
 * @param labels - Of every sample, to tell several nodes of one process apart.
 */
export function nodeMetrics(stats: NodeStats, labels: Readonly<Record<string, string>> = {}): Metric[] {
  const { delivered, stored, rejected, expired, unreachable } = stats;
  const metrics = [
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
    gauge("egtp_waiting_sends", "Sends that wait for room in an outbox.", stats.waitingSends),
    gauge("egtp_kept_messages", "Messages that the session store keeps for the next run.", stats.kept),
  ];
  return metrics.map((metric) => ({
    ...metric,
    samples: metric.samples.map((sample) => ({ ...sample, labels: { ...labels, ...sample.labels } })),
  }));
}
