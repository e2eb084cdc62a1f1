/**
 * Whether a peer would work here: its folder, its store, the clock, the boot pages, the metatrackers and relays behind them, and
 * whether somebody who knows nothing but its ID reaches it. One after the other, each as soon as it is known.
 */
import { metatrackers } from "@egtp/metatracker";
import {
  createIdentity,
  createNode,
  EgtpError,
  type EgtpNode,
  type Identity,
  type NodeEvent,
  type NodeOptions,
} from "@egtp/node";
import { folderLookup } from "@egtp/node/files";
import { tcp } from "@egtp/node/tcp";
import { relayClient } from "@egtp/relay";
import type { SessionStore } from "@egtp/session-store";
import { bookOf, type ChatOptions, openDataFolder } from "./chat-peer.ts";
import type { DataFolder } from "./data-folder.ts";
import { ping } from "./messages.ts";
import { duration, short } from "./timeline.ts";
import { waysIn } from "./ways-in.ts";

export interface Finding {
  readonly check: "node.js" | "folder" | "store" | "clock" | "boot page" | "directory" | "relay" | "reach";
  /** `doubtful`: it works, and less well than it might. */
  readonly state: "good" | "doubtful" | "bad";
  readonly text: string;
  readonly remedy?: string | undefined;
}

type Check = Finding["check"];

const patienceMs = 10_000;
/** Peers whose clocks differ by more cannot begin to talk (docs/spec.md, "Limits"). */
const maxSkewMs = 24 * 3_600_000;
const doubtfulSkewMs = 60_000;

export async function* examine(options: ChatOptions, signal: AbortSignal): AsyncGenerator<Finding> {
  yield nodeJs();
  let folder: DataFolder;
  let identity: Identity;
  try {
    folder = await openDataFolder(options);
    identity = await folder.identity();
  } catch (error) {
    yield failed("folder", error);
    return;
  }
  yield good("folder", `${folder.path} is ours, as ${identity.peer}`);

  let sessions: SessionStore;
  try {
    const opened = await folder.openSessions();
    sessions = opened.sessions;
    yield opened.kind === "lmdb"
      ? good("store", "sessions are kept on disk")
      : doubtful("store", "sessions are kept in memory, and lost when it ends", "npm install lmdb@^3.5.6");
  } catch (error) {
    yield failed("store", error);
    return;
  }
  for (const url of options.bootpage) yield* bootPage(url, signal);
  yield* running(options, identity, sessions, signal);
}

function nodeJs(): Finding {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split(".").map(Number);
  return major > 20 || (major === 20 && minor >= 19)
    ? good("node.js", `version ${node}`)
    : bad("node.js", `version ${node} is too old`, "Install 20.19 or later.");
}

/** Whether it comes, and what its server thinks of the time. What is on it, the lookup checks. */
async function* bootPage(url: string, signal: AbortSignal): AsyncGenerator<Finding> {
  const begun = performance.now();
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]) });
    await response.body?.cancel();
  } catch (error) {
    yield bad("boot page", `${url} does not come: ${reasonOf(error)}`, "Check the address, and the network.");
    return;
  }
  if (!response.ok) {
    yield bad("boot page", `${url} answers with ${response.status}`, "Check the address; ask whoever publishes it.");
    return;
  }
  yield good("boot page", `${url} answers in ${duration(performance.now() - begun)}`);
  const theirs = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(theirs)) return;
  const skewMs = Math.abs(Date.now() - theirs);
  if (skewMs < doubtfulSkewMs) yield good("clock", "agrees with that of its server");
  else if (skewMs < maxSkewMs) {
    yield doubtful("clock", `differs from its server's by ${duration(skewMs)}`, "Let the system set its clock (NTP).");
  } else {
    const remedy = "Set the clock: peers whose clocks differ by a day cannot begin to talk.";
    yield bad("clock", `differs from its server's by ${(skewMs / 3_600_000).toFixed(0)} hours`, remedy);
  }
}

