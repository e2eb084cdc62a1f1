/** The other peer behind the page, bob, in a process of its own that is killed to make him forget. He answers what he is told. */
import { createHash } from "node:crypto";
import { metatrackers } from "@egtp/metatracker";
import { createNode, type EgtpNode, type PeerId, type SessionState } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { relayClient } from "@egtp/relay";
import { DataFolder } from "./data-folder.ts";
import { chatText, filePiece } from "./messages.ts";
import { obeyParent, tellParent } from "./page-child.ts";
import type { OtherEvent, OtherState } from "./page-news.ts";
import { PieceCollector } from "./piece-collector.ts";
import { withoutOffers } from "./transport-filter.ts";

export const otherWord = "demo-page-other";

export type TellOther =
  | { readonly tell: "start"; readonly folder: string; readonly bootPage: string; readonly heals: boolean }
  | { readonly tell: "heal"; readonly on: boolean }
  /** Whose sessions the page wants to see. */
  | { readonly tell: "peers"; readonly peers: readonly PeerId[] };

const lookEveryMs = 500;

export function runPageOther(): Promise<void> {
  let heals = true;
  let heldBack = 0;
  let peers: readonly PeerId[] = [];
  return obeyParent<TellOther>(async (order) => {
    if (order.tell === "heal") heals = order.on;
    else if (order.tell === "peers") peers = order.peers;
    else {
      heals = order.heals;
      const relay = relayClient();
      const part = withoutOffers(
        relay,
        () => !heals,
        () => {
          heldBack += 1;
        },
      );
      const folder = await DataFolder.open(order.folder);
      const { sessions } = await folder.openSessions();
      const node = await createNode({
        identity: await folder.identity(),
        sessions,
        transports: [tcp({ listen: false })],
        lookup: metatrackers({ bootPages: [order.bootPage] }),
        parts: [part],
        allowPrivateAddresses: true, // all of this takes place on loopback
        limits: { node: { maxRetryMs: 1_000 } }, // who watches has less patience than a program
      });
      answer(node);
      void tellEvents(node);
      await node.start();
      const tellState = (): void => {
        const all: Record<PeerId, readonly SessionState[]> = {};
        for (const peer of peers) if (peer !== node.peerId) all[peer] = node.sessions(peer);
        const links = node.links().map(({ peer, transport }) => ({ peer, transport }));
        tellParent<OtherState>({ what: "other", peer: node.peerId, sessions: all, links, heldBack });
      };
      tellState();
      setInterval(tellState, lookEveryMs);
    }
  });
}

/** In his own words, so that one sees that he read it. */
function answer(node: EgtpNode): void {
  let count = 0;
  const say = (to: PeerId, text: string): void => {
    // How it ended is told by an event.
    node.send(to, chatText, { text, name: "bob" }, { failFast: false }).catch(() => {});
  };
  node.handle(chatText, ({ from, body: { text } }) => {
    count += 1;
    const words = text.trim().split(/\s+/).length;
    say(
      from,
      `I read “${text.slice(0, 60)}”: ${words} ${words === 1 ? "word" : "words"}. Message ${count} since I woke up.`,
    );
  });
  const files = new PieceCollector(({ from, name, bytes }) => {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    say(
      from,
      `I have your file “${name.slice(0, 60)}”, ${bytes.length.toLocaleString("en-US")} bytes, SHA-256 ${sha256.slice(0, 16)}…`,
    );
  });
  node.handle(filePiece, ({ from, body }) => files.take(from, body));
}

async function tellEvents(node: EgtpNode): Promise<void> {
  for await (const event of node.events({ kinds: ["session", "relay"] })) {
    if (event.kind !== "session" && event.kind !== "relay") continue;
    const peer = event.kind === "session" ? event.peer : event.relay;
    tellParent<OtherEvent>({ what: "other-event", at: Date.now(), kind: event.kind, state: event.state, peer });
  }
}
