/**
 * Whether a peer would work here: its folder, its store, the boot pages, the clock, the metatrackers and relays behind them,
 * whether somebody who knows nothing but its ID reaches it, and whether it reaches whom it wants to talk to. One after the
 * other, each as soon as it is known; what cannot be known since something before it failed is left out.
 */
import {
  type BootPageEvent,
  type BootPageUrl,
  type Metatrackers,
  type MetatrackersEvent,
  metatrackers,
  NoMetatrackerError,
  parseBootPageUrl,
} from "@egtp/metatracker";
import {
  createIdentity,
  createNode,
  EgtpError,
  type EgtpNode,
  type Identity,
  type Lookup,
  type NodeEvent,
  type NodeOptions,
  TimeoutError,
  UnreachableError,
} from "@egtp/node";
import { folderLookup } from "@egtp/node/files";
import { tcp } from "@egtp/node/tcp";
import { relayClient } from "@egtp/relay";
import { bookOf, type ChatOptions, openDataFolder } from "./chat-peer.ts";
import type { NamedPeer } from "./command-line.ts";
import type { DataFolder, OpenedSessions } from "./data-folder.ts";
import { ping } from "./messages.ts";
import { duration, short } from "./timeline.ts";
import { waysIn } from "./ways-in.ts";

export interface Finding {
  readonly check:
    | "node.js"
    | "folder"
    | "store"
    | "boot page"
    | "clock"
    | "directory"
    | "relay"
    | "record"
    | "reach"
    | "peer"
    | "versions";
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

  let opened: OpenedSessions;
  try {
    opened = await folder.openSessions();
  } catch (error) {
    yield failed("store", error);
    return;
  }
  yield store(opened);
  yield* running(options, identity, opened.sessions, signal);
}

function nodeJs(): Finding {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split(".").map(Number);
  return major > 20 || (major === 20 && minor >= 19)
    ? good("node.js", `version ${node}`)
    : bad("node.js", `version ${node} is too old`, "Install 20.19 or later.");
}

function store({ kind, setAside }: OpenedSessions): Finding {
  if (kind === "memory") {
    return doubtful("store", "sessions are kept in memory, and lost when it ends", "npm install lmdb@^3.5.6");
  }
  if (setAside === undefined) return good("store", "sessions are kept on disk");
  return doubtful(
    "store",
    `the sessions on disk were ${setAside.kind}, and are begun anew: ${setAside.reason}`,
    `Nothing: peers notice, and sessions heal. If it happens again check the disk; the old file is ${setAside.path}.`,
  );
}

/** Starts the peer, and another one that looks for it. */
async function* running(
  options: ChatOptions,
  identity: Identity,
  sessions: OpenedSessions["sessions"],
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const isAbroad = options.bootpage.length > 0;
  const news = new BootPageNews();
  let pages: readonly BootPageUrl[];
  try {
    pages = options.bootpage.map((url) => parseBootPageUrl(url));
  } catch (error) {
    await sessions.close();
    yield failed("boot page", error);
    return;
  }
  const local = (lookup: Lookup): Pick<NodeOptions, "lookup" | "parts" | "allowPrivateAddresses"> => ({
    lookup,
    parts: isAbroad ? [relayClient()] : [],
    allowPrivateAddresses: true,
  });
  const abroad = metatrackers({ bootPages: options.bootpage, fetch: news.fetch, onEvent: news.hear });
  const lookupOfOther = isAbroad ? metatrackers({ bootPages: options.bootpage }) : folderLookup(bookOf(options));
  const { host, port } = options.listen ?? { host: "127.0.0.1", port: 0 };
  const listen = options.listen !== undefined || !isAbroad;
  const node = await createNode({
    identity,
    sessions,
    transports: [tcp({ port, listen, ...(host !== undefined && { host }) })],
    ...local(isAbroad ? abroad : folderLookup(bookOf(options))),
  });
  node.handle(ping, ({ body }) => ({ n: body.n + 1 }));
  const heard = new Heard(node, signal);
  const other = await createNode({
    identity: createIdentity(),
    transports: [tcp({ listen: false })],
    ...local(lookupOfOther),
  });
  try {
    await node.start();
    const damaged = heard.all.filter((event) => event.kind === "store" && event.state === "damaged").length;
    if (damaged > 0) {
      const remedy =
        "Nothing: the peers in question notice, and their sessions heal. If it happens again check the disk.";
      yield doubtful("store", `${damaged} of its records were damaged, and left out`, remedy);
    }
    if (isAbroad) {
      let readable = 0;
      for (const page of pages) {
        const finding = bootPage(page, await news.of(page.url));
        if (finding.state !== "bad") readable += 1;
        yield finding;
      }
      if (news.skewMs !== undefined) yield clock(news.skewMs);
      if (readable === 0) return;
      const answer = await directory(abroad, node, signal);
      yield answer;
      if (answer.state === "bad") return;
      const relay = await relays(heard);
      yield relay;
      if (relay.state === "bad" && !listen) return; // it has no way in, so there is nothing to publish or to reach
    }
    yield await record(heard);
    await other.start();
    yield await reach(other, node, signal);
    for (const peer of options.peer) yield await reachPeer(node, peer, signal);
    yield versions(heard);
  } catch (error) {
    yield failed("reach", error);
  } finally {
    await Promise.all([other.stop(), node.stop()]);
  }
}

