// What is measured, in the order of a pass. Each measure asks one pair of processes and returns plain numbers.

export const openAtOnce = 64;
const contactsAtOnce = [1, 8];
const heldBefore = 20; // connections that bring the code and the first buffers in, before memory is compared

/**
 * @returns The measures of one pass. Before a `fresh` one all processes start anew: what bulk transfers leave behind in
 * heap and allocator would show. The variant of another peer skips `shared` ones, in which it does not differ.
 */
export function listMeasures({ sizes, seconds, idlePeers }) {
  const timeoutMs = 20_000 + 20_000 * seconds;
  return [
    ...sizes.map((size) => ({
      key: `oneWay/${size}`,
      title: `one way, ${formatSize(size)}`,
      run: (pair) => measureOneWay(pair, { size, seconds, timeoutMs }),
    })),
    {
      key: "loneRequests",
      title: "lone requests",
      fresh: true,
      async run(pair) {
        pair.shareCore(true);
        try {
          return await pair.askDialer("loneRequests", { seconds }, timeoutMs);
        } finally {
          pair.shareCore(false);
        }
      },
    },
    {
      key: "openRequests",
      title: `requests, ${openAtOnce} in flight`,
      run: (pair) => pair.askDialer("openRequests", { seconds, open: openAtOnce }, timeoutMs),
    },
    ...contactsAtOnce.map((open) => ({
      key: `firstContacts/${open}`,
      title: `first contacts, ${open} at once`,
      shared: true,
      run: (pair) => pair.askDialer("firstContacts", { seconds, open }, timeoutMs),
    })),
    {
      key: "idleMemory",
      title: "memory per idle peer",
      shared: true,
      fresh: true,
      run: (pair, peer) =>
        measureMemory(pair, { count: Math.min(idlePeers, peer.maxIdlePeers ?? idlePeers), timeoutMs }),
    },
  ];
}

async function measureOneWay(pair, { size, seconds, timeoutMs }) {
  const count = await pair.askDialer("chooseCount", { size, seconds }, timeoutMs);
  await pair.askListener("collectGarbage", {}, timeoutMs);
  const before = await pair.askListener("cpu", {}, timeoutMs);
  const run = await pair.askDialer("oneWay", { size, count }, timeoutMs);
  const after = await pair.askListener("cpu", {}, timeoutMs);
  const senderMicros = (run.cpu.user + run.cpu.system) / count;
  const receiverMicros = (after.user + after.system - before.user - before.system) / count;
  return {
    perSecond: count / run.seconds,
    megabytesPerSecond: (count * size) / run.seconds / 1e6,
    senderMicros,
    receiverMicros,
    cpuMicros: senderMicros + receiverMicros,
    messages: count,
  };
}

async function measureMemory(pair, { count, timeoutMs }) {
  await pair.askDialer("hold", { count: heldBefore }, timeoutMs);
  const before = await pair.askListener("memory", {}, timeoutMs);
  await pair.askDialer("hold", { count }, timeoutMs);
  const after = await pair.askListener("memory", {}, timeoutMs);
  return {
    residentBytes: (after.resident - before.resident) / count,
    javascriptBytes: (after.javascript - before.javascript) / count,
    peers: count,
  };
}

export function formatSize(bytes) {
  if (bytes >= 1 << 20 && bytes % (1 << 20) === 0) return `${bytes >> 20} MiB`;
  if (bytes >= 1 << 10 && bytes % (1 << 10) === 0) return `${bytes >> 10} KiB`;
  return `${bytes} B`;
}
