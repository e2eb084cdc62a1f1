/**
 * A machine of a run and what runs on it: one node after another with the same identity, on the same simulated disk, at the same
 * place of the network. It is killed and comes back with its store kept, lost or rolled back.
 */

import { createIdentity, type Identity } from "@egtp/mesgen";
import type { EgtpNode, NodeEvent, NodeOptions } from "@egtp/node";
import { MemoryNetwork } from "@egtp/node/memory";
import { SessionMaps } from "@egtp/session-store";
import type { PeerId } from "@egtp/wire";
import { Disk } from "../disk.ts";
import type { Random } from "../random.ts";
import type { CrashKind } from "../sim-peer.ts";
import { Process } from "./process.ts";
import { unreadMailForMs } from "./stack-checks.ts";
import type { StackWorld } from "./stack-world.ts";
import { type EnvelopeWatcher, WatchedTransport } from "./watched-transport.ts";

export interface StationOptions {
  readonly name: string;
  /** False: accepts no connections. */
  readonly listens: boolean;
  /** What its clock shows beside true time. */
  readonly offsetMs: number;
  /** How long the disk takes for a write. */
  readonly writeMs: number;
  /** How long ago by its own clock its store was born; `undefined`: it is born with its identity, at its first start. */
  readonly bornAgoMs: number | undefined;
}

export abstract class Station {
  readonly name: string;
  readonly identity: Identity;
  readonly listens: boolean;
  readonly disk = new Disk();
  /** Process lives begun. */
  life = 0;
  storeLife = 0;
  rollbacks = 0;
  rolledBackAt = -Infinity;
  crashes = 0;
  protected readonly world: StackWorld;
  readonly #random: Random;
  /** The one that runs, or ran last. */
  #process: Process | undefined;
  #node: EgtpNode | undefined;
  readonly #writeMs: number;
  #offsetMs: number;
  /** It must not start again before. */
  #upAt = 0;

  constructor(world: StackWorld, { name, listens, offsetMs, writeMs, bornAgoMs }: StationOptions) {
    this.world = world;
    this.#random = world.random.fork();
    this.name = name;
    this.listens = listens;
    this.#offsetMs = offsetMs;
    this.#writeMs = writeMs;
    this.identity = createIdentity(world.crypto);
    if (bornAgoMs !== undefined) {
      const maps = SessionMaps.open(this.disk.open(), {
        now: Math.max(0, Math.floor(new Process(world.clock, offsetMs).now() - bornAgoMs)),
        random: (length) => world.crypto.randomBytes(length),
        bornWithIdentity: false,
      });
      void maps.commit();
    }
  }

  /** Chance of this station, here and now. */
  protected chance(of = 0): Random {
    return this.#random.at(this.world.clock.now, of);
  }

  get id(): PeerId {
    return this.identity.peer;
  }

  get isUp(): boolean {
    return this.#node !== undefined;
  }

  get process(): Process {
    if (this.#process === undefined) throw new Error(`${this.name} was never started`);
    return this.#process;
  }

  /** The node that runs. @throws when none does. */
  get node(): EgtpNode {
    if (this.#node === undefined) throw new Error(`${this.name} is down`);
    return this.#node;
  }

  /** What a node of this station is made from, beside what every node is. */
  protected abstract nodeOptions(process: Process): Partial<NodeOptions> | Promise<Partial<NodeOptions>>;

  /** A node was made; it has not started yet. */
  protected abstract prepare(node: EgtpNode, process: Process): void;

  /** The process is gone. */
  protected abstract died(kind: CrashKind): void;

  /** Told of what the node tells of itself. */
  protected heed(_event: NodeEvent): void {}

  /** An envelope is handed to the node, by `hand`. */
  receiving(_name: string, hand: () => void): void {
    hand();
  }

  protected watcher(): EnvelopeWatcher {
    return this.world.watch.of(this);
  }

  /** Starts a process, unless one runs. */
  start(): void {
    const { world, name } = this;
    if (this.#process?.isAlive === true || world.clock.now < this.#upAt) return;
    const process = new Process(world.clock, this.#offsetMs);
    this.#process = process;
    this.life += 1;
    world.log(() => `${name} starts, life ${this.life}, store ${this.storeLife}`);
    // Links of the run before that nobody has given up.
    world.network.vanish(name);
    this.#run(process).catch((error: unknown) => {
      if (process.isAlive) world.violate("crash", `${name} cannot start: ${String(error)}`);
    });
  }

  async #run(process: Process): Promise<void> {
    const { world, name } = this;
    const { limits, ...options } = await this.nodeOptions(process);
    if (!process.isAlive) return;
    const transport = world.network.transport(name, { listen: this.listens, clock: process });
    const node = await world.stack.createNode({
      identity: this.identity,
      sessions: this.disk.open(process.disk(this.#writeMs)),
      transports: [new WatchedTransport(transport, this.watcher())],
      schedule: process,
      crypto: world.crypto,
      limits: {
        ...limits,
        // Saved often, so that short runs come across it.
        sessions: { counterLeap: 32, ...limits?.sessions },
        node: { unreadMailForMs, ...limits?.node },
      },
      ...options,
    });
    if (!process.isAlive) return;
    this.#node = node;
    this.prepare(node, process);
    void this.#read(node, process);
    await node.start();
  }

  async #read(node: EgtpNode, process: Process): Promise<void> {
    for await (const event of node.events({ maxQueued: 100_000 })) {
      if (!process.isAlive) return;
      if (event.kind === "missed") throw new Error("Events were missed");
      this.world.logEvent(this.name, event);
      this.heed(event);
    }
  }

  /**
   * The process ends, and another comes after a while.
   *
   * @param silently - The machine is gone, not just the process: nobody is told.
   */
  crash(kind: CrashKind, downMs: number, silently: boolean): void {
    const { world, name } = this;
    const process = this.#process;
    if (process?.isAlive !== true) return;
    this.crashes += 1;
    this.#upAt = world.clock.now + downMs;
    const node = this.#node;
    this.#node = undefined;
    if (kind === "stopped" && node !== undefined) {
      world.log(() => `${name} stops, for ${downMs.toFixed(0)} ms`);
      this.died(kind);
      void node.stop().then(() => {
        if (process.isAlive) this.#ended(process, false);
      });
      return;
    }
    world.log(
      () => `${name} crashes${silently ? " with its machine" : ""}, store ${kind}, for ${downMs.toFixed(0)} ms`,
    );
    this.died(kind);
    if (kind === "lost") {
      process.kill(() => 0);
      this.disk.erase();
      this.storeLife += 1;
    } else process.kill((limit) => this.chance().below(limit));
    if (kind === "torn") this.disk.tear(this.chance());
    if (kind === "flipped") this.disk.flip(this.chance());
    if (kind === "rolled back" && this.disk.rollBack((count) => this.chance().below(count))) {
      this.rollbacks += 1;
      this.rolledBackAt = world.clock.now;
    }
    this.#ended(process, silently);
  }

  #ended(process: Process, silently: boolean): void {
    const { world, name } = this;
    process.isAlive = false;
    world.network.vanish(name, silently);
    world.clock.after(this.#upAt - world.clock.now, () => this.start());
  }

  /** Comes back now, whatever was planned. */
  wakeUp(): void {
    this.#upAt = 0;
    this.start();
  }

  setClock(byMs: number): void {
    this.#offsetMs += byMs;
    this.#process?.setClock(this.#offsetMs);
  }

  /** Where it can be dialled. */
  get strategy() {
    return MemoryNetwork.strategy(this.name);
  }
}
