/** The protocol broken on purpose, one rule at a time: proof that the simulator can fail. */

import type * as mesgen from "@egtp/mesgen";
import type * as delivery from "@egtp/node/delivery";
import type * as endpoint from "@egtp/node/endpoint";
import { type Edit, loadBroken } from "./broken-source.ts";
import { realCores } from "./real-cores.ts";
import type { Cores } from "./sim-peer.ts";

export interface Variant {
  readonly name: string;
  /** The rule of docs/spec.md that is taken out. */
  readonly rule: string;
  /** It is caught within so many seeds of the profiles in turn. */
  readonly withinSeeds: number;
  readonly package: "mesgen" | "node";
  readonly edits: readonly Edit[];
}

export const variants: readonly Variant[] = [
  {
    name: "rekeys-for-receipts",
    rule: "Re-keying is begun by an application message, never by receipts or control",
    withinSeeds: 1_000,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: "return purpose.application && this.#isWorn(front, now)",
        replace: "return this.#isWorn(front, now)",
      },
    ],
  },
  {
    name: "any-offer-is-fresh",
    rule: "Receiving, 2: an offer is fresh only by tag, by clock at a first contact, or because it names an offer of this run",
    withinSeeds: 200,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: 'return "fresh";\n    if (aboveFloor && offer.recipientTag === noTag',
        replace:
          'return "fresh";\n    if (aboveFloor) return "fresh";\n    if (aboveFloor && offer.recipientTag === noTag',
      },
    ],
  },
  {
    name: "answers-under-any-session",
    rule: "Receiving, 3: an unknown session is answered under the front session only if that was confirmed in this run, and as long as something comes back under it",
    withinSeeds: 2_000,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: "if (front.confirmed && !(state.probe?.session === front && state.probe.failed)) {",
        replace: "if (now >= 0) {",
      },
    ],
  },
  {
    name: "never-answers-under-the-live-session",
    rule: "Receiving, 3: an unknown session is answered under the front session if that was confirmed in this run",
    withinSeeds: 200,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: "if (front.confirmed && !(state.probe?.session === front && state.probe.failed)) {",
        replace: "if (front.confirmed && state.probe !== undefined && now < 0) {",
      },
    ],
  },
  {
    name: "ignores-rejected-lists",
    rule: "Receiving, 4: the owner of a rejected session stops sending on it",
    withinSeeds: 200,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: "    for (const entry of entries) {\n      const pending = state.pending;",
        replace: "    for (const entry of entries.slice(0, 0)) {\n      const pending = state.pending;",
      },
    ],
  },
  {
    name: "sends-nothing-again-that-was-rejected",
    rule: "Receiving, 4: the owner of a rejected session sends again what travelled under it and was not handled",
    withinSeeds: 200,
    package: "node",
    edits: [
      {
        file: "delivery.ts",
        find: "outboxes.each((outbox) => outbox.carrierLost(ids))",
        replace: "outboxes.each(() => {})",
      },
      {
        file: "delivery/outbox.ts",
        find: "      if ((window.flags[number & window.mask]! & isStored) === 0) window.makeDue(number);\n",
        replace: "",
      },
    ],
  },
  {
    name: "nobody-leads",
    rule: "Which session to send on: the peer with the smaller ID leads, the other follows",
    withinSeeds: 200,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: 'return comparePeerIds(this.self, state.peer) < 0 ? "us" : "peer";',
        replace: 'return "us";',
      },
    ],
  },
  {
    name: "both-follow",
    rule: "Which session to send on: the leader does not follow",
    withinSeeds: 300,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: 'return comparePeerIds(this.self, state.peer) < 0 ? "us" : "peer";',
        replace: 'return "peer";',
      },
    ],
  },
  {
    name: "watermark-overflows",
    rule: "Delivery: the watermark moves only to what the sender states, never by overflow",
    withinSeeds: 200,
    package: "node",
    edits: [
      {
        file: "delivery/inbox.ts",
        find: "if (reader.base > window.watermark) this.#advance(inbox, reader.base);\n        if (!window.fits",
        replace: "if (number - 8 > window.watermark) this.#advance(inbox, number - 8);\n        if (!window.fits",
      },
    ],
  },
  {
    name: "hands-over-before-an-offer-is-saved",
    rule: "State that survives: an accepted offer is written before a message of it is handed over",
    withinSeeds: 200,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: "theirEpoch: offer.makerEpoch,\n      ourEpoch: undefined,\n      frames: control.rest,\n      lost,\n      restarted,\n      superseded: false,\n      mustCommit: true,",
        replace:
          "theirEpoch: offer.makerEpoch,\n      ourEpoch: undefined,\n      frames: control.rest,\n      lost,\n      restarted,\n      superseded: false,\n      mustCommit: false,",
      },
    ],
  },
  {
    name: "receipts-before-marks-are-saved",
    rule: "State that survives: handled marks are written before a handled receipt leaves",
    withinSeeds: 300,
    package: "node",
    edits: [{ file: "endpoint.ts", find: "const commit = maps.commit();\n", replace: "const commit = undefined;\n" }],
  },
  {
    name: "reads-on-above-the-saved-limit",
    rule: "State that survives: no counter at or above the saved limit is accepted before a higher one is saved",
    withinSeeds: 1_500,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: "this.#table.raiseLimit(counterparty, record, session.window, counter, now);\n      mustCommit = true;",
        replace: "this.#table.raiseLimit(counterparty, record, session.window, counter, now);",
      },
    ],
  },
  {
    name: "accepts-counters-again",
    rule: "State that survives: on load a window starts at its saved limit, and what was read lies below that",
    withinSeeds: 200,
    package: "mesgen",
    edits: [{ file: "peer-table.ts", find: "record.counterLimit = window.next;", replace: "record.counterLimit = 0;" }],
  },
  {
    name: "a-new-offer-each-time",
    rule: "R3: the same offer until it is accepted, expired or superseded",
    withinSeeds: 200,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: "      if (pending !== undefined) return pending;\n      if (front !== undefined) {",
        replace: "      if (front !== undefined) {",
      },
    ],
  },
  {
    name: "deletes-on-failed-decryption",
    rule: "Receiving, 1: what fails to decrypt changes nothing",
    withinSeeds: 200,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: '    if (plaintext === null) return this.#drop("forged");\n    if (!fresh) {\n      // Authentic',
        replace:
          '    if (plaintext === null) {\n      this.#table.removeSession(this.#maps.ensure(state.peer, now), record.id);\n      return this.#drop("forged");\n    }\n    if (!fresh) {\n      // Authentic',
      },
    ],
  },
  {
    name: "loads-sending-keys",
    rule: "State that survives: no sending key comes from loaded state",
    withinSeeds: 200,
    package: "mesgen",
    // Keys and counters as they would be saved together with the limits of the windows.
    edits: [
      {
        file: "peer-table.ts",
        find: "export class PeerTable {\n",
        replace:
          "const saved = new Map<string, { half: SendingHalf; key: Uint8Array; counter: number }>();\n\n" +
          "function save({ id, role }: SessionRecord, half: SendingHalf | undefined): void {\n" +
          "  if (half !== undefined) saved.set(id + role, { half, key: half.key.slice(), counter: half.nextCounter });\n" +
          "}\n\nfunction load({ id, role }: SessionRecord): SendingHalf | undefined {\n  const found = saved.get(id + role);\n" +
          "  if (found === undefined) return undefined;\n" +
          "  return { ...found.half, key: found.key.slice(), nextCounter: found.counter };\n}\n\nexport class PeerTable {\n",
      },
      {
        file: "peer-table.ts",
        find: "this.state(counterparty.peer, now), undefined, true);",
        replace: "this.state(counterparty.peer, now), load(record), true);",
      },
      {
        file: "peer-table.ts",
        find: "    this.#sessions.set(record.id, session);\n    this.#noteAhead(",
        replace: "    this.#sessions.set(record.id, session);\n    save(record, sending);\n    this.#noteAhead(",
      },
      {
        file: "peer-table.ts",
        find: "      record.counterLimit = window.next;\n",
        replace:
          '      record.counterLimit = window.next;\n      if ("role" in record) save(record, this.#sessions.get(record.id)?.sending);\n',
      },
    ],
  },
  {
    name: "orders-sessions-by-clock",
    rule: "Which session to send on: order is never decided by comparing two machines' clocks",
    withinSeeds: 200,
    package: "mesgen",
    edits: [
      {
        file: "mesgen.ts",
        find: 'if (other.role !== "responder" || other.stamp <= record.stamp) break;',
        replace: "if (other.stamp <= record.stamp) break;",
      },
      {
        file: "mesgen.ts",
        find: "restored || live.yielded ? counterparty.sessions.length : this.#table.placeSince(counterparty, live.serial),",
        replace: "insertionIndex(counterparty, record),",
      },
      {
        file: "peer-table.ts",
        find: "    this.#maps.moveToFront(counterparty, session.record.id);\n",
        replace: "    if (session !== displaced) return;\n",
      },
    ],
  },
  {
    name: "no-outbox",
    rule: "Delivery: what is not received is sent again",
    withinSeeds: 200,
    package: "node",
    edits: [
      {
        file: "delivery/send-window.ts",
        find: "  makeDue(number: number): void {\n",
        replace: "  makeDue(number: number): void {\n    if (number >= 0) return;\n",
      },
    ],
  },
  {
    name: "receipts-before-the-handler",
    rule: "Delivery: a message is receipted as handled when its handler has returned",
    withinSeeds: 200,
    package: "node",
    edits: [
      {
        file: "delivery/inbox.ts",
        find: '        if (verdict === "pending") return true;\n',
        replace:
          '        if (verdict === "pending") {\n          const { number, parts, isRequest } = incoming;\n' +
          "          if (!isRequest) this.#handle(incoming.arrival.inbox, number, number + parts);\n          return true;\n        }\n",
      },
    ],
  },
  {
    name: "replies-wait-for-room",
    rule: "Delivery: replies and receipts never wait for outbox space",
    withinSeeds: 300,
    package: "node",
    edits: [
      {
        file: "delivery.ts",
        find: "        conversation.guardedReplies--;\n",
        replace:
          "        if (!conversation.outbox.hasRoom(reply.body.length)) {\n          this.#ledger.guardedReplies.push(reply);\n" +
          "          continue;\n        }\n        conversation.guardedReplies--;\n",
      },
    ],
  },
];

/** @throws when the lines that it changes are not there any more. */
export async function loadVariant({ package: name, edits }: Variant): Promise<Cores> {
  if (name === "mesgen") {
    const [broken] = await loadBroken("mesgen", edits, ["index.ts"]);
    return { ...realCores, Mesgen: (broken as typeof mesgen).Mesgen };
  }
  const [outer, joined] = await loadBroken("node", edits, ["delivery.ts", "endpoint.ts"]);
  return {
    ...realCores,
    Delivery: (outer as typeof delivery).Delivery,
    Endpoint: (joined as typeof endpoint).Endpoint,
  };
}