/** Starts the peer, and another one that looks for it. */
async function* running(
  options: ChatOptions,
  identity: Identity,
  sessions: SessionStore,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const isAbroad = options.bootpage.length > 0;
  const misfortunes: string[] = [];
  const local = (): Pick<NodeOptions, "lookup" | "allowPrivateAddresses"> => ({
    lookup: isAbroad
      ? metatrackers({
          bootPages: options.bootpage,
          onEvent: (event) => {
            if ("error" in event) misfortunes.push(reasonOf(event.error));
          },
        })
      : folderLookup(bookOf(options)),
    allowPrivateAddresses: true,
  });
  const { host, port } = options.listen ?? { host: "127.0.0.1", port: 0 };
  const listen = options.listen !== undefined || !isAbroad;
  const node = await createNode({
    identity,
    sessions,
    transports: [tcp({ port, listen, ...(host !== undefined && { host }) })],
    parts: isAbroad ? [relayClient()] : [],
    ...local(),
  });
  node.handle(ping, ({ body }) => ({ n: body.n + 1 }));
  const heard = new Heard(node, signal);
  const other = await createNode({
    identity: createIdentity(),
    transports: [tcp({ listen: false })],
    parts: isAbroad ? [relayClient()] : [],
    ...local(),
  });
  try {
    await node.start();
    yield await directory(heard, misfortunes);
    if (isAbroad) yield await relays(heard);
    await other.start();
    yield await reach(other, node, signal);
  } catch (error) {
    yield failed("reach", error);
  } finally {
    await Promise.all([other.stop(), node.stop()]);
  }
}

async function directory(heard: Heard, misfortunes: readonly string[]): Promise<Finding> {
  const published = await heard.first((event) => event.kind === "published");
  if (published?.kind !== "published") return bad("directory", "nothing was published in time", remedies.directory);
  if (published.error === undefined) return good("directory", `knows us, with number ${published.seq}`);
  const reasons = [...new Set([reasonOf(published.error), ...misfortunes])].join("; ");
  return bad("directory", `does not know us: ${reasons}`, published.error.hint ?? remedies.directory);
}

async function relays(heard: Heard): Promise<Finding> {
  const event = await heard.first(({ kind }) => kind === "relay");
  if (event?.kind !== "relay") return bad("relay", "none was found", remedies.relay);
  const { state, relay, error } = event;
  if (state === "registered") return good("relay", `${short(relay)} keeps mail for us`);
  if (state === "replaced" || state === "superseded") {
    return doubtful(
      "relay",
      `${short(relay)} says that another process has our key`,
      "Run one process for each identity.",
    );
  }
  return bad("relay", `${short(relay)} does not keep mail for us: ${reasonOf(error)}`, error?.hint ?? remedies.relay);
}

async function reach(other: EgtpNode, node: EgtpNode, signal: AbortSignal): Promise<Finding> {
  const begun = performance.now();
  try {
    await other.request(node.peerId, ping, { n: 1 }, { timeoutMs: patienceMs, failFast: false, signal });
  } catch (error) {
    const ways = waysIn(node.contactRecord);
    const where = ways.length === 0 ? "our record names no way in" : `in vain: ${ways.join(", ")}`;
    return bad("reach", `a stranger who knows our ID does not reach us; ${where}`, reasonOf(error));
  }
  const tookMs = performance.now() - begun;
  return good(
    "reach",
    `a stranger who knows our ID reaches us in ${duration(tookMs)}: ${waysIn(node.contactRecord).join(", ")}`,
  );
}

/** What the node told since it was made. */
class Heard {
  readonly #events: NodeEvent[] = [];
  #wake = (): void => {};

  constructor(node: EgtpNode, signal: AbortSignal) {
    void (async () => {
      for await (const event of node.events({ kinds: ["published", "relay"], signal })) {
        this.#events.push(event);
        this.#wake();
      }
    })();
  }

  /** The first that fits, past or to come; `undefined` when none came in time. */
  first(fits: (event: NodeEvent) => boolean): Promise<NodeEvent | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), patienceMs);
      this.#wake = () => {
        const found = this.#events.find(fits);
        if (found === undefined) return;
        clearTimeout(timer);
        resolve(found);
      };
      this.#wake();
    });
  }
}

const remedies = {
  directory: "Check that a metatracker of the boot page runs, and that its address can be reached from here.",
  relay: "The boot page, or its metatrackers, must know a relay that runs: start one with egtp-relay.",
} as const;

function good(check: Check, text: string): Finding {
  return { check, state: "good", text };
}

function doubtful(check: Check, text: string, remedy: string): Finding {
  return { check, state: "doubtful", text, remedy };
}

function bad(check: Check, text: string, remedy: string | undefined): Finding {
  return { check, state: "bad", text, remedy };
}

function failed(check: Check, error: unknown): Finding {
  return bad(check, reasonOf(error), error instanceof EgtpError ? error.hint : undefined);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
