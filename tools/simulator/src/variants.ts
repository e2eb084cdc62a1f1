/** The protocol broken on purpose, one rule at a time: proof that the simulator can fail. */

import type * as mesgen from "@egtp/mesgen";
import { Delivery } from "@egtp/node/delivery";
import { type Edit, loadBroken } from "./broken-source.ts";
import type { Cores } from "./sim-peer.ts";

export interface Variant extends Edit {
  readonly name: string;
  /** The rule of docs/spec.md that is taken out. */
  readonly rule: string;
}

export const variants: readonly Variant[] = [
  {
    name: "any-offer-is-fresh",
    rule: "Receiving, 2: an offer is fresh only by tag, by clock at a first contact, or because it names an offer of this run",
    file: "mesgen.ts",
    find: 'return "fresh";\n    if (aboveFloor && offer.recipientTag === noTag',
    replace: 'return "fresh";\n    if (aboveFloor) return "fresh";\n    if (aboveFloor && offer.recipientTag === noTag',
  },
  {
    name: "never-answers-under-the-live-session",
    rule: "Receiving, 3: an unknown session is answered under the front session if that was confirmed in this run",
    file: "mesgen.ts",
    find: "if (front.confirmed && !(state.probe?.session === front && state.probe.failed)) {",
    replace: "if (front.confirmed && state.probe !== undefined && now < 0) {",
  },
  {
    name: "ignores-rejected-lists",
    rule: "Receiving, 4: the owner of a rejected session stops sending on it and sends again what travelled under it",
    file: "mesgen.ts",
    find: "    for (const entry of entries) {\n      const pending = state.pending;",
    replace: "    for (const entry of entries.slice(0, 0)) {\n      const pending = state.pending;",
  },
  {
    name: "nobody-leads",
    rule: "Which session to send on: the peer with the smaller ID leads",
    file: "mesgen.ts",
    find: 'return comparePeerIds(this.self, state.peer) < 0 ? "us" : "peer";',
    replace: 'return "us";',
  },
  {
    name: "accepts-counters-again",
    rule: "State that survives: on load a window starts at its saved limit, and what was read lies below that",
    file: "peer-table.ts",
    find: "record.counterLimit = window.next;",
    replace: "record.counterLimit = 0;",
  },
];

export async function loadVariant({ file, find, replace }: Variant): Promise<Cores> {
  const [broken] = await loadBroken("mesgen", [{ file, find, replace }], ["index.ts"]);
  return { Mesgen: (broken as typeof mesgen).Mesgen, Delivery };
}
