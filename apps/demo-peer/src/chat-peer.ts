/**
 * A peer driven by hand or by a script: its folder and its node. Without a boot page it finds others in a folder that the
 * peers of one machine share; with one, through metatrackers and relays, wherever they are.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { debuglog } from "node:util";
import { metatrackers } from "@egtp/metatracker";
import { createNode, type EgtpNode, type PeerId, type ReceivedMessage } from "@egtp/node";
import { debugLog } from "@egtp/node/debug-log";
import { folderLookup } from "@egtp/node/files";
import { tcp } from "@egtp/node/tcp";
import { relayClient } from "@egtp/relay";
import * as z from "zod/mini";
import { type NamedPeer, parseAddress, parseNamedPeer, someText } from "./command-line.ts";
import { DataFolder } from "./data-folder.ts";
import { chatText, ping } from "./messages.ts";
import { FilteredTransport } from "./transport-filter.ts";
import { waysIn } from "./ways-in.ts";

/** Where a peer lives and whom it knows: options that several commands have. */
export const placeSpecs = {
  name: { type: "string" },
  data: { type: "string" },
  json: { type: "boolean" },
} as const;

export const chatSpecs = {
  ...placeSpecs,
  book: { type: "string" },
  bootpage: { type: "string", multiple: true },
  listen: { type: "string" },
  peer: { type: "string", multiple: true },
} as const;

const place = {
  name: z._default(
    z.string().check(z.regex(/^[\p{L}\p{N}_-]{1,32}$/u, "must be 1 to 32 letters, digits, - or _")),
    "peer",
  ),
  data: z.optional(someText),
  json: z._default(z.boolean(), false),
};

export const placeSchema = z.object(place);

export const chatSchema = z.object({
  ...place,
  book: z.optional(someText),
  bootpage: z._default(z.array(someText), []),
  listen: z.optional(
    z.pipe(
      someText,
      z.transform((text) => parseAddress(text, "--listen")),
    ),
  ),
  peer: z._default(z.array(z.pipe(z.string(), z.transform(parseNamedPeer))), []),
});

export type ChatOptions = z.infer<typeof chatSchema>;

export const placeUsage = `  --name NAME          what it calls itself, and its folder (peer)
  --data DIR           where it keeps its identity and sessions (~/.egtp-demo/NAME)`;

export const bookUsage = `  --book DIR           where the peers of one machine find each other (~/.egtp-demo/book)
  --bootpage URL       find others, and be found, through the metatrackers and relays that it names;
                       may be repeated`;

export const listenUsage = `  --listen ADDRESS     host:port or port; 0.0.0.0:4000 lets the network in (127.0.0.1, any free port;
                       with --bootpage: nothing, others come by way of a relay)`;

const home = join(homedir(), ".egtp-demo");

export function openDataFolder({ data, name }: z.infer<typeof placeSchema>): Promise<DataFolder> {
  return DataFolder.open(data ?? join(home, name));
}

/** Where the peers of one machine find each other. */
export function bookOf({ book }: Pick<ChatOptions, "book">): string {
  return book ?? join(home, "book");
}

export type ReceivedText = ReceivedMessage<{ readonly text: string; readonly name?: string | undefined }>;

export class ChatPeer {
  readonly #options: ChatOptions;
  /** Absent: it takes no connections, unless an address was named. */
  readonly #onText: ((message: ReceivedText) => void) | undefined;
  readonly #folder: DataFolder;
  #node!: EgtpNode;
  #store: "lmdb" | "memory" = "memory";
  /** Nothing leaves any more: see {@link forget}. */
  #isMute = false;

  /**
   * A peer that runs.
   *
   * @param onText - Takes what others write. Without it the peer only sends.
   */
  static async start(options: ChatOptions, onText?: (message: ReceivedText) => void): Promise<ChatPeer> {
    const peer = new ChatPeer(options, onText, await openDataFolder(options));
    await peer.#start();
    return peer;
  }

  private constructor(options: ChatOptions, onText: ((message: ReceivedText) => void) | undefined, folder: DataFolder) {
    this.#options = options;
    this.#onText = onText;
    this.#folder = folder;
  }

  get node(): EgtpNode {
    return this.#node;
  }

  get store(): "lmdb" | "memory" {
    return this.#store;
  }

  /** How others can reach it. */
  get addresses(): string[] {
    return waysIn(this.#node.contactRecord);
  }

  /**
   * Loses all sessions as a crash would: no goodbye leaves, so the others know nothing of it. Then it is there again.
   */
  async forget(): Promise<void> {
    this.#isMute = true;
    await this.#node.stop();
    await this.#folder.deleteSessions();
    this.#isMute = false;
    await this.#start();
  }

  stop(): Promise<void> {
    return this.#node.stop();
  }

  async #start(): Promise<void> {
    const { bootpage: bootPages, listen, peer } = this.#options;
    const isAbroad = bootPages.length > 0;
    const { sessions, kind } = await this.#folder.openSessions();
    this.#store = kind;
    const { host, port } = listen ?? { host: "127.0.0.1", port: 0 };
    const listens = listen !== undefined || (this.#onText !== undefined && !isAbroad);
    const medium = tcp({ port, listen: listens, ...(host !== undefined && { host }) });
    this.#node = await createNode({
      identity: await this.#folder.identity(),
      sessions,
      transports: [new FilteredTransport(medium, () => !this.#isMute)],
      lookup: isAbroad ? metatrackers({ bootPages }) : folderLookup(bookOf(this.#options)),
      parts: isAbroad ? [relayClient()] : [],
      allowPrivateAddresses: true, // a peer to play with, on one machine or at home
    });
    const onText = this.#onText;
    if (onText !== undefined) this.#node.handle(chatText, onText);
    this.#node.handle(ping, ({ body }) => ({ n: body.n + 1 }));
    debugLog(this.#node, debuglog);
    await this.#node.start();
    for (const { peer: id, strategies } of peer) this.introduce(id, strategies);
  }

  introduce(peer: PeerId, strategies: NamedPeer["strategies"]): void {
    if (strategies.length > 0) this.#node.introduce(peer, strategies);
  }
}

/** Text of strangers for a terminal: what would steer it is shown as a dot. */
export function plainText(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Bidi_Control}]/gu, "·");
}
