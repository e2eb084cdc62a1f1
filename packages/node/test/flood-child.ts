/**
 * Run as a process of its own, so that making a flood costs the node under it nothing but what arrives. Each line of its input is
 * a {@link FloodOrder}; when everything is sent, and its connections have ended but for those that may stay, a line with
 * the {@link FloodReport} of all since the last order to hang up answers.
 */
import net from "node:net";
import { createInterface } from "node:readline";
import { defaultCryptoProvider } from "@egtp/mesgen";
import {
  authTagBytes,
  encodeEnvelopeHeader,
  envelopeHeaderBytes,
  lengthPrefixBytes,
  maxEnvelopeBytes,
  offerBytes,
  type PeerId,
  peerIdToBytes,
  sessionIdBytes,
  writeLengthPrefix,
} from "@egtp/wire";
import { createDialTag, type DialCrypto } from "../src/dial-tag.ts";

const crypto: DialCrypto = defaultCryptoProvider;

interface FloodTarget {
  readonly peer: PeerId;
  readonly port: number;
  /** From so many addresses, `127.0.<net>.1` and on: each is a source of its own. */
  readonly net: number;
  readonly sources: number;
}

/** Envelopes with a header in order and noise behind it. */
interface EnvelopeFlood extends FloodTarget {
  readonly kind: "offer" | "data";
  /** Links at a time. */
  readonly links: number;
  readonly count: number;
  readonly perSecond: number;
  /** Whom they claim to be from, in turn. */
  readonly senders: readonly PeerId[];
  /** Bytes of the ciphertext of each, without its tag. */
  readonly noiseBytes: number;
  /** True: listens until the node ends the links. */
  readonly listens?: boolean;
}

/** Connections, as fast as it goes. */
interface ConnectionFlood extends FloodTarget {
  readonly kind: "connections";
  readonly count: number;
  /**
   * What each says: nothing; its tag and then an envelope, a byte at a time, without end; the tag and that 2 GiB follow; the tag
   * and the longest envelope but for its last byte.
   */
  readonly says: "nothing" | "slowly" | "huge" | "unfinished";
  /** So many may stay: the others are awaited to end. They are open until the order to hang up. */
  readonly stay: number;
}

interface HangUp {
  readonly kind: "hang-up";
}

export type FloodOrder = EnvelopeFlood | ConnectionFlood | HangUp;

export interface FloodReport {
  /** Connections that were opened. */
  readonly opened: number;
  /** Bytes of envelopes sent, with their lengths. */
  readonly sent: number;
  /** Bytes that came back. */
  readonly heard: number;
  /** The most that came back on one link for each byte sent on it. */
  readonly worst: number;
}

/** Connections that are being opened at a time. */
const opening = 64;
const turnMs = 10;
const slowMs = 20;

class Connection {
  readonly ended: Promise<void>;
  readonly opened: Promise<void>;
  readonly socket: net.Socket;
  isOpened = false;
  sent = 0;
  heard = 0;

  constructor({ port, net: third, sources }: FloodTarget, index: number) {
    const localAddress = `127.0.${third}.${(index % sources) + 1}`;
    const socket = net.connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
    this.socket = socket;
    this.ended = new Promise((resolve) => socket.once("close", () => resolve()));
    this.opened = new Promise((resolve) => {
      socket.once("connect", () => {
        this.isOpened = true;
        resolve();
      });
      socket.once("close", () => resolve());
    });
    socket.on("error", () => {}); // a reset is an end as well
    socket.on("data", (chunk) => {
      this.heard += chunk.length;
    });
  }

  say(bytes: Uint8Array): void {
    this.sent += bytes.length;
    this.socket.write(bytes);
  }
}

/** Since the last order to hang up. */
const connections: Connection[] = [];

function tagOf(peer: PeerId): Uint8Array {
  return createDialTag(crypto.sha512, crypto.randomBytes(16), peerIdToBytes(peer));
}

