/**
 * Run as a process of its own: peers that publish and ask as much as they can. Each line of its input is a {@link RecordFlood}; the
 * line that answers says how often what was heard.
 */
import { createInterface } from "node:readline";
import { createIdentity, createNode, type EgtpNode, type Identity } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { type PeerId, peerIdToBytes, type Strategy, signContactRecord } from "@egtp/wire";
import { helloRequest, lookUpRequest } from "../src/protocol.ts";

export interface RecordFlood {
  readonly metatracker: PeerId;
  readonly strategy: Strategy;
  readonly peers: number;
  /** Of each peer, every one newer than the one before. */
  readonly records: number;
  /** `own`: as it should be. `forged`: with a signature that is none. */
  readonly kind: "own" | "forged";
  /** Of each peer, for somebody whom nobody knows. */
  readonly lookUps: number;
}

/** By what the metatracker said: `kept`, `older`, why it refused a record; `answered` or `rejected` for look-ups. */
export type RecordFloodReport = Readonly<Record<string, number>>;

const dayMs = 24 * 60 * 60_000;
const anybody = peerIdToBytes(createIdentity().peer);

function recordOf(identity: Identity, seq: number, kind: RecordFlood["kind"]): Uint8Array {
  const fields = { id: identity.peer, seq, issued: Date.now(), ttl: dayMs, strategies: [], services: [], gone: false };
  const record = signContactRecord(fields, (message) => identity.keys.sign(message));
  if (kind === "forged") record[0]! ^= 1;
  return record;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { metatracker, strategy, peers, records, kind, lookUps } = JSON.parse(line) as RecordFlood;
  const heard: Record<string, number> = {};
  const count = (what: string): void => {
    heard[what] = (heard[what] ?? 0) + 1;
  };
  const publish = async (node: EgtpNode, record: Uint8Array): Promise<void> => {
    const answer = await node.request(metatracker, helloRequest, record);
    count(answer.state === "refused" ? answer.reason : answer.state);
  };
  const lookUp = (node: EgtpNode): Promise<void> =>
    node.request(metatracker, lookUpRequest, anybody).then(
      () => count("answered"),
      () => count("rejected"),
    );
  await Promise.all(
    Array.from({ length: peers }, async () => {
      const identity = createIdentity();
      const node = await createNode({ identity, transports: [tcp({ listen: false })], allowPrivateAddresses: true });
      await node.start();
      node.introduce(metatracker, [strategy]);
      for (let seq = 1; seq <= records; seq++) await publish(node, recordOf(identity, seq, kind));
      await Promise.all(Array.from({ length: lookUps }, () => lookUp(node)));
      await node.stop();
    }),
  );
  console.log(JSON.stringify(heard));
}
