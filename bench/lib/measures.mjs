// What is measured, in the order of a pass. Each measure asks one team of processes and returns plain numbers.

export const openAtOnce = 64;
export const leftAtOnce = 256;
const contactsAtOnce = [1, 8];
const heldBefore = 20; // connections that bring the code and the first buffers in, before memory is compared
const warmMailboxes = 3;

/**
 * @returns The measures of a group in one pass. Before a `fresh` one all processes start anew: what bulk transfers leave
 * behind in heap and allocator would show. The variant of another peer skips `shared` ones, in which it does not differ.
 */
export function listMeasures(group, options) {
  const timeoutMs = 20_000 + 20_000 * options.seconds;
  return listed[group.name]({ ...options, sizes: group.sizes, timeoutMs });
}

const listed = {
  direct: ({ sizes, seconds, idlePeers, timeoutMs }) => [
    ...listExchange("", { sizes, seconds, timeoutMs }),
    ...contactsAtOnce.map((open) => ({
      key: `firstContacts/${open}`,
      title: `first contacts, ${open} at once`,
      shared: true,
      run: (team) => team.ask("dialer", "firstContacts", { seconds, open }, timeoutMs),
    })),
    {
      key: "idleMemory",
      title: "memory per idle peer",
      shared: true,
      fresh: true,
      run: (team, peer) =>
        measureMemory(team, "listener", "hold", {
          count: Math.min(idlePeers, peer.maxIdlePeers ?? idlePeers),
          timeoutMs,
        }),
    },
  ],

  relay: (options) => listExchange("relay/", options),

  store: ({ sizes, mailboxMessages, quick, timeoutMs }) =>
    sizes.map((size, at) => ({
      key: `store/${size}`,
      title: `mail left and collected, ${formatSize(size)}`,
      fresh: at === 0,
      run: (team) => measureStore(team, { size, count: mailboxMessages, mailboxes: quick ? 1 : 3, timeoutMs }),
    })),

  lookup: ({ seconds, publishedPeers, timeoutMs }) => [
    {
      key: "lookUps",
      title: `look-ups, ${openAtOnce} in flight`,
      fresh: true,
      async run(team) {
        const { server } = team;
        await team.ask("dialer", "publish", { server, count: publishedPeers }, timeoutMs);
        return await team.ask("dialer", "lookUps", { server, seconds, open: openAtOnce }, timeoutMs);
      },
    },
    {
      key: "loneLookUps",
      title: "lone look-ups",
      run: (team) =>
        onOneCore(team, () => team.ask("dialer", "loneLookUps", { server: team.server, seconds }, timeoutMs)),
    },
  ],

  memory: ({ idlePeers, timeoutMs }) => [
    {
      key: "clientMemory",
      title: "memory per idle registered client",
      fresh: true,
      run: (team) => measureMemory(team, "server", "register", { count: idlePeers, timeoutMs }),
    },
  ],
};

/** What two peers say to each other, over a direct connection or through something between them. */
function listExchange(prefix, { sizes, seconds, timeoutMs }) {
  return [
    ...sizes.map((size, at) => ({
      key: `${prefix}oneWay/${size}`,
      title: `${titles[prefix]}one way, ${formatSize(size)}`,
      fresh: at === 0,
      run: (team) => measureOneWay(team, { size, seconds, timeoutMs }),
    })),
    {
      key: `${prefix}loneRequests`,
      title: `${titles[prefix]}lone requests`,
      fresh: true,
      run: (team) => onOneCore(team, () => team.ask("dialer", "loneRequests", { seconds }, timeoutMs)),
    },
    {
      key: `${prefix}openRequests`,
      title: `${titles[prefix]}requests, ${openAtOnce} in flight`,
      run: (team) => team.ask("dialer", "openRequests", { seconds, open: openAtOnce }, timeoutMs),
    },
  ];
}

const titles = { "": "", "relay/": "through a relay: " };

async function onOneCore(team, run) {
  team.shareCore(true);
  try {
    return await run();
  } finally {
    team.shareCore(false);
  }
}

