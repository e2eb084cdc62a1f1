/** The node of a relay that lies: it says of envelopes that it passed them on, or keeps them, and throws them away. */

import type { EgtpNode } from "@egtp/node";
import { type PeerId, peerIdBytes, peerIdToBytes } from "@egtp/wire";

export interface Lie {
  /** What it says of them. */
  readonly says: "passed" | "stored";
  /** Only of those to this peer; `undefined`: of all. */
  readonly victim: PeerId | undefined;
}

const passAlong = "relay/pass-along";
/** How long it says to keep them. */
const keptMs = 86_400_000;

/** The node, but for what it answers to those who pass along, while there is a lie to tell. */
export function lyingNode(node: EgtpNode, lie: () => Lie | undefined): EgtpNode {
  const handle: EgtpNode["handle"] = (type, handler) => {
    if (type.name !== passAlong) return node.handle(type, handler);
    return node.handle<unknown, unknown, unknown, unknown>(type as never, (message) => {
      const told = lie();
      const recipient = (message.body as Uint8Array).subarray(0, peerIdBytes);
      if (told === undefined || !isVictim(told, recipient)) return handler(message as never);
      return answer(told);
    });
  };
  return new Proxy(node, {
    get: (target, key) => {
      if (key === "handle") return handle;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function isVictim({ victim }: Lie, recipient: Uint8Array): boolean {
  return victim === undefined || peerIdToBytes(victim).every((byte, at) => byte === recipient[at]);
}

function answer({ says }: Lie): Uint8Array {
  if (says === "passed") return Uint8Array.of(0);
  const reply = new Uint8Array(9);
  reply[0] = 1;
  new DataView(reply.buffer).setBigUint64(1, BigInt(keptMs));
  return reply;
}
