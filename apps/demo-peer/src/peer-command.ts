/** The command `peer`: a peer in a terminal. What is typed is sent, what comes in is printed, `/help` tells the rest. */
import { createInterface, type Interface } from "node:readline";
import { type Paint, paintFor } from "@egtp/metatracker/command";
import { EgtpError, type PeerId } from "@egtp/node";
import {
  bookUsage,
  type ChatOptions,
  ChatPeer,
  chatSchema,
  chatSpecs,
  listenUsage,
  placeUsage,
  plainText,
} from "./chat-peer.ts";
import { type NamedPeer, parseNamedPeer, readOptions } from "./command-line.ts";
import { exitCodes } from "./exit-code.ts";
import { chatText, ping } from "./messages.ts";
import { outcomeText } from "./send-outcome.ts";
import { listenForStop } from "./stop-signal.ts";
import { duration, short } from "./timeline.ts";

export const peerUsage = `Usage: egtp-demo-peer peer [options]

A peer in your terminal: what you type is sent. Start one in each of two terminals, with --name alice and
--name bob, and give one the ID that the other prints.

${placeUsage}
${bookUsage}
${listenUsage}
  --peer ID            whom to talk to; with @host:port where, else it is looked up. May be repeated
  --json               print one JSON object per line

In it, /help lists the commands: /sessions shows the sessions with a peer, /forget loses them all.
`;

const commandHelp = `/to ID[@HOST:PORT]   talk to this peer; the first characters of an ID are enough for one that is known
/ping                ask whether the peer is there
/peers               known peers and open links
/sessions            the sessions with the peer, in order: the first that sends is used
/forget              lose all sessions, as in a crash, and come back; then type something
/id                  who we are
/quit                or Ctrl-D`;

/** How long a typed line may wait for its peer. */
const timeoutMs = 60_000;

export async function peerCommand(args: readonly string[]): Promise<number> {
  const { options } = readOptions(args, chatSpecs, chatSchema);
  const stop = listenForStop();
  const conversation = await Conversation.start(options);
  // Not before: lines that nobody awaits are lost.
  const lines = createInterface({
    input: process.stdin,
    output: process.stdin.isTTY && !options.json ? process.stdout : undefined,
    prompt: "> ",
  });
  void stop.stopped.then(() => lines.close());
  lines.on("SIGINT", () => lines.close());
  conversation.begin(lines);
  try {
    for await (const line of lines) {
      if ((await conversation.take(line.trim())) === "quit") break;
    }
    // A script's last line should arrive; Ctrl-C waits for nothing.
    await Promise.race([conversation.settled(), stop.stopped]);
    return exitCodes.ok;
  } finally {
    lines.close();
    stop.cancel();
    await conversation.end();
  }
}

class Conversation {
  readonly #options: ChatOptions;
  readonly #paint: Paint;
  readonly #known = new Map<PeerId, string | undefined>();
  readonly #underway = new Set<Promise<void>>();
  #peer!: ChatPeer;
  #to: PeerId | undefined;
  /** What is typed into. */
  #lines: Interface | undefined;