/** A well-formed envelope behind its length; `noise` fills what a key would have made. */
function bogus(kind: "offer" | "data", sender: PeerId, noiseBytes: number): Uint8Array {
  const envelopeBytes = envelopeHeaderBytes(kind, false) + noiseBytes + authTagBytes;
  const bytes = crypto.randomBytes(lengthPrefixBytes + envelopeBytes);
  writeLengthPrefix(envelopeBytes, bytes, 0);
  encodeEnvelopeHeader(
    {
      type: kind,
      sender: peerIdToBytes(sender),
      id: crypto.randomBytes(sessionIdBytes),
      counter: 0,
      handshake: kind === "offer" ? crypto.randomBytes(offerBytes) : undefined,
    },
    bytes.subarray(lengthPrefixBytes),
  );
  return bytes;
}

async function sendEnvelopes(order: EnvelopeFlood): Promise<void> {
  const { kind, links, count, perSecond, senders, noiseBytes, listens = false, peer } = order;
  const open = (index: number): Connection => {
    const connection = new Connection(order, index);
    connections.push(connection);
    connection.socket.write(tagOf(peer));
    return connection;
  };
  const inUse = Array.from({ length: links }, (_, index) => open(index));
  await Promise.all(inUse.map(({ opened }) => opened));
  const begun = performance.now();
  let made = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(count, ((performance.now() - begun) / 1_000) * perSecond);
      for (; made < due; made++) {
        const at = made % links;
        // The node ends a link that stays a stranger: another one takes its place.
        if (inUse[at]!.socket.destroyed) inUse[at] = open(at);
        inUse[at]!.say(bogus(kind, senders[made % senders.length]!, noiseBytes));
      }
      if (made < count) return;
      clearInterval(timer);
      resolve();
    }, turnMs);
  });
  if (!listens) for (const { socket } of connections) socket.end();
}

async function connect(order: ConnectionFlood): Promise<void> {
  const { count, says, peer } = order;
  const openMore = async (): Promise<void> => {
    while (connections.length < count) {
      const connection = new Connection(order, connections.length);
      connections.push(connection);
      await connection.opened;
      if (says === "huge") connection.say(Buffer.concat([tagOf(peer), Buffer.from([0x7f, 0xff, 0xff, 0xff])]));
      if (says === "unfinished") {
        const envelope = bogus("offer", peer, maxEnvelopeBytes - envelopeHeaderBytes("offer", false) - authTagBytes);
        connection.say(Buffer.concat([tagOf(peer), envelope.subarray(0, -1)]));
      }
      if (says === "slowly") {
        const bytes = Buffer.concat([tagOf(peer), bogus("offer", peer, 1_000)]);
        const timer = setInterval(() => connection.say(bytes.subarray(connection.sent, connection.sent + 1)), slowMs);
        void connection.ended.then(() => clearInterval(timer));
      }
    }
  };
  await Promise.all(Array.from({ length: opening }, openMore));
}

function report(): FloodReport {
  return {
    opened: connections.filter(({ isOpened }) => isOpened).length,
    sent: connections.reduce((sum, { sent }) => sum + sent, 0),
    heard: connections.reduce((sum, { heard }) => sum + heard, 0),
    worst: Math.max(...connections.map(({ sent, heard }) => (heard === 0 ? 0 : heard / sent))),
  };
}

/** Resolves when all but so many have ended. */
function ended(stay: number): Promise<void> {
  return new Promise((resolve) => {
    let open = connections.length;
    for (const connection of connections) {
      void connection.ended.then(() => {
        open -= 1;
        if (open === stay) resolve();
      });
    }
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as FloodOrder;
  if (order.kind === "connections") {
    await connect(order);
    await ended(order.stay);
    console.log(JSON.stringify(report()));
  } else {
    if (order.kind === "hang-up") for (const { socket } of connections) socket.destroy();
    else await sendEnvelopes(order);
    await ended(0);
    console.log(JSON.stringify(report()));
    connections.length = 0;
  }
}
