/** A metatracker of a run: a real node with the directory's service in memory, so that a crash forgets everything; or a liar. */

import type { EgtpNode, NodeOptions } from "@egtp/node";
import { defineMessage, type PeerId, peerIdFromTrustedBytes } from "@egtp/wire";
import type { Random } from "../random.ts";
import type { CrashKind } from "../sim-peer.ts";
import type { Process } from "./process.ts";
import type { StackWorld } from "./stack-world.ts";
import { Station, type StationOptions } from "./station.ts";

export class StackMetatracker extends Station {
  /** It answers everything, and nothing of it is right. */
  readonly isLiar: boolean;

  constructor(world: StackWorld, options: StationOptions, isLiar: boolean) {
    super(world, options);
    this.isLiar = isLiar;
  }

  protected nodeOptions(_process: Process): Partial<NodeOptions> {
    const lookup = this.world.lookupFor(this);
    if (this.isLiar) return { services: ["metatracker"], lookup };
    const { stack } = this.world;
    const choices = this.chance();
    const store = new stack.MemoryDirectoryStore({}, (limit) => choices.below(limit));
    return { services: ["metatracker"], lookup, parts: [stack.metatrackerServer({ store })] };
  }

  protected prepare(node: EgtpNode, _process: Process): void {
    if (this.isLiar) lie(node, this.chance());
  }

  protected died(_kind: CrashKind): void {}
}

const hello = defineMessage("metatracker/hello");
const goodbye = defineMessage("metatracker/goodbye");
const lookUp = defineMessage("metatracker/look-up");
const list = defineMessage("metatracker/list");

/** Says that it keeps what it throws away, and gives the oldest record it knows, another's, a forged one, or none. */
function lie(node: EgtpNode, random: Random): void {
  const oldest = new Map<PeerId, Uint8Array>();
  const falsified = (): Uint8Array => {
    const records = [...oldest.values()];
    if (records.length === 0 || random.chance(0.2)) return random.bytes(random.below(300));
    const record = random.pick(records).slice();
    if (random.chance(0.5)) record[random.below(record.length)] = random.u32();
    return record;
  };
  for (const type of [hello, goodbye]) {
    node.handle(type, ({ from, body }) => {
      if (!oldest.has(from)) oldest.set(from, body.slice());
      return random.chance(0.5) ? kept : random.bytes(20);
    });
  }
  node.handle(lookUp, ({ body }) => {
    const known = body.length === 32 ? oldest.get(peerIdFromTrustedBytes(body)) : undefined;
    if (known !== undefined && random.chance(0.5)) return known;
    return random.chance(0.3) ? new Uint8Array(0) : falsified();
  });
  node.handle(list, () => random.bytes(random.below(100)));
}

/** { state: "kept" } in CBOR. */
const kept = Uint8Array.of(0xa1, 0x65, 0x73, 0x74, 0x61, 0x74, 0x65, 0x64, 0x6b, 0x65, 0x70, 0x74);
