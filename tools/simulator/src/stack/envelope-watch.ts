/**
 * What an observer of all links notes of the envelopes of a run: when each was sent, which of them a relay said to keep, and
 * which were handed to their recipients. It knows nothing of what is in them.
 */

import type { EnvelopeFate } from "@egtp/node";
import { type PeerId, peerIdBytes, type Strategy, sealedSenderBytes } from "@egtp/wire";
import type { StackWorld } from "./stack-world.ts";
import type { Station } from "./station.ts";
import type { EnvelopeWatcher } from "./watched-transport.ts";

/** An envelope that was given to a relay for somebody. */
export interface Posted {
  readonly name: string;
  readonly envelope: Uint8Array;
  readonly from: Station;
  readonly relay: PeerId;
  readonly to: PeerId;
  readonly sentAt: number;
  /** Process life of the recipient in which it was handed over first, the order of it, and whether it was taken in. */
  fate: "under way" | "passed" | "stored" | "refused";
  /** How often it was handed to the recipient, and how often the recipient said that it may be forgotten. */
  handed: number;
  taken: number;
}

export class EnvelopeWatch {
  /** By name. */
  readonly posted = new Map<string, Posted>();
  /** Envelopes given to relays since the start. */
  posts = 0;
  readonly #world: StackWorld;
  readonly #sentAt = new Map<string, number>();

  constructor(world: StackWorld) {
    this.#world = world;
  }

  /** When an envelope was first sent, by name. */
  sentAt(name: string): number | undefined {
    return this.#sentAt.get(name);
  }

  of(station: Station): EnvelopeWatcher {
    const { clock } = this.#world;
    return {
      sent: (envelope, strategy, to) => {
        const name = nameOf(envelope);
        if (!this.#sentAt.has(name)) this.#sentAt.set(name, clock.now);
        if (strategy?.kind === "relay" && to !== undefined) this.#post(name, envelope, station, strategy, to);
      },
      arrives: (envelope, hand) => station.receiving(nameOf(envelope), hand),
      fate: (envelope, fate) => this.#settle(envelope, fate),
      mail: (envelope, _source, hand) => this.#hand(station, envelope, hand),
    };
  }

  #post(
    name: string,
    envelope: Uint8Array,
    from: Station,
    { relay }: Extract<Strategy, { kind: "relay" }>,
    to: PeerId,
  ): void {
    this.posts += 1;
    const keeper = this.#world.relays.find(({ id }) => id === relay);
    if (keeper !== undefined) this.#world.onPost(keeper);
    this.posted.set(name, {
      name,
      envelope,
      from,
      relay,
      to,
      sentAt: this.#world.clock.now,
      fate: "under way",
      handed: 0,
      taken: 0,
    });
  }

  #settle(envelope: Uint8Array, { state }: EnvelopeFate): void {
    const posted = this.posted.get(nameOf(envelope));
    if (posted === undefined) return;
    posted.fate = state;
    this.#world.log(() => `${posted.from.name} hears that ${label(envelope)} was ${state}`);
    const isLiar = this.#world.relays.find(({ id }) => id === posted.relay)?.isLiar === true;
    if (state === "passed" && posted.taken === 0 && !isLiar) {
      this.#world.violate("mail", `${label(envelope)} is said to be passed on, and its recipient did not take it in`);
    }
  }

  #hand(station: Station, envelope: Uint8Array, hand: () => Promise<boolean>): Promise<boolean> {
    const name = nameOf(envelope);
    const posted = this.posted.get(name);
    this.#world.log(() => `${station.name} gets mail ${label(envelope)}`);
    if (posted !== undefined) posted.handed += 1;
    let taken: Promise<boolean> = Promise.resolve(false);
    station.receiving(name, () => {
      taken = hand();
    });
    return taken.then((isTaken) => {
      if (isTaken && posted !== undefined) posted.taken += 1;
      return isTaken;
    });
  }
}

/** Sender, session or offer ID, and counter: no two envelopes of honest peers have the same. */
export function nameOf(envelope: Uint8Array): string {
  const end = 2 + (envelope[1] === 1 ? sealedSenderBytes : peerIdBytes) + 24;
  return String.fromCharCode.apply(null, envelope.subarray(1, end) as unknown as number[]);
}

const kinds = ["?", "data", "offer", "acceptance"];

export function label(envelope: Uint8Array): string {
  const at = 2 + (envelope[1] === 1 ? sealedSenderBytes : peerIdBytes);
  if (envelope.length < at + 24) return `${envelope.length} bytes of no envelope`;
  const id = [...envelope.subarray(at, at + 3)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const counter = envelope[at + 23]! + 256 * envelope[at + 22]! + 65_536 * envelope[at + 21]!;
  return `${kinds[envelope[0]! & 15] ?? "?"} ${id}#${counter}, ${envelope.length} bytes`;
}
