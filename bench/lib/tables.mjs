// The tables a run ends with.

import { formatSize, leftAtOnce, openAtOnce } from "./measures.mjs";

const largeBytes = 1 << 20; // from here on a rate is told in megabytes

/** @returns All tables as text, group by group. `ahead` is left out when EGTP was not measured. */
export function formatTables({ summary, ahead, groups, pinned }) {
  const where = pinned ? "one core" : "any core";
  const tables = groups.flatMap((group) => {
    const figures = new Figures(summary, group);
    return [...sectionsOf[group.name](figures, where), ...formatAhead(group, ahead)];
  });
  return tables.join("\n\n");
}

/** Cells of one group's tables. */
class Figures {
  constructor(summary, { peers, sizes }) {
    this.summary = summary;
    this.peers = peers;
    this.sizes = sizes;
  }

  get(peer, measure, field) {
    return this.summary[peer][measure]?.[field];
  }

  /** With how many times that of raw TCP it is, where that was measured. */
  rate(peer, measure, field) {
    const figure = this.get(peer, measure, field);
    if (figure === undefined) return "-";
    return figure.timesTcp === undefined ? short(figure.median) : `${short(figure.median)} (${short(figure.timesTcp)})`;
  }

  plain(peer, measure, field, scale = 1) {
    const figure = this.get(peer, measure, field);
    return figure === undefined ? "-" : short(figure.median / scale);
  }

  /** The figures of several processes. */
  joined(peer, measure, fields) {
    if (this.get(peer, measure, fields[0]) === undefined) return "-";
    return fields.map((field) => this.plain(peer, measure, field)).join(" + ");
  }

  table(title, columns, cells) {
    return section(
      title,
      ["peer", ...columns],
      this.peers.map((peer) => [peer, ...cells(peer)]),
    );
  }
}

const sectionsOf = {
  direct: (figures, where) => [
    ...exchangeSections(figures, {
      prefix: "",
      title: "One way, messages a second (x raw tcp)",
      processes: { sender: "senderMicros", receiver: "receiverMicros" },
      where,
    }),
    section(
      "First contacts a second; listener memory per idle peer",
      ["peer", "1 at once", "8 at once", "resident KB", "JavaScript KB"],
      figures.peers
        .filter(
          (peer) =>
            figures.get(peer, "firstContacts/1", "perSecond") ?? figures.get(peer, "idleMemory", "residentBytes"),
        )
        .map((peer) => [
          peer,
          figures.plain(peer, "firstContacts/1", "perSecond"),
          figures.plain(peer, "firstContacts/8", "perSecond"),
          figures.plain(peer, "idleMemory", "residentBytes", 1000),
          figures.plain(peer, "idleMemory", "javascriptBytes", 1000),
        ]),
    ),
  ],

  relay: (figures, where) =>
    exchangeSections(figures, {
      prefix: "relay/",
      title: "One way through a relay, messages a second",
      processes: { sender: "senderMicros", relay: "serverMicros", receiver: "receiverMicros" },
      where,
    }),

  store: (figures) => [
    figures.table(
      `Mail for an absent recipient, messages a second: left until stored, ${leftAtOnce} in flight; collected`,
      figures.sizes.flatMap((size) => [`${formatSize(size)} left`, `${formatSize(size)} collected`]),
      (peer) =>
        figures.sizes.flatMap((size) => [
          figures.plain(peer, `store/${size}`, "perSecond"),
          figures.plain(peer, `store/${size}`, "collectedPerSecond"),
        ]),
    ),
    figures.table(
      "CPU per mail, microseconds: left (sender + relay), collected (relay + recipient)",
      figures.sizes.flatMap((size) => [`${formatSize(size)} left`, `${formatSize(size)} collected`]),
      (peer) =>
        figures.sizes.flatMap((size) => [
          figures.joined(peer, `store/${size}`, ["senderMicros", "serverMicros"]),
          figures.joined(peer, `store/${size}`, ["serverCollectMicros", "receiverMicros"]),
        ]),
    ),
  ],

  lookup: (figures, where) => [
    figures.table(
      `Look-ups at one metatracker, one client; lone ones with all processes on ${where}`,
      [`a second, ${openAtOnce} in flight`, "p50 us", "p99 us"],
      (peer) => [
        figures.plain(peer, "lookUps", "perSecond"),
        figures.plain(peer, "loneLookUps", "p50"),
        figures.plain(peer, "loneLookUps", "p99"),
      ],
    ),
  ],

  memory: (figures) => [
    figures.table("Relay memory per idle registered client", ["resident KB", "JavaScript KB"], (peer) => [
      figures.plain(peer, "clientMemory", "residentBytes", 1000),
      figures.plain(peer, "clientMemory", "javascriptBytes", 1000),
    ]),
  ],
};

