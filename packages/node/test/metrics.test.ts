import { expect, test } from "vitest";
import { createIdentity, createNode } from "../src/index.ts";
import { counter, counters, gauge, metricsText, nodeMetrics } from "../src/metrics.ts";

test("metrics are text that Prometheus reads", () => {
  const text = metricsText([
    counter("a_total", "How many.", 3),
    gauge("b", "A \\ and\na line.", 0.5),
    counters("c_total", "By reason.", "reason", { 'say "x"': 1, "a\\b\n": 2 }),
  ]);
  expect(text).toBe(
    [
      "# HELP a_total How many.",
      "# TYPE a_total counter",
      "a_total 3",
      "# HELP b A \\\\ and\\na line.",
      "# TYPE b gauge",
      "b 0.5",
      "# HELP c_total By reason.",
      "# TYPE c_total counter",
      'c_total{reason="say \\"x\\""} 1',
      'c_total{reason="a\\\\b\\n"} 2',
      "",
    ].join("\n"),
  );
});

test("two nodes of one process are told apart, and what is counted of both stands together", async () => {
  const nodes = await Promise.all([1, 2].map(() => createNode({ identity: createIdentity() })));
  const text = metricsText(nodes.flatMap((node) => nodeMetrics(node.stats(), { peer: node.peerId })));
  const lines = text.split("\n");
  expect(lines.filter((line) => line.startsWith("# TYPE egtp_links "))).toHaveLength(1);
  const at = lines.indexOf("# TYPE egtp_links gauge");
  expect(lines.slice(at + 1, at + 3)).toEqual(nodes.map((node) => `egtp_links{peer="${node.peerId}"} 0`));
  expect(text).toContain(`egtp_messages_settled_total{peer="${nodes[0]!.peerId}",state="delivered"} 0`);
});
