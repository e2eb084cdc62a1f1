/**
 * Where connections come in: each waits until its dial tag says whom it wants, becomes a link of that identity, or goes
 * without a word. The first identity that is served opens the listener, the last one to stop closes it.
 *
 * It opens no socket; the transports bring those. Its tables are bounded by `maxLinks`, which the door counts.
 *
 * @see docs/spec.md, "Links"
 */
import type { PeerId, Strategy } from "@egtp/wire";
import type { Sha512 } from "./dial-tag.ts";
import type { StreamMedium } from "./envelope-stream.ts";
import type { LinkWatch } from "./link-watch.ts";
import type { Link, RefusalReason, Served } from "./transport.ts";
import { type Admission, Door, type Resident } from "./transport-door.ts";
import { dialTagBytes } from "./transport-limits.ts";
import { MediumLink } from "./transport-link.ts";

/** What lets connections in. */
export interface Listener {
  /** Where it is to be dialled, best first. */
  readonly strategies: readonly Strategy[];
  /** Lets nobody in any more, and ends what has named nobody. Resolves when no connection is left. */
  close(): Promise<void>;
}

/** A connection that brought its tag. */
export interface Caller {
  readonly remote: string;
  /** Called once when the tag named an identity: whatever arrives from now on is the medium's. */
  open(): StreamMedium;
}

export interface ReceptionOptions {
  readonly sha512: Sha512;
  readonly watch: LinkWatch;
  /** Absent where only dialling is wanted. */
  readonly listen: (() => Promise<Listener>) | undefined;
}

export class Reception {
  readonly #listen: (() => Promise<Listener>) | undefined;
  readonly #desk: Desk;
  #listener: Promise<Listener> | undefined;
  /** Resolves when a listener that was closed before is gone. */
  #closing: Promise<void> = Promise.resolve();

  constructor({ sha512, watch, listen }: ReceptionOptions) {
    this.#listen = listen;
    this.#desk = { door: new Door(sha512, watch.limits), watch, waiting: new Set(), links: new Map() };
  }

  get refusals(): Readonly<Record<RefusalReason, number>> {
    return this.#desk.door.refusals;
  }

