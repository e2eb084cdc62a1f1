/** The relay behind the page, in a process of its own: an ordinary one that also tells what it sees pass. */
import { metatrackers } from "@egtp/metatracker";
import { createNode, type EgtpNode, type NodePart } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { websocket } from "@egtp/node/websocket";
import { relayServer } from "@egtp/relay/server";
import { decodeEnvelope, peerIdBytes, peerIdFromBytes, toHex, verifyContactRecord } from "@egtp/wire";
import { DataFolder } from "./data-folder.ts";
import { obeyParent, tellParent } from "./page-child.ts";
import type { SeenEnvelope } from "./page-news.ts";

export const relayWord = "demo-page-relay";

export interface StartRelay {
  readonly folder: string;
  readonly bootPage: string;
  /** Zero: ports that the system picks. */
  readonly ports: RelayPorts;
}

export interface RelayPorts {
  readonly tcp: number;
  readonly websocket: number;
}

/** What it tells first. */
export interface RelayIsUp {
  readonly what: "up";
  readonly peer: EgtpNode["peerId"];
  readonly ports: RelayPorts;
}

const host = "127.0.0.1";
/** The first byte of what a relay replies says what it did. */
const fates: readonly SeenEnvelope["fate"][] = ["passed", "kept", "refused"];

export function runPageRelay(): Promise<void> {
  return obeyParent<StartRelay>(async ({ folder: path, bootPage, ports }) => {
    const folder = await DataFolder.open(path);
    const { sessions, kind } = await folder.openSessions();
    const store = kind === "lmdb" ? await openMailboxes(folder) : undefined;
    const node = await createNode({
      identity: await folder.identity(),
      sessions,
      transports: [tcp({ host, port: ports.tcp }), websocket({ host, port: ports.websocket })],
      lookup: metatrackers({ bootPages: [bootPage] }),
      services: ["relay"],
      parts: [overlooked(relayServer(store && { store }))],
      allowPrivateAddresses: true,
    });
    await node.start();
    const used = { ...ports };
    for (const strategy of verifyContactRecord(node.contactRecord!, Date.now()).strategies) {
      if (strategy.kind === "tcp") used.tcp = strategy.port;
      else if (strategy.kind === "websocket") used.websocket = Number(new URL(strategy.url).port);
    }
    tellParent<RelayIsUp>({ what: "up", peer: node.peerId, ports: used });
  });
}

async function openMailboxes(folder: DataFolder) {
  const { LmdbMailboxStore } = await import("@egtp/relay/lmdb");
  return LmdbMailboxStore.open(folder.join("mailboxes"));
}

/** The same part, on a node whose handler of what is passed along is looked over the shoulder. */
function overlooked(relay: NodePart): NodePart {
  return {
    start: (node, options, tell) => {
      const handle: EgtpNode["handle"] = (type, handler) => {
        if (type.name !== "relay/pass-along") return node.handle(type, handler);
        const watched = async (message: Parameters<typeof handler>[0]) => {
          // It is looked at before the relay works on it, whose memory it is then.
          const seen = look(message.body as Uint8Array);
          const reply = await handler(message);
          if (seen !== undefined)
            tellParent<SeenEnvelope>({ ...seen, fate: fates[(reply as Uint8Array)[0]!] ?? "refused" });
          return reply;
        };
        return node.handle(type, watched as typeof handler);
      };
      const over = new Proxy(node, {
        get: (target, key) => {
          if (key === "handle") return handle;
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      return relay.start(over, options, tell);
    },
    stop: () => relay.stop(),
  };
}

/** All that a relay can tell of an envelope; `undefined` for what is none. */
function look(body: Uint8Array): Omit<SeenEnvelope, "fate"> | undefined {
  try {
    const to = peerIdFromBytes(body.slice(0, peerIdBytes));
    const envelope = decodeEnvelope(body.subarray(peerIdBytes));
    return {
      what: "envelope",
      at: Date.now(),
      from: envelope.sealedSender ? undefined : peerIdFromBytes(envelope.sender.slice()),
      to,
      type: envelope.type,
      id: toHex(envelope.id),
      bytes: body.length - peerIdBytes,
      sample: toHex(envelope.ciphertext.subarray(-8)),
    };
  } catch {
    return undefined; // the relay says what is wrong with it
  }
}