/** What is told of the boot pages while they are loaded, and what their servers think of the time. */
class BootPageNews {
  /** Between us and the server that differs least. */
  skewMs: number | undefined;
  readonly #events = new Map<string, PageEvent>();
  readonly #waiting = new Map<string, (event: PageEvent) => void>();

  readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const response = await fetch(url, init);
    const ageMs = 1_000 * Number(response.headers.get("age") ?? 0);
    const skewMs = Math.abs(Date.now() - ageMs - Date.parse(response.headers.get("date") ?? ""));
    if (!Number.isNaN(skewMs)) this.skewMs = Math.min(skewMs, this.skewMs ?? skewMs);
    return response;
  };

  readonly hear = (event: MetatrackersEvent): void => {
    if (event.kind !== "boot-page" || (event.state !== "loaded" && event.state !== "failed")) return;
    this.#events.set(event.url, event);
    this.#waiting.get(event.url)?.(event);
  };

  /** @returns `undefined` when nothing is told of it in time: it says what another one said already. */
  of(url: string): Promise<PageEvent | undefined> {
    return new Promise((resolve) => {
      const event = this.#events.get(url);
      const timer = setTimeout(() => resolve(event), event === undefined ? patienceMs : 0);
      this.#waiting.set(url, (news) => {
        clearTimeout(timer);
        resolve(news);
      });
    });
  }
}

type PageEvent = Extract<BootPageEvent, { readonly state: "loaded" | "cached" | "failed" }>;

function bootPage({ url, publisher }: BootPageUrl, event: PageEvent | undefined): Finding {
  if (event?.state === "failed") return failed("boot page", event.error);
  if (event === undefined) return good("boot page", `${url} says nothing new`);
  const says = `${url} names ${event.records === 1 ? "one peer" : `${event.records} peers`}`;
  if (publisher !== undefined) return good("boot page", says);
  const remedy = `If that is its publisher, write ${url}#${event.publisher}: then nobody else's is taken.`;
  return doubtful("boot page", `${says}, and is believed to be of ${event.publisher}`, remedy);
}

function clock(skewMs: number): Finding {
  if (skewMs < doubtfulSkewMs) return good("clock", "agrees with that of the boot page's server");
  const hours = skewMs / 3_600_000;
  const much = hours < 2 ? `${Math.round(hours * 60)} minutes` : `${Math.round(hours)} hours`;
  const text = `differs by ${much} from that of the boot page's server`;
  if (skewMs < maxSkewMs) return doubtful("clock", text, "Let the system set its clock (NTP).");
  return bad("clock", text, "Set the clock (NTP): peers whose clocks differ by a day cannot begin to talk.");
}

/** Whether the metatrackers answer. */
async function directory(lookup: Metatrackers, node: EgtpNode, signal: AbortSignal): Promise<Finding> {
  try {
    await lookup.lookUp(node.peerId, { signal: AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]) });
  } catch (error) {
    return failed("directory", error);
  }
  const { length } = lookup.known;
  return good("directory", length === 1 ? "the metatracker answers" : `of ${length} metatrackers enough answer`);
}