  /** @see `Transport.serve` */
  async serve(peer: PeerId, onLink: (link: Link) => void): Promise<Served> {
    const { door } = this.#desk;
    const resident = door.moveIn(peer, onLink);
    if (this.#listen === undefined) return { strategies: [], stop: async () => door.moveOut(resident) };
    try {
      this.#listener ??= this.#closing.then(this.#listen);
      const listener = await this.#listener;
      let stopped: Promise<void> | undefined;
      return {
        strategies: listener.strategies,
        stop: () => {
          stopped ??= this.#stop(resident, listener);
          return stopped;
        },
      };
    } catch (error) {
      door.moveOut(resident);
      this.#listener = undefined;
      throw error;
    }
  }

  /**
   * Lets a connection in, or counts why not.
   *
   * @param hangUp - Ends the connection.
   */
  admit(source: string, hangUp: () => void): Visitor | undefined {
    const visitor = new Visitor(this.#desk, source, hangUp);
    return visitor.enter() ? visitor : undefined;
  }

  refuse(reason: RefusalReason): void {
    this.#desk.door.refuse(reason);
  }

  /** Ends whatever has named nobody. */
  dismiss(): void {
    for (const visitor of this.#desk.waiting) visitor.turnAway();
  }

  async #stop(resident: Resident, listener: Listener): Promise<void> {
    const { door, links } = this.#desk;
    door.moveOut(resident);
    const closed = [links.get(resident)?.stop() ?? Promise.resolve()];
    if (door.empty) {
      this.#listener = undefined;
      this.#closing = listener.close();
      closed.push(this.#closing);
    }
    await Promise.all(closed);
  }
}

/** What all visitors share. */
interface Desk {
  readonly door: Door;
  readonly watch: LinkWatch;
  /** Those whose tag has not arrived. */
  readonly waiting: Set<Visitor>;
  readonly links: Map<Resident, LinksOfResident>;
}

/** The links of one identity, and who waits for the last of them to go. */
class LinksOfResident {
  readonly #links = new Set<MediumLink>();
  readonly #onEmpty: () => void;
  #onStopped: (() => void) | undefined;

  /** @param onEmpty - The last of them is gone. */
  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty;
  }

  add(link: MediumLink): void {
    this.#links.add(link);
  }

  readonly delete = (link: MediumLink): void => {
    this.#links.delete(link);
    if (this.#links.size > 0) return;
    this.#onEmpty();
    this.#onStopped?.();
  };

  /** Resolves when none is left. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#onStopped = resolve;
      for (const link of this.#links) link.stop();
    });
  }
}

/** One connection that came in, until it has a link or is gone. */
export class Visitor {
  /** Ends the connection; may be changed while it waits. */
  hangUp: () => void;
  readonly #desk: Desk;
  readonly #source: string;
  readonly #until: number;
  #tag: Uint8Array | undefined = new Uint8Array(dialTagBytes);
  #filled = 0;
  #admission: Admission | undefined;
  #cancelTimer = nothing;
  #link: MediumLink | undefined;

  constructor(desk: Desk, source: string, hangUp: () => void) {
    this.#desk = desk;
    this.#source = source;
    this.hangUp = hangUp;
    this.#until = desk.watch.clock.now() + desk.watch.limits.unauthenticatedMs;
  }

  /** @returns False when the door does not let it in. */
  enter(): boolean {
    const { door, watch, waiting } = this.#desk;
    this.#admission = door.admit(this.#source, () => {
      if (this.#link === undefined) this.hangUp();
      else this.#link.abort("displaced");
    });
    if (this.#admission === undefined) return false;
    waiting.add(this);
    this.#cancelTimer = watch.clock.setTimer(() => this.turnAway(), watch.limits.unauthenticatedMs);
    return true;
  }

  /** The connection has ended, or cannot bring a tag any more. Too late, or twice, it does no harm. */
  turnAway(): void {
    if (!this.#endWaiting()) return;
    this.#admission?.leave();
    this.#desk.door.refuse("no-tag");
    this.hangUp();
  }

  /** Takes bytes of the tag; with the last of them it becomes a link, or ends. What is left over is the link's. */
  receive(bytes: Uint8Array, caller: Caller): void {
    const tag = this.#tag;
    if (tag === undefined) return;
    const part = bytes.subarray(0, dialTagBytes - this.#filled);
    tag.set(part, this.#filled);
    this.#filled += part.length;
    if (this.#filled < dialTagBytes) return;
    this.#endWaiting();
    const { door, watch } = this.#desk;
    const resident = door.recognise(tag, watch.clock.now());
    if (resident === undefined) {
      this.#admission?.leave();
      this.hangUp();
    } else this.#openLink(resident, caller, bytes.subarray(part.length));
  }

  #openLink(resident: Resident, caller: Caller, rest: Uint8Array): void {
    const { watch, links } = this.#desk;
    const medium = caller.open();
    let siblings = links.get(resident);
    if (siblings === undefined) {
      siblings = new LinksOfResident(() => links.delete(resident));
      links.set(resident, siblings);
    }
    const link = new MediumLink(medium, {
      direction: "incoming",
      remote: caller.remote,
      source: this.#source,
      watch,
      unauthenticatedUntil: this.#until,
      admission: this.#admission!,
      onGone: siblings.delete,
    });
    this.#link = link;
    // Of what it is while it waits, nothing stays for as long as the link lives.
    this.hangUp = nothing;
    siblings.add(link);
    medium.attach(link);
    resident.onLink(link);
    if (rest.length > 0) medium.receive(rest);
  }

  #endWaiting(): boolean {
    if (!this.#desk.waiting.delete(this)) return false;
    this.#tag = undefined;
    this.#cancelTimer();
    this.#cancelTimer = nothing;
    return true;
  }
}

function nothing(): void {}
