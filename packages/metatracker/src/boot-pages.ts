/**
 * The boot pages that a node was given: loads each, keeps the newest valid one of each publisher, and loads them again in
 * time. What it knows at any moment are the contact records in them.
 *
 * Bounds: one page for each URL that the program named, and its publishers; a page is at most 64 KiB.
 *
 * @see docs/spec.md, "Boot page"
 */
import type { NodeSchedule } from "@egtp/node";
import {
  type BootPage,
  type ContactRecord,
  type Millis,
  maxClockSkewMs,
  type PeerId,
  type VerifySignature,
  verifyBootPage,
  verifyContactRecord,
  WireError,
} from "@egtp/wire";
import { type Fetch, requestBootPage } from "./boot-page-request.ts";
import { type BootPageUrl, parseBootPageUrl } from "./boot-page-url.ts";
import { BootPageError } from "./errors.ts";
import type { BootPageLimits } from "./limits.ts";

/** A page as a cache keeps it. */
export interface CachedBootPage {
  /** Whose pages this URL is pinned to. */
  readonly publisher: PeerId;
  readonly bytes: Uint8Array;
  readonly etag: string | undefined;
}

/** Where pages outlive the process: `bootPageFiles(folder)` of `@egtp/metatracker/files`. What it gives is verified. */
export interface BootPageCache {
  /** @returns `undefined` when there is none, or it cannot be read. */
  load(url: string): Promise<CachedBootPage | undefined>;
  /** Rejects when it cannot be kept; the page is used nevertheless. */
  save(url: string, page: CachedBootPage): Promise<void>;
}

/** What happens with boot pages, for whoever wants to watch. */
export type BootPageEvent =
  /** A page came, or was in the cache; it is used from now on unless a newer one of its publisher is known. */
  | {
      readonly kind: "boot-page";
      readonly state: "loaded" | "cached";
      readonly url: string;
      readonly publisher: PeerId;
      readonly seq: number;
      readonly expires: Millis;
      /** Valid records in it. */
      readonly records: number;
    }
  /** The URL names no publisher: from now on only this one's pages are taken from it. */
  | { readonly kind: "boot-page"; readonly state: "pinned"; readonly url: string; readonly publisher: PeerId }
  /** No page came, or it was not taken. It is tried again. */
  | { readonly kind: "boot-page"; readonly state: "failed"; readonly url: string; readonly error: BootPageError }
  /** The cache did not keep a page. */
  | { readonly kind: "boot-page"; readonly state: "not-cached"; readonly url: string; readonly error: unknown };

export interface BootPagesOptions {
  readonly urls: readonly string[];
  readonly allowInsecure: boolean;
  readonly cache: BootPageCache | undefined;
  readonly fetch: Fetch;
  readonly limits: BootPageLimits;
  readonly tell: (event: BootPageEvent) => void;
  /** Called when other records are known than before. */
  readonly changed: () => void;
}

/** A verified record of a page. */
export interface BootRecord {
  readonly record: ContactRecord;
  readonly bytes: Uint8Array;
}

/** What the node lends once it runs. */
export interface BootPagesHost {
  readonly schedule: NodeSchedule;
  readonly verify: VerifySignature;
  /** Of [0, 1). */
  readonly random: () => number;
}

interface Source extends BootPageUrl {
  /** Named by the URL, or pinned. */
  publisher: PeerId | undefined;
  etag: string | undefined;
  failures: number;
  error: BootPageError | undefined;
  loading: Promise<void> | undefined;
  cancelTimer: () => void;
}

interface Edition {
  readonly page: BootPage;
  readonly records: readonly BootRecord[];
}

export class BootPages {
  readonly #options: BootPagesOptions;
  readonly #sources: readonly Source[];
  /** The newest page of each publisher; one that is out of date stays for its number. */
  readonly #editions = new Map<PeerId, Edition>();
  /** Of what runs now, one for each source at most. */
  readonly #giveUps = new Set<() => void>();
  #isStopped = false;
  #host: BootPagesHost | undefined;
  #refreshedAt: Millis = -Infinity;
  /** Times that pages were loaded anew out of need since metatrackers answered. */
  #needs = 0;
  #first: Promise<void> = Promise.resolve();