async function measureOneWay(team, { size, seconds, timeoutMs }) {
  const count = await team.ask("dialer", "chooseCount", { size, seconds }, timeoutMs);
  const others = team.hasServer ? ["listener", "server"] : ["listener"];
  for (const role of others) await team.ask(role, "collectGarbage", {}, timeoutMs);
  const before = await readCpu(team, others, timeoutMs);
  const run = await team.ask("dialer", "oneWay", { size, count }, timeoutMs);
  const after = await readCpu(team, others, timeoutMs);
  const { listener, server } = microsBetween(before, after, count);
  const senderMicros = (run.cpu.user + run.cpu.system) / count;
  return {
    perSecond: count / run.seconds,
    megabytesPerSecond: (count * size) / run.seconds / 1e6,
    senderMicros,
    ...(server !== undefined && { serverMicros: server }),
    receiverMicros: listener,
    cpuMicros: senderMicros + listener + (server ?? 0),
    messages: count,
  };
}

/** Mail for one recipient after the other: left while he is away, then collected. The first ones warm up. */
async function measureStore(team, { size, count, mailboxes, timeoutMs }) {
  const { server, folder } = team;
  const sums = { left: 0, collected: 0, sender: 0, receiver: 0, serverLeft: 0, serverCollected: 0 };
  for (let i = 0; i < warmMailboxes + mailboxes; i++) {
    const address = await team.ask("listener", "openMailbox", { server, folder }, timeoutMs);
    const before = await readCpu(team, ["server"], timeoutMs);
    const left = await team.ask("dialer", "leaveMail", { server, address, size, count, open: leftAtOnce }, timeoutMs);
    const between = await readCpu(team, ["server"], timeoutMs);
    const collected = await team.ask("listener", "collect", { count, size }, timeoutMs);
    const after = await readCpu(team, ["server"], timeoutMs);
    if (i < warmMailboxes) continue;
    sums.left += left.seconds;
    sums.collected += collected.seconds;
    sums.sender += left.cpu.user + left.cpu.system;
    sums.receiver += collected.cpu.user + collected.cpu.system;
    sums.serverLeft += microsBetween(before, between, 1).server;
    sums.serverCollected += microsBetween(between, after, 1).server;
  }
  const messages = mailboxes * count;
  return {
    perSecond: messages / sums.left,
    collectedPerSecond: messages / sums.collected,
    senderMicros: sums.sender / messages,
    receiverMicros: sums.receiver / messages,
    serverMicros: sums.serverLeft / messages,
    serverCollectMicros: sums.serverCollected / messages,
    messages,
  };
}

async function measureMemory(team, role, arrive, { count, timeoutMs }) {
  const { server } = team;
  await team.ask("dialer", arrive, { server, count: heldBefore }, timeoutMs);
  const before = await team.ask(role, "memory", {}, timeoutMs);
  await team.ask("dialer", arrive, { server, count }, timeoutMs);
  const after = await team.ask(role, "memory", {}, timeoutMs);
  const each = (kind) => (after[kind] === undefined ? {} : { [`${kind}Bytes`]: (after[kind] - before[kind]) / count });
  return { ...each("resident"), ...each("javascript"), peers: count };
}

async function readCpu(team, roles, timeoutMs) {
  const used = {};
  for (const role of roles) used[role] = await team.ask(role, "cpu", {}, timeoutMs);
  return used;
}

/** Microseconds per message of each process; none where the system does not tell. */
function microsBetween(before, after, count) {
  return Object.fromEntries(
    Object.entries(after)
      .filter(([, used]) => used !== undefined && used !== null)
      .map(([role, used]) => [role, (used.user + used.system - before[role].user - before[role].system) / count]),
  );
}

export function formatSize(bytes) {
  if (bytes >= 1 << 20 && bytes % (1 << 20) === 0) return `${bytes >> 20} MiB`;
  if (bytes >= 1 << 10 && bytes % (1 << 10) === 0) return `${bytes >> 10} KiB`;
  return `${bytes} B`;
}
