/** Mailboxes in memory: everything is answered at once, and nothing survives. */
import type { Millis, PeerId } from "@egtp/wire";
import { type MailboxLimits, mailboxLimits } from "./limits.ts";
import type {
  Acknowledged,
  CollectRoom,
  Deposit,
  Deposited,
  MailboxCounts,
  MailboxState,
  MailboxStore,
  OwnerRun,
  Registering,
  StoredMail,
} from "./mailbox-store.ts";
import { Mailboxes } from "./mailboxes.ts";
import { writeMailId } from "./protocol.ts";

export interface MemoryStoreOptions {
  readonly limits?: Partial<MailboxLimits>;
  /** Default: the platform's. */
  readonly random?: (length: number) => Uint8Array;
}

interface Bodies {
  byNumber: Map<number, Uint8Array> | undefined;
}

export class MemoryMailboxStore implements MailboxStore {
  /** With each mailbox, its envelopes by number; none of it while there are none. */
  readonly #mailboxes: Mailboxes<Bodies>;
  #onMail: (owner: PeerId) => void = () => {};

  constructor({ limits, random = randomBytes }: MemoryStoreOptions = {}) {
    this.#mailboxes = new Mailboxes<Bodies>(mailboxLimits(limits), random, {
      keptWithNew: () => ({ byNumber: undefined }),
      mailGone: ({ kept }, number) => {
        kept.byNumber!.delete(number);
        if (kept.byNumber!.size === 0) kept.byNumber = undefined;
      },
      mailboxGone: () => {},
    });
  }

  get limits(): MailboxLimits {
    return this.#mailboxes.limits;
  }

  register(owner: PeerId, run: OwnerRun, now: Millis): Registering {
    return this.#mailboxes.register(owner, run, now);
  }

  unregister(owner: PeerId): void {
    this.#mailboxes.unregister(owner);
  }

  find(owner: PeerId): MailboxState | undefined {
    return this.#mailboxes.find(owner);
  }

  deposit(owner: PeerId, mail: Deposit, mayHold: boolean, now: Millis): Deposited {
    const admitted = this.#mailboxes.admit(owner, mail, now);
    if (typeof admitted === "string") return { state: "refused", refusal: admitted };
    const { mailbox, number, until } = admitted;
    writeMailId(mailbox.tag, number, mail.body, 0);
    mailbox.kept.byNumber ??= new Map();
    mailbox.kept.byNumber.set(number, mail.body);
    if (mayHold) return { state: "held", number };
    this.#mailboxes.keep(mailbox, number);
    this.#onMail(owner);
    return { state: "stored", number, until };
  }

  keep(owner: PeerId, number: number): Millis | undefined {
    const mailbox = this.#mailboxes.find(owner);
    const until = mailbox === undefined ? undefined : this.#mailboxes.keep(mailbox, number);
    if (until !== undefined) this.#onMail(owner);
    return until;
  }

  collect(owner: PeerId, after: number, room: CollectRoom, now: Millis): StoredMail[] {
    const mailbox = this.#mailboxes.find(owner);
    if (mailbox === undefined) return [];
    const numbers = this.#mailboxes.collect(mailbox, after, room, now);
    return numbers.map((number) => ({ number, body: mailbox.kept.byNumber!.get(number)! }));
  }

  acknowledge(owner: PeerId, tag: Uint8Array, ranges: readonly number[]): Acknowledged {
    return this.#mailboxes.acknowledge(owner, tag, ranges);
  }

  expire(now: Millis): void {
    this.#mailboxes.expire(now);
  }

  watch(onMail: (owner: PeerId) => void): void {
    this.#onMail = onMail;
  }

  counts(): MailboxCounts {
    return this.#mailboxes.counts();
  }

  async close(): Promise<void> {}
}

function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}