  static async start(options: ChatOptions): Promise<Conversation> {
    const conversation = new Conversation(options);
    conversation.#peer = await ChatPeer.start(options, ({ from, body, early }) => {
      conversation.#know(from, body.name);
      conversation.#print(
        { event: "message", from, name: body.name, text: body.text, early },
        `${conversation.#paint("cyan", conversation.#nameOf(from))}  ${plainText(body.text)}`,
      );
    });
    return conversation;
  }

  private constructor(options: ChatOptions) {
    this.#options = options;
    this.#paint = options.json ? (_, text) => text : paintFor(process.stdout);
    for (const { peer } of options.peer) this.#know(peer, undefined);
  }

  begin(lines: Interface): void {
    this.#lines = lines;
    this.#introduceSelf();
  }

  /** Does what a line says. */
  async take(line: string): Promise<"quit" | "more"> {
    const [word = "", argument = ""] = line.split(/\s+/, 2);
    try {
      switch (word) {
        case "":
          this.#prompt();
          return "more";
        case "/quit":
        case "/exit":
          return "quit";
        case "/help":
          this.#print({ event: "help", text: commandHelp }, commandHelp);
          return "more";
        case "/id":
          this.#introduceSelf();
          return "more";
        case "/peers":
          this.#showPeers();
          return "more";
        case "/to":
          this.#turnTo(argument);
          return "more";
        case "/forget":
          await this.#peer.forget();
          this.#print(
            { event: "forgot" },
            "All sessions are lost. Whoever writes now is not understood at first, and then is.",
          );
          return "more";
      }
      if (word.startsWith("/") && word !== "/ping" && word !== "/sessions")
        this.#fail(`There is no ${word}: see /help.`);
      else if (this.#to === undefined) this.#fail("To whom? Say /to ID, or start with --peer ID.");
      else if (word === "/sessions") this.#showSessions(this.#to);
      else if (word === "/ping") this.#begin(this.#ping(this.#to));
      else this.#begin(this.#send(this.#to, line));
    } catch (error) {
      this.#tellError(error);
    }
    return "more";
  }

  /** Resolves when nothing is underway. */
  async settled(): Promise<void> {
    await Promise.all(this.#underway);
  }

  end(): Promise<void> {
    return this.#peer.stop();
  }

  // ---- What can be said

  #introduceSelf(): void {
    const { addresses, store, node } = this.#peer;
    this.#print(
      { event: "listening", peer: node.peerId, addresses, store },
      `You are ${this.#paint("bold", node.peerId)}, on ${addresses.join(", ")}. /help tells what can be done.` +
        (store === "memory" ? "\nlmdb does not load on this machine: sessions last until you leave." : ""),
    );
  }

  #turnTo(text: string): void {
    const matches = [...this.#known.keys()].filter((peer) => text !== "" && peer.startsWith(text));
    const named: NamedPeer = matches.length === 1 ? { peer: matches[0]!, strategies: [] } : parseNamedPeer(text);
    this.#know(named.peer, undefined);
    this.#peer.introduce(named.peer, named.strategies);
    this.#to = named.peer;
    this.#print({ event: "to", peer: named.peer }, `You talk to ${named.peer}`);
  }

  async #send(to: PeerId, text: string): Promise<void> {
    const begun = performance.now();
    const outcome = await this.#peer.node.send(to, chatText, { text, name: this.#options.name }, { timeoutMs });
    const tookMs = Math.round(performance.now() - begun);
    const { state } = outcome;
    this.#print(
      { event: "outcome", peer: to, state, tookMs },
      this.#paint("dim", `  ${outcomeText(outcome)}${state === "delivered" ? ` in ${tookMs} ms` : ""}`),
    );
  }

  async #ping(to: PeerId): Promise<void> {
    const begun = performance.now();
    await this.#peer.node.request(to, ping, { n: 1 });
    const tookMs = Math.round((performance.now() - begun) * 10) / 10;
    this.#print({ event: "pong", peer: to, tookMs }, `${this.#nameOf(to)} answered in ${tookMs} ms`);
  }

  #showPeers(): void {
    const links = this.#peer.node.links();
    const peers = [...this.#known].map(([peer, name]) => ({
      peer,
      name,
      links: links
        .filter((link) => link.peer === peer)
        .map(({ direction, transport, remote, isAnswered }) => ({ direction, transport, remote, isAnswered })),
    }));
    const rows = peers.map(({ peer, name, links: open }) => {
      const ways = open.map(({ direction, transport, remote }) => `${direction} ${transport} ${remote}`).join(", ");
      return `${peer === this.#to ? "*" : " "} ${peer} ${plainText(name ?? "")}  ${ways || "no link"}`;
    });
    this.#print({ event: "peers", to: this.#to, peers }, rows.join("\n") || "Nobody is known yet.");
  }

  #showSessions(peer: PeerId): void {
    const sessions = this.#peer.node.sessions(peer);
    const preferred = sessions.findIndex(({ sends }) => sends);
    const rows = sessions.map(({ id, role, createdAt, sends, confirmed }, index) => {
      const state = sends ? (confirmed ? "confirmed" : "not confirmed") : "receives only";
      const age = duration(Date.now() - createdAt);
      return `${index + 1}. ${id}  ${role}, ${age} old, ${state}${index === preferred ? ", in use" : ""}`;
    });
    this.#print({ event: "sessions", peer, sessions }, rows.join("\n") || `No session with ${this.#nameOf(peer)}.`);
  }

  // ---- Telling

  #begin(task: Promise<void>): void {
    const underway = task
      .catch((error: unknown) => this.#tellError(error))
      .finally(() => {
        this.#underway.delete(underway);
      });
    this.#underway.add(underway);
    this.#prompt();
  }

  /** The first peer to be known is the one that is talked to. */
  #know(peer: PeerId, name: string | undefined): void {
    this.#known.set(peer, name ?? this.#known.get(peer));
    this.#to ??= peer;
  }

  #nameOf(peer: PeerId): string {
    const name = this.#known.get(peer);
    return name === undefined ? short(peer) : `${plainText(name)} (${short(peer)})`;
  }

  #tellError(error: unknown): void {
    if (!(error instanceof EgtpError)) throw error;
    this.#fail(error.hint === undefined ? error.message : `${error.message}\n  ${error.hint}`, error.code);
  }

  #fail(text: string, code?: string): void {
    this.#print({ event: "error", code, message: text }, this.#paint("red", text));
  }

  #print(event: Readonly<Record<string, unknown>>, text: string): void {
    if (this.#options.json) console.log(JSON.stringify(event));
    else {
      // Above the line that is being typed.
      if (process.stdin.isTTY && process.stdout.isTTY) process.stdout.write("\r\x1b[K");
      console.log(text);
    }
    this.#prompt();
  }

  #prompt(): void {
    if (process.stdin.isTTY && !this.#options.json) this.#lines?.prompt(true);
  }
}
