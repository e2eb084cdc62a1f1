/**
 * Which of the records that were published here stand on the boot page, besides our own: relays, and the metatrackers that our
 * operator named. A relay that stands there stays as long as it can be found, so that the page is the same for all visitors.
 */
import { type PeerId, verifyContactRecord } from "@egtp/wire";
import type { MetatrackerServer } from "../server.ts";

/** Relays on the page: some to choose from, in a page of a few kilobytes. */
const maxRelays = 16;

export class BootRecords {
  readonly #server: MetatrackerServer;
  readonly #introduced: readonly PeerId[];
  #relays: readonly PeerId[] = [];

  /** @param introduced - Metatrackers that are vouched for: whoever stands here decides who finds whom. */
  constructor(server: MetatrackerServer, introduced: readonly PeerId[]) {
    this.#server = server;
    this.#introduced = introduced;
  }

  async choose(): Promise<readonly Uint8Array[]> {
    const metatrackers = await this.#find(this.#introduced, "metatracker");
    const relays = await this.#find(this.#relays, "relay");
    if (relays.size < maxRelays) {
      for (const bytes of await this.#server.list("relay", maxRelays)) {
        if (relays.size < maxRelays) relays.set(verifyContactRecord(bytes, undefined, isVerified).id, bytes);
      }
    }
    this.#relays = [...relays.keys()];
    return [...metatrackers.values(), ...relays.values()];
  }

  /** Those of them that still offer the service. */
  async #find(peers: readonly PeerId[], service: string): Promise<Map<PeerId, Uint8Array>> {
    const found = new Map<PeerId, Uint8Array>();
    for (const peer of peers) {
      const bytes = await this.#server.find(peer);
      if (bytes === undefined) continue;
      if (verifyContactRecord(bytes, undefined, isVerified).services.includes(service)) found.set(peer, bytes);
    }
    return found;
  }
}

/** The directory has checked the signature. */
function isVerified(): boolean {
  return true;
}
