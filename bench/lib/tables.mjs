// The tables a run ends with.

import { formatSize, openAtOnce } from "./measures.mjs";

const largeBytes = 1 << 20; // from here on a rate is told in megabytes

/** @returns All tables as text. `ahead` is left out when EGTP was not measured. */
export function formatTables({ summary, ahead, sizes, pinned }) {
  const peers = Object.keys(summary);
  const get = (peer, measure, field) => summary[peer][measure]?.[field];
  const rate = (peer, measure, field) => {
    const figure = get(peer, measure, field);
    if (figure === undefined) return "-";
    return figure.timesTcp === undefined ? short(figure.median) : `${short(figure.median)} (${short(figure.timesTcp)})`;
  };
  const plain = (peer, measure, field, scale = 1) => {
    const figure = get(peer, measure, field);
    return figure === undefined ? "-" : short(figure.median / scale);
  };

  const sections = [
    section(
      "One way, messages a second (x raw tcp)",
      ["peer", ...sizes.map((size) => (size >= largeBytes ? `${formatSize(size)}, MB/s` : formatSize(size)))],
      peers.map((peer) => [
        peer,
        ...sizes.map((size) => rate(peer, `oneWay/${size}`, size >= largeBytes ? "megabytesPerSecond" : "perSecond")),
      ]),
    ),
    section(
      "CPU per message, microseconds, sender + receiver",
      ["peer", ...sizes.map(formatSize)],
      peers.map((peer) => [
        peer,
        ...sizes.map((size) => {
          const measure = `oneWay/${size}`;
          if (get(peer, measure, "cpuMicros") === undefined) return "-";
          return `${plain(peer, measure, "senderMicros")} + ${plain(peer, measure, "receiverMicros")}`;
        }),
      ]),
    ),
    section(
      `Requests of 100 B; lone ones with both processes on ${pinned ? "one core" : "any core"}`,
      ["peer", "p50 us", "p99 us", `a second, ${openAtOnce} in flight`],
      peers.map((peer) => [
        peer,
        plain(peer, "loneRequests", "p50"),
        plain(peer, "loneRequests", "p99"),
        rate(peer, "openRequests", "perSecond"),
      ]),
    ),
    section(
      "First contacts a second; listener memory per idle peer",
      ["peer", "1 at once", "8 at once", "resident KB", "JavaScript KB"],
      peers
        .filter((peer) => get(peer, "firstContacts/1", "perSecond") ?? get(peer, "idleMemory", "residentBytes"))
        .map((peer) => [
          peer,
          plain(peer, "firstContacts/1", "perSecond"),
          plain(peer, "firstContacts/8", "perSecond"),
          plain(peer, "idleMemory", "residentBytes", 1000),
          plain(peer, "idleMemory", "javascriptBytes", 1000),
        ]),
    ),
  ];
  if (ahead !== undefined) sections.push(formatAhead(ahead, sizes));
  return sections.join("\n\n");
}

function formatAhead(ahead, sizes) {
  const columns = [
    ...sizes.map((size) => [formatSize(size), `oneWay/${size}`, "perSecond"]),
    ["CPU 1 KiB", "oneWay/1024", "cpuMicros"],
    ["p50", "loneRequests", "p50"],
    [`${openAtOnce} open`, "openRequests", "perSecond"],
    ["contacts 1", "firstContacts/1", "perSecond"],
    ["contacts 8", "firstContacts/8", "perSecond"],
    ["memory", "idleMemory", "residentBytes"],
  ];
  return section(
    "EGTP beside each: how many times better (above 1 EGTP is ahead)",
    ["peer", ...columns.map(([title]) => title)],
    Object.entries(ahead).map(([peer, measures]) => [
      peer,
      ...columns.map(([, measure, field]) => {
        const value = measures[measure]?.[field];
        return value === undefined ? "-" : short(value);
      }),
    ]),
  );
}

function section(title, header, rows) {
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i].length)));
  const line = (row) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [title, "", line(header), rule, ...rows.map(line)].join("\n");
}

/** Three digits, as one reads them: 0.31, 5.7, 252, 11.8 k, 3.6 M. */
function short(value) {
  const size = Math.abs(value);
  if (size >= 999_500) return `${digits(value / 1e6)} M`;
  if (size >= 9_995) return `${digits(value / 1e3)} k`;
  return digits(value);
}

function digits(value) {
  const size = Math.abs(value);
  if (size >= 999.5) return Math.round(value).toLocaleString("en-US");
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  return value.toFixed(2);
}
