/** A relay of a run: a real node with the relay's service, its mailboxes on a simulated disk of their own, or shared with others. */

import type { EgtpNode, NodeOptions, NodePart } from "@egtp/node";
import type { MailboxSeams } from "@egtp/relay/lmdb";
import type { MailboxLimits, MailboxStore, RelayServer } from "@egtp/relay/server";
import type { CrashKind } from "../sim-peer.ts";
import { type Lie, lyingNode } from "./lying-node.ts";
import { EngineLog } from "./mail-engine.ts";
import type { Process } from "./process.ts";
import { RecordDisk } from "./record-disk.ts";
import type { StackWorld } from "./stack-world.ts";
import { Station, type StationOptions } from "./station.ts";

/** What a crash leaves of the mailboxes. */
export type MailCrashKind = "kept" | "lost" | "damaged";

export class StackRelay extends Station {
  readonly mailDisk: RecordDisk;
  /** Mail that it promised to keep may be gone since. */
  mailLostAt = -Infinity;
  readonly #limits: Partial<MailboxLimits>;
  /** What it says of envelopes that it throws away. */
  lie: Lie | undefined;
  /** It lied in this run, or will: what it promised to keep is no promise. */
  isLiar = false;
  server: RelayServer | undefined;
  store: MailboxStore | undefined;

  /** @param mailWriteMs - How long the disk takes to write mail down. */
  constructor(world: StackWorld, options: StationOptions, limits: Partial<MailboxLimits>, mailWriteMs: number) {
    super(world, options);
    this.#limits = limits;
    this.mailDisk = new RecordDisk(mailWriteMs);
  }

  protected async nodeOptions(process: Process): Promise<Partial<NodeOptions>> {
    const { stack } = this.world;
    const store = await this.#openStore(process);
    this.store = store;
    const server = stack.relayServer({ store });
    this.server = server;
    const part: NodePart = {
      start: (node, ...given) => server.start(this.isLiar ? lyingNode(node, () => this.lie) : node, ...given),
      stop: () => server.stop(),
    };
    return { services: ["relay"], parts: [part], lookup: this.world.lookupFor(this) };
  }

  async #openStore(process: Process): Promise<MailboxStore> {
    const { stack, crypto, engine } = this.world;
    const random = (length: number): Uint8Array => crypto.randomBytes(length);
    const now = (): number => process.now();
    const limits = this.#limits;
    if (engine === undefined) {
      const openFile: MailboxSeams["openFile"] = (_folder, options) => this.mailDisk.open(process, options);
      return stack.openMailboxes("", { limits, seams: { openFile, random, now } });
    }
    const setTimer = (task: () => void, delayMs: number): (() => void) => process.setTimer(task, delayMs);
    return new stack.SharedMailboxStore(new EngineLog(engine, process), { limits, seams: { random, now, setTimer } });
  }

  protected prepare(_node: EgtpNode, _process: Process): void {}

  protected died(_kind: CrashKind): void {
    this.server = undefined;
    this.store = undefined;
  }

  crashMail(kind: MailCrashKind, sessions: CrashKind, downMs: number, silently: boolean): void {
    if (!this.isUp) return;
    this.crash(sessions, downMs, silently);
    this.world.log(() => `${this.name}: its mailboxes are ${kind}`);
    if (kind === "lost") this.mailDisk.erase();
    if (kind === "lost" || (kind === "damaged" && this.mailDisk.flip(this.chance()))) {
      this.mailLostAt = this.world.clock.now;
    }
  }
}
