/** A relay whose every request is seen, which can be made to answer what no relay should, and which can be killed. */
import type { EgtpNode, NodeOptions, NodePart, ReceivedMessage } from "@egtp/node";
import type { MessageType, Millis, PeerId } from "@egtp/wire";
import type { MailboxLimits } from "../src/limits.ts";
import {
  type Deposit,
  type Deposited,
  type MailboxStore,
  MemoryMailboxStore,
  type RelayServer,
  type RelayServerOptions,
  relayServer,
} from "../src/server.ts";

/** A request as the relay read it. */
export interface Asked {
  readonly type: string;
  readonly from: PeerId;
  readonly body: unknown;
}

export interface WatchedRelayOptions extends Omit<RelayServerOptions, "store"> {
  readonly mailboxes?: Partial<MailboxLimits>;
  /** What a relay that was killed left behind. */
  readonly remains?: MemoryMailboxStore;
}

export class WatchedRelay implements NodePart {
  readonly server: RelayServer;
  readonly asked: Asked[] = [];
  /** Answers in the place of the relay, unless it gives `undefined`. */
  answer: ((asked: Asked) => unknown) | undefined;
  /** Delays its answers. */
  delay: ((asked: Asked) => Promise<void> | undefined) | undefined;
  readonly #store: MortalStore;

  constructor({ mailboxes, remains, ...options }: WatchedRelayOptions = {}) {
    this.#store = new MortalStore(
      remains ?? new MemoryMailboxStore(mailboxes === undefined ? {} : { limits: mailboxes }),
    );
    this.server = relayServer({ ...options, store: this.#store });
  }

  start(node: EgtpNode, options: NodeOptions, tell: Parameters<NodePart["start"]>[2]): Promise<void> {
    return this.server.start(this.#watched(node), options, tell);
  }

  stop(): Promise<void> {
    return this.server.stop();
  }

  /** How often something was asked. */
  count(type: string): number {
    return this.asked.filter((asked) => asked.type === `relay/${type}`).length;
  }

  /** Mail that waits for somebody. */
  waitingFor({ peerId }: EgtpNode): number {
    return this.#store.find(peerId)?.messages ?? 0;
  }

  /** The process is gone, and with it what was in memory alone. @returns What is left. */
  die(): MemoryMailboxStore {
    return this.#store.die();
  }

  #watched(node: EgtpNode): EgtpNode {
    const handle = (type: MessageType, handler: (message: ReceivedMessage<unknown>) => unknown): (() => void) =>
      node.handle(type, (message) => {
        const body = message.body instanceof Uint8Array ? message.body.slice() : message.body;
        const asked = { type: type.name, from: message.from, body };
        this.asked.push(asked);
        const delay = this.delay?.(asked);
        const answer = (): Uint8Array => (this.answer?.(asked) ?? handler(message)) as Uint8Array;
        return delay === undefined ? answer() : delay.then(answer);
      });
    return new Proxy(node, {
      get: (target, key) => {
        if (key === "handle") return handle;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }
}

/** A store that keeps what it stored when it dies, and nothing else. */
class MortalStore implements MailboxStore {
  readonly #store: MemoryMailboxStore;
  readonly #held = new Map<number, { readonly owner: PeerId; readonly tag: Uint8Array }>();
  #isDead = false;

  constructor(store: MemoryMailboxStore) {
    this.#store = store;
  }

  die(): MemoryMailboxStore {
    for (const [number, { owner, tag }] of this.#held) this.#store.acknowledge(owner, tag, [number, number + 1]);
    this.#isDead = true;
    return this.#store;
  }

  #check(): void {
    if (this.#isDead) throw new Error("The process is gone");
  }

  get limits(): MailboxLimits {
    return this.#store.limits;
  }

  register(...args: Parameters<MemoryMailboxStore["register"]>): ReturnType<MemoryMailboxStore["register"]> {
    this.#check();
    return this.#store.register(...args);
  }

  unregister(owner: PeerId): void {
    this.#check();
    this.#store.unregister(owner);
  }

  find(owner: PeerId): ReturnType<MemoryMailboxStore["find"]> {
    return this.#store.find(owner);
  }

  deposit(owner: PeerId, mail: Deposit, mayHold: boolean, now: Millis): Deposited {
    this.#check();
    const deposited = this.#store.deposit(owner, mail, mayHold, now);
    if (deposited.state === "held") {
      this.#held.set(deposited.number, { owner, tag: this.#store.find(owner)!.tag.slice() });
    }
    return deposited;
  }

  keep(owner: PeerId, number: number): Millis | undefined {
    this.#check();
    this.#held.delete(number);
    return this.#store.keep(owner, number);
  }

  collect(...args: Parameters<MemoryMailboxStore["collect"]>): ReturnType<MemoryMailboxStore["collect"]> {
    return this.#store.collect(...args);
  }

  acknowledge(...args: Parameters<MemoryMailboxStore["acknowledge"]>): ReturnType<MemoryMailboxStore["acknowledge"]> {
    this.#check();
    return this.#store.acknowledge(...args);
  }

  expire(now: Millis): void {
    if (!this.#isDead) this.#store.expire(now);
  }

  watch(onMail: (owner: PeerId) => void): void {
    this.#store.watch(onMail);
  }

  counts(): ReturnType<MemoryMailboxStore["counts"]> {
    return this.#store.counts();
  }

  async close(): Promise<void> {}
}