function exchangeSections(figures, { prefix, title, processes, where }) {
  const { sizes } = figures;
  return [
    figures.table(
      title,
      sizes.map((size) => (size >= largeBytes ? `${formatSize(size)}, MB/s` : formatSize(size))),
      (peer) =>
        sizes.map((size) =>
          figures.rate(peer, `${prefix}oneWay/${size}`, size >= largeBytes ? "megabytesPerSecond" : "perSecond"),
        ),
    ),
    figures.table(
      `CPU per message, microseconds, ${Object.keys(processes).join(" + ")}`,
      sizes.map(formatSize),
      (peer) => sizes.map((size) => figures.joined(peer, `${prefix}oneWay/${size}`, Object.values(processes))),
    ),
    figures.table(
      `Requests of 100 B; lone ones with all processes on ${where}`,
      ["p50 us", "p99 us", `a second, ${openAtOnce} in flight`],
      (peer) => [
        figures.plain(peer, `${prefix}loneRequests`, "p50"),
        figures.plain(peer, `${prefix}loneRequests`, "p99"),
        figures.rate(peer, `${prefix}openRequests`, "perSecond"),
      ],
    ),
  ];
}

function formatAhead({ name, ours, peers, sizes }, ahead) {
  const others = peers.filter((peer) => peer !== ours);
  if (ahead === undefined || !peers.includes(ours) || others.length === 0) return [];
  const columns = aheadColumns[name](sizes);
  return [
    section(
      `${ours} beside each: how many times better (above 1 EGTP is ahead)`,
      ["peer", ...columns.map(([title]) => title)],
      others.map((peer) => [
        peer,
        ...columns.map(([, measure, field]) => {
          const value = ahead[peer][measure]?.[field];
          return value === undefined ? "-" : short(value);
        }),
      ]),
    ),
  ];
}

const exchangeColumns = (prefix, sizes) => [
  ...sizes.map((size) => [formatSize(size), `${prefix}oneWay/${size}`, "perSecond"]),
  ["CPU 1 KiB", `${prefix}oneWay/1024`, "cpuMicros"],
  ["p50", `${prefix}loneRequests`, "p50"],
  [`${openAtOnce} open`, `${prefix}openRequests`, "perSecond"],
];

const aheadColumns = {
  direct: (sizes) => [
    ...exchangeColumns("", sizes),
    ["contacts 1", "firstContacts/1", "perSecond"],
    ["contacts 8", "firstContacts/8", "perSecond"],
    ["memory", "idleMemory", "residentBytes"],
  ],
  relay: (sizes) => exchangeColumns("relay/", sizes),
  store: (sizes) =>
    sizes.flatMap((size) => [
      [`${formatSize(size)} left`, `store/${size}`, "perSecond"],
      [`${formatSize(size)} collected`, `store/${size}`, "collectedPerSecond"],
    ]),
  lookup: () => [],
  memory: () => [["memory", "clientMemory", "residentBytes"]],
};

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