async function relays(heard: Heard): Promise<Finding> {
  const event = await heard.first(({ kind }) => kind === "relay");
  if (event?.kind !== "relay") {
    const remedy = "The boot page, or its metatrackers, must know a relay that runs: start one with egtp-relay.";
    return bad("relay", "none was found", remedy);
  }
  const { state, relay, error } = event;
  if (state === "registered") return good("relay", `${short(relay)} keeps mail for us`);
  if (state === "replaced") {
    // A moment after another run of this very peer it says the same.
    return good("relay", `${short(relay)} keeps mail for us, and did so for another run of us a moment ago`);
  }
  if (state === "superseded") {
    const remedy = "Run one process for each identity.";
    return doubtful("relay", `${short(relay)} says that another process with our key came after us`, remedy);
  }
  return bad("relay", `${short(relay)} does not keep mail for us: ${reasonOf(error)}`, remedyOf(error));
}

async function record(heard: Heard): Promise<Finding> {
  const event = await heard.first(({ kind }) => kind === "published");
  if (event?.kind !== "published") {
    return bad("record", "where we are was not made known in time", "Try again: the directory may be busy.");
  }
  if (event.error !== undefined) return failed("record", event.error);
  return good("record", `where we are is known to the directory, with number ${event.seq}`);
}

async function reach(other: EgtpNode, node: EgtpNode, signal: AbortSignal): Promise<Finding> {
  const begun = performance.now();
  const ways = waysIn(node.contactRecord).join(", ");
  try {
    await other.request(node.peerId, ping, { n: 1 }, { timeoutMs: patienceMs, failFast: false, signal });
  } catch (error) {
    return bad(
      "reach",
      `a stranger who knows our ID does not reach us by ${ways}: ${reasonOf(error)}`,
      remedyOf(error),
    );
  }
  const took = duration(performance.now() - begun);
  return good("reach", `a stranger who knows our ID reaches us in ${took}: ${ways}`);
}

/** Whether somebody whom the user named answers. */
async function reachPeer(node: EgtpNode, { peer, strategies }: NamedPeer, signal: AbortSignal): Promise<Finding> {
  const begun = performance.now();
  if (strategies.length > 0) node.introduce(peer, strategies);
  try {
    await node.request(peer, ping, { n: 1 }, { timeoutMs: patienceMs, signal });
  } catch (error) {
    return bad("peer", reasonOf(error), remedyOf(error));
  }
  return good("peer", `${short(peer)} answers in ${duration(performance.now() - begun)}`);
}

/** Who speaks another version is heard and never answered, so that is all that shows of it. */
function versions(heard: Heard): Finding {
  const sources = new Set<string>();
  for (const event of heard.all) {
    if (event.kind === "drop" && event.reason === "unknown-version") sources.add(event.source);
  }
  if (sources.size === 0) return good("versions", "nobody was heard who speaks another version of EGTP");
  const remedy = "Update the older of the two: peers of different versions cannot talk.";
  return doubtful("versions", `another version of EGTP is spoken at ${[...sources].join(", ")}`, remedy);
}

/** What the node told since it was made. */
class Heard {
  /** So far; bounded by the time that an examination takes. */
  readonly all: NodeEvent[] = [];
  #wake = (): void => {};

  constructor(node: EgtpNode, signal: AbortSignal) {
    void (async () => {
      for await (const event of node.events({ kinds: ["published", "relay", "store", "drop"], signal })) {
        this.all.push(event);
        this.#wake();
      }
    })();
  }

  /** The first that fits, past or to come; `undefined` when none came in time. */
  first(fits: (event: NodeEvent) => boolean): Promise<NodeEvent | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), patienceMs);
      this.#wake = () => {
        const found = this.all.find(fits);
        if (found === undefined) return;
        clearTimeout(timer);
        resolve(found);
      };
      this.#wake();
    });
  }
}

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
  return bad(check, reasonOf(error), remedyOf(error));
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  return cause instanceof Error && !message.includes(cause.message) ? `${message} (${reasonOf(cause)})` : message;
}

/** The hint of what is nearest to the cause. */
function remedyOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  for (const cause of causesOf(error)) {
    const remedy = remedyOf(cause);
    if (remedy !== undefined) return remedy;
  }
  return error instanceof EgtpError ? error.hint : undefined;
}

function causesOf(error: Error): readonly unknown[] {
  if (error instanceof AggregateError) return error.errors;
  if (error instanceof UnreachableError || error instanceof TimeoutError || error instanceof NoMetatrackerError) {
    return error.reasons.map((reason) => reason.error);
  }
  return [error.cause];
}