  /** @throws {@link BootPageError} `EGTP_BOOT_PAGE_URL`. */
  constructor(options: BootPagesOptions) {
    this.#options = options;
    this.#sources = options.urls.map((url) => ({
      ...parseBootPageUrl(url, options.allowInsecure),
      etag: undefined,
      failures: 0,
      error: undefined,
      loading: undefined,
      cancelTimer: () => {},
    }));
  }

  /** Begins to load. */
  start(host: BootPagesHost): void {
    this.#host = host;
    this.#refreshedAt = host.schedule.now();
    this.#first = this.#loadFirst();
  }

  stop(): void {
    this.#isStopped = true;
    for (const giveUp of this.#giveUps) giveUp();
    for (const source of this.#sources) source.cancelTimer();
  }

  /** Resolves when a record is known, or every page was tried. Never rejects. */
  get first(): Promise<void> {
    return this.#first;
  }

  /** Why pages could not be loaded, when they could not. */
  get errors(): readonly BootPageError[] {
    return this.#sources.flatMap(({ error }) => error ?? []);
  }

  /** The newest record of each peer that stands on a valid page and is valid itself. */
  records(now: Millis): Map<PeerId, BootRecord> {
    const newest = new Map<PeerId, BootRecord>();
    for (const { page, records } of this.#editions.values()) {
      if (now >= page.expires) continue;
      for (const entry of records) {
        const { id, seq, issued, ttl } = entry.record;
        if (now >= issued + ttl || issued > now + maxClockSkewMs) continue;
        if (seq <= (newest.get(id)?.record.seq ?? -1)) continue;
        newest.set(id, entry);
      }
    }
    return newest;
  }

  /**
   * Loads all pages anew, since no metatracker answered; not if that was done a while ago, which grows while it does not
   * help. Resolves when each was tried. Never rejects.
   */
  async refresh(): Promise<void> {
    const host = this.#host;
    if (host === undefined || this.#isStopped) return;
    const now = host.schedule.now();
    const { minRefreshMs, maxRetryMs } = this.#options.limits;
    if (now - this.#refreshedAt >= Math.min(minRefreshMs * 2 ** Math.min(this.#needs, 20), maxRetryMs)) {
      this.#needs += 1;
      this.#refreshedAt = now;
      for (const source of this.#sources) void this.#load(source);
    }
    await Promise.all(this.#sources.flatMap(({ loading }) => loading ?? []));
  }

  /** A metatracker answered: there is no need now. */
  answered(): void {
    this.#needs = 0;
  }

  async #loadFirst(): Promise<void> {
    const { cache } = this.#options;
    if (cache !== undefined) await Promise.all(this.#sources.map((source) => this.#recall(source, cache)));
    const loads = this.#sources.map((source) => this.#load(source));
    const known = (): boolean => this.records(this.#host!.schedule.now()).size > 0;
    if (known()) return;
    await new Promise<void>((resolve) => {
      for (const load of loads) void load.then(() => known() && resolve());
      void Promise.all(loads).then(() => resolve());
    });
  }

  async #recall(source: Source, cache: BootPageCache): Promise<void> {
    const cached = await cache.load(source.url).catch(() => undefined);
    if (cached === undefined || (source.publisher !== undefined && source.publisher !== cached.publisher)) return;
    // Also when the page itself is of no use any more: the publisher stays pinned.
    source.publisher = cached.publisher;
    try {
      const page = verifyBootPage(cached.bytes, undefined, this.#host!.verify);
      if (page.id !== cached.publisher) return;
      source.etag = cached.etag;
      this.#take(source, page, "cached");
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
    }
  }

  #load(source: Source): Promise<void> {
    source.loading ??= this.#loadOnce(source).finally(() => {
      source.loading = undefined;
    });
    return source.loading;
  }

  async #loadOnce(source: Source): Promise<void> {
    const { limits, tell } = this.#options;
    const { schedule } = this.#host!;
    source.cancelTimer();
    try {
      await this.#withTime((signal) => this.#fetch(source, signal), source.url);
      source.failures = 0;
      source.error = undefined;
    } catch (error) {
      if (this.#isStopped) return;
      source.failures += 1;
      source.error =
        error instanceof BootPageError
          ? error
          : new BootPageError("EGTP_BOOT_PAGE_UNREACHABLE", source.url, { cause: error });
      tell({ kind: "boot-page", state: "failed", url: source.url, error: source.error });
    }
    if (this.#isStopped) return;
    source.cancelTimer = schedule.setTimer(() => void this.#load(source), this.#nextInMs(source, limits));
  }

  #nextInMs({ failures, publisher }: Source, limits: BootPageLimits): Millis {
    const { schedule, random } = this.#host!;
    const jitter = 0.9 + 0.2 * random();
    if (failures > 0) return jitter * Math.min(limits.maxRetryMs, limits.minRetryMs * 2 ** Math.min(failures - 1, 20));
    const expires = publisher === undefined ? Infinity : (this.#editions.get(publisher)?.page.expires ?? Infinity);
    // Twice before it is out of date, should one attempt fail.
    const leftMs = (expires - schedule.now()) / 3;
    return jitter * Math.max(limits.minRetryMs, Math.min(limits.refreshMs, leftMs));
  }

  async #fetch(source: Source, signal: AbortSignal): Promise<void> {
    const { allowInsecure, fetch, cache, tell } = this.#options;
    const { schedule, verify } = this.#host!;
    const { url, etag } = source;
    const response = await requestBootPage({ url, allowInsecure, etag, fetch, signal });
    if (response === undefined) return;
    const { bytes } = response;
    let page: BootPage;
    try {
      page = verifyBootPage(bytes, schedule.now(), verify);
    } catch (cause) {
      throw new BootPageError("EGTP_BOOT_PAGE_INVALID", url, { cause });
    }
    if (source.publisher !== undefined && source.publisher !== page.id) {
      throw new BootPageError("EGTP_BOOT_PAGE_WRONG_PUBLISHER", url, {
        detail: `it is ${page.id}'s instead of ${source.publisher}'s`,
      });
    }
    if (source.publisher === undefined) {
      source.publisher = page.id;
      tell({ kind: "boot-page", state: "pinned", url, publisher: page.id });
    }
    const known = this.#editions.get(page.id)?.page.seq ?? -1;
    if (page.seq < known) {
      throw new BootPageError("EGTP_BOOT_PAGE_OLD", url, { detail: `number ${page.seq}, and ${known} is known` });
    }
    source.etag = response.etag;
    this.#take(source, page, "loaded");
    await cache
      ?.save(url, { publisher: page.id, bytes, etag: response.etag })
      .catch((error: unknown) => tell({ kind: "boot-page", state: "not-cached", url, error }));
  }

  #take(source: Source, page: BootPage, state: "loaded" | "cached"): void {
    const { tell, changed } = this.#options;
    if (page.seq <= (this.#editions.get(page.id)?.page.seq ?? -1)) return;
    const records = page.records.flatMap((bytes) => this.#verified(bytes));
    this.#editions.set(page.id, { page, records });
    const { url } = source;
    const { id: publisher, seq, expires } = page;
    tell({ kind: "boot-page", state, url, publisher, seq, expires, records: records.length });
    changed();
  }

  /** None when it is not what its peer signed; whether it is out of date shows when it is used. */
  #verified(bytes: Uint8Array): BootRecord[] {
    try {
      return [{ record: verifyContactRecord(bytes, undefined, this.#host!.verify), bytes }];
    } catch (error) {
      if (error instanceof WireError) return [];
      throw error;
    }
  }

  /** Gives up after a time, and when the node stops, whatever `run` does. */
  #withTime<T>(run: (signal: AbortSignal) => Promise<T>, url: string): Promise<T> {
    const controller = new AbortController();
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        const error = new BootPageError("EGTP_BOOT_PAGE_TIMEOUT", url);
        controller.abort(error);
        reject(error);
      };
      const cancelTimer = this.#host!.schedule.setTimer(giveUp, this.#options.limits.pageMs);
      this.#giveUps.add(giveUp);
      void run(controller.signal)
        .then(resolve, reject)
        .finally(() => {
          cancelTimer();
          this.#giveUps.delete(giveUp);
        });
    });
  }
}
