/**
 * Makes the boot page that a server hands out: signs it anew when what is to stand on it has changed, and before its time is
 * over, but not for every visitor.
 *
 * @see docs/spec.md, "Boot page"
 */
import { defaultCryptoProvider, type Identity } from "@egtp/mesgen";
import {
  equalBytes,
  type Millis,
  maxBootPageBytes,
  maxBootPageRecords,
  signBootPage,
  toHex,
  WireError,
} from "@egtp/wire";
import type { MaybePromise } from "./directory-store.ts";

export interface BootPageMakerOptions {
  /** Who publishes it. */
  readonly identity: Identity;
  /** What is to stand on it, the most important first. */
  readonly records: () => MaybePromise<readonly Uint8Array[]>;
  /** How long each page is valid. Default: a week. */
  readonly lifeMs?: Millis;
  readonly now?: () => Millis;
}

export interface MadeBootPage {
  readonly bytes: Uint8Array;
  /** Names this very page, in quotation marks as HTTP has it. */
  readonly etag: string;
}

const weekMs: Millis = 7 * 24 * 60 * 60 * 1_000;
/** Whether something changed is looked for no more often than this. */
const checkMs: Millis = 1_000;

export class BootPageMaker {
  readonly #options: BootPageMakerOptions;
  readonly #lifeMs: Millis;
  readonly #now: () => Millis;
  #checkedAt: Millis = -Infinity;
  #records: readonly Uint8Array[] = [];
  #signedAt: Millis = -Infinity;
  #seq = 0;
  #page: MadeBootPage | undefined;
  #making: Promise<MadeBootPage> | undefined;

  constructor(options: BootPageMakerOptions) {
    this.#options = options;
    this.#lifeMs = options.lifeMs ?? weekMs;
    this.#now = options.now ?? Date.now;
  }

  /** The page as it is now. */
  async page(): Promise<MadeBootPage> {
    if (this.#page !== undefined && this.#now() - this.#checkedAt < checkMs) return this.#page;
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  async #make(): Promise<MadeBootPage> {
    const records = await this.#options.records();
    const now = this.#now();
    this.#checkedAt = now;
    const isSame =
      records.length === this.#records.length && records.every((bytes, at) => equalBytes(bytes, this.#records[at]!));
    if (this.#page === undefined || !isSame || now - this.#signedAt > this.#lifeMs / 2) {
      this.#page = this.#sign(records, now);
      this.#records = records;
      this.#signedAt = now;
    }
    return this.#page;
  }

  /** With as many of the records as there is room for. */
  #sign(records: readonly Uint8Array[], now: Millis): MadeBootPage {
    const { peer, keys } = this.#options.identity;
    // Above those of earlier runs, as long as the clock does not go back.
    this.#seq = Math.max(this.#seq + 1, Math.floor(now));
    const fields = { id: peer, seq: this.#seq, issued: Math.floor(now), expires: Math.floor(now) + this.#lifeMs };
    for (let count = fitting(records); ; count -= 1) {
      try {
        const bytes = signBootPage({ ...fields, records: records.slice(0, count) }, (message) => keys.sign(message));
        const etag = `"${toHex(defaultCryptoProvider.sha512(bytes).slice(0, 16))}"`;
        return { bytes, etag };
      } catch (error) {
        if (!(error instanceof WireError) || count === 0) throw error;
      }
    }
  }
}

/** How many of the records fit on a page, or a few more: base64 makes four characters of three bytes. */
function fitting(records: readonly Uint8Array[]): number {
  let room = (maxBootPageBytes * 3) / 4;
  let count = 0;
  for (const { length } of records) {
    room -= length;
    if (room < 0 || count === maxBootPageRecords) break;
    count += 1;
  }
  return count;
}
