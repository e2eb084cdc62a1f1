/** A relay's mailboxes under trial: mail is left for three owners and acknowledged later. What was stored and not acknowledged is there. */
import type { LmdbMailboxStore } from "@egtp/relay/lmdb";
import { type PeerId, peerIdFromTrustedBytes, toHex } from "@egtp/wire";
import { contentOf, numberOf } from "./content.ts";
import type { Promises } from "./promises.ts";

const owners = [1, 2, 3].map((n) => peerIdFromTrustedBytes(new Uint8Array(32).fill(n)));
const sender = peerIdFromTrustedBytes(new Uint8Array(32).fill(4));
const idBytes = 16;
/** Mails of one owner that wait, about. */
const waiting = 100;
/** Under way for one owner. */
const window = 4;
const room = { maxMessages: 1_000, maxBytes: 2 ** 24 };

export class MailboxesTrial {
  readonly #store: LmdbMailboxStore;
  readonly #promises: Promises;
  readonly #waiting = owners.map((): number[] => []);
  #content = 1;

  constructor(store: LmdbMailboxStore, promises: Promises) {
    this.#store = store;
    this.#promises = promises;
  }

  /** @throws when mail is missing or another than it was, or a number was given twice. */
  check(): void {
    const gone = new Set(this.#promises.earlier("gone").map(([owner, number]) => `${owner} ${number}`));
    const stored = new Map<string, number>();
    for (const [owner, number, content] of this.#promises.earlier("mail")) {
      const place = `${owner} ${number}`;
      if (stored.has(place)) throw new Error(`mail number ${place} was given twice`);
      stored.set(place, content!);
      this.#content = Math.max(this.#content, content! + 1);
    }
    for (const [place, content] of stored) {
      const [owner, number] = place.split(" ").map(Number) as [number, number];
      if (gone.has(place)) continue;
      const [mail] = this.#store.collect(owners[owner]!, number - 1, { ...room, maxMessages: 1 }, Date.now());
      if (mail?.number !== number) throw new Error(`mail ${place} was stored, and is missing`);
      const found = numberOf(mail.body.subarray(idBytes), `mail ${place}`);
      if (found !== content) throw new Error(`mail ${place} is ${found}, and was ${content}`);
      this.#waiting[owner]!.push(number);
    }
  }

  /** Leaves mail until the process ends. */
  async work(): Promise<never> {
    const run = { id: toHex(crypto.getRandomValues(new Uint8Array(8))), isFirst: true };
    for (const owner of owners) await this.#store.register(owner, run, Date.now());
    const all = owners.flatMap((owner, at) => Array.from({ length: window }, () => this.#leave(owner, at)));
    return Promise.race(all);
  }

  async #leave(owner: PeerId, at: number): Promise<never> {
    for (;;) {
      const content = this.#content++;
      const bytes = contentOf(content);
      const body = new Uint8Array(idBytes + bytes.length);
      body.set(bytes, idBytes);
      const deposited = await this.#store.deposit(
        owner,
        { sender, isStranger: false, body },
        content % 3 === 0,
        Date.now(),
      );
      if (deposited.state === "refused") throw new Error(`mail was refused: ${deposited.refusal}`);
      const { number } = deposited;
      if (deposited.state === "held") await this.#store.keep(owner, number);
      this.#promises.note("mail", at, number, content);
      const waits = this.#waiting[at]!;
      waits.push(number);
      if (waits.length > waiting) this.#acknowledge(owner, at, waits.shift()!);
    }
  }

  #acknowledge(owner: PeerId, at: number, number: number): void {
    const mailbox = this.#store.find(owner);
    if (mailbox === undefined) throw new Error("a mailbox is missing");
    this.#promises.note("gone", at, number);
    this.#store.acknowledge(owner, mailbox.tag, [number, number + 1]);
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
