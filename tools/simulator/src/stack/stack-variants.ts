/** Relays, their clients and nodes broken on purpose, one rule at a time: proof that the simulator can fail. */

import type * as node from "@egtp/node";
import type * as relay from "@egtp/relay";
import type * as lmdb from "@egtp/relay/lmdb";
import type * as server from "@egtp/relay/server";
import { type Edit, loadBroken } from "../broken-source.ts";
import { realStack } from "./real-stack.ts";
import type { StackProfile } from "./stack-run.ts";
import type { Stack } from "./stack-world.ts";

export interface StackVariant {
  readonly name: string;
  /** What a user relies on, and this breaks. */
  readonly rule: string;
  /** Where it shows soon. */
  readonly profile: StackProfile;
  /** It is caught within so many seeds. */
  readonly withinSeeds: number;
  readonly package: "node" | "relay";
  readonly edits: readonly Edit[];
}

const asksAfterNoMail: Edit = {
  file: "delivery/outbox.ts",
  find: "if (!this.#hearsFromPeer) return mailAskIntervalMs(this.load.mailAsks);",
  replace: "if (!this.#hearsFromPeer) return Infinity;",
};

export const stackVariants: readonly StackVariant[] = [
  {
    name: "relay-answers-before-it-wrote",
    rule: "What a relay says to keep is on its disk.",
    profile: "mail",
    withinSeeds: 200,
    package: "relay",
    edits: [
      {
        file: "nodejs/lmdb.ts",
        find: "    return unwritten.writing;\n",
        replace: '    return Promise.resolve({ state: "stored", number, until });\n',
      },
    ],
  },
  {
    name: "relay-drops-the-oldest-when-full",
    rule: "A full mailbox refuses, and drops nothing to make room.",
    profile: "storm",
    withinSeeds: 1000,
    package: "relay",
    edits: [
      {
        file: "mailboxes.ts",
        find: '  return "sender-quota";\n    }\n    if (',
        replace: '  this.#take(mailbox, 0, 1, "dropped");\n    }\n    if (',
      },
    ],
  },
  {
    name: "relay-hands-over-the-newest-first",
    rule: "Mail is handed over oldest first.",
    profile: "mail",
    withinSeeds: 12,
    package: "relay",
    edits: [
      {
        file: "nodejs/lmdb.ts",
        find: "    return mails;\n  }\n\n  acknowledge",
        replace: "    return mails.reverse();\n  }\n\n  acknowledge",
      },
    ],
  },
  {
    name: "client-acknowledges-before-it-is-handled",
    rule: "A recipient acknowledges mail when everything in it was handled and will be remembered.",
    profile: "storm",
    withinSeeds: 12,
    package: "relay",
    edits: [
      {
        file: "client-intake.ts",
        find: "void this.#takeOnce(number, envelope).then((isTaken) => {",
        replace: "void this.#takeOnce(number, envelope); void Promise.resolve(true).then((isTaken) => {",
      },
    ],
  },
  {
    name: "client-looks-for-mail-at-new-relays-only",
    rule: "Mail that an earlier run left at a relay is found.",
    profile: "storm",
    withinSeeds: 200,
    package: "relay",
    edits: [
      {
        file: "client-listener.ts",
        find: "for (const relay of relays ?? []) this.#add(relay, true);",
        replace: "this.#candidates = [...(relays ?? [])];",
      },
    ],
  },
  {
    name: "answers-only-down-the-link-it-came-on",
    rule: "R2: whoever cannot read something answers by ordinary routing.",
    profile: "storm",
    withinSeeds: 12,
    package: "node",
    edits: [
      {
        file: "router.ts",
        find: "return this.#endpoint.delivery.wants(route.peer, now).any || this.#endpoint.mesgen.owes(route.peer, now);",
        replace: "return this.#endpoint.delivery.wants(route.peer, now).any;",
      },
    ],
  },
  {
    name: "sender-forgets-what-is-stored",
    rule: "A sender keeps what a relay stored until its recipient handled it.",
    profile: "storm",
    withinSeeds: 12,
    package: "node",
    edits: [
      {
        file: "delivery/outbox.ts",
        find: "    this.#ledger.stored.push(outgoing);\n",
        replace: "    this.#ledger.stored.push(outgoing);\n    this.#settleNumbers(outgoing);\n",
      },
    ],
  },
  {
    name: "unreadable-mail-is-forgotten",
    rule: "Mail that cannot be read is left in its mailbox until its sender was told.",
    profile: "storm",
    withinSeeds: 1000,
    package: "node",
    edits: [
      {
        file: "router.ts",
        find: "this.#unread.hold(received.peer, mail, now);",
        replace: "mail.release();",
      },
      // Its sender would find out by asking after it, in time.
      asksAfterNoMail,
    ],
  },
  {
    name: "senders-do-not-follow",
    rule: "Mail is sent again when its recipient collects elsewhere by now.",
    profile: "storm",
    withinSeeds: 2000,
    package: "node",
    edits: [
      {
        file: "router.ts",
        find: "for (const peer of this.#follower.due(inMailboxes, now)) void this.connector.refresh(this.#route(peer));",
        replace: "",
      },
      {
        file: "router.ts",
        find: "options.book.onNews = (record, before) => this.#heedRecord(record, before);",
        replace: "",
      },
      asksAfterNoMail,
    ],
  },
  {
    name: "sender-believes-relays",
    rule: "A relay that says to pass on, or to keep, and throws away does not keep what another would carry.",
    profile: "liar",
    withinSeeds: 12,
    package: "node",
    edits: [
      {
        file: "router.ts",
        find: "for (const peer of endpoint.delivery.takeUnheard()) this.#doubt(this.#route(peer), now);",
        replace: "",
      },
    ],
  },
  {
    name: "recipient-believes-relays",
    rule: "What a relay throws away of receipts is told again by another.",
    profile: "liar",
    withinSeeds: 200,
    package: "node",
    edits: [
      {
        file: "delivery/inbox.ts",
        find: "now - this.#toldAt >= unheardAfterMs) this.#ledger.unheard.add(this.peer);",
        replace: "now - this.#toldAt >= unheardAfterMs) return;",
      },
    ],
  },
  {
    name: "sender-asks-after-no-mail",
    rule: "What a relay throws away that it said to keep is found out.",
    profile: "liar",
    withinSeeds: 12,
    package: "node",
    edits: [asksAfterNoMail],
  },
  {
    name: "cluster-hands-over-only-what-it-is-told-of",
    rule: "What waited before a relay followed a mailbox, or was not told of, is read.",
    profile: "cluster",
    withinSeeds: 2,
    package: "relay",
    edits: [
      {
        file: "shared-store.ts",
        find: "?? (await this.#read(box, tail, last, room))",
        replace: "?? []",
      },
    ],
  },
  {
    name: "cluster-answers-for-an-engine-that-does-not",
    rule: "Mail is stored when a quorum of the engine says so.",
    profile: "cluster",
    withinSeeds: 40,
    package: "relay",
    edits: [
      {
        file: "shared-store.ts",
        find: "      box.notAdded(facts);\n      throw error;",
        replace: '      box.notAdded(facts);\n      return { state: "stored", number: 1, until: facts.until };',
      },
    ],
  },
];

/** @throws when the lines that it changes are not there any more. */
export async function loadStackVariant({ package: name, edits }: StackVariant): Promise<Stack> {
  if (name === "node") {
    const [broken] = await loadBroken("node", edits, ["index.ts"]);
    return { ...realStack, createNode: (broken as typeof node).createNode };
  }
  const [client, relayed, mailboxes] = await loadBroken("relay", edits, ["index.ts", "server.ts", "nodejs/lmdb.ts"]);
  return {
    ...realStack,
    relayClient: (client as typeof relay).relayClient,
    relayServer: (relayed as typeof server).relayServer,
    openMailboxes: (folder, options) => (mailboxes as typeof lmdb).LmdbMailboxStore.open(folder, options),
    SharedMailboxStore: (relayed as typeof server).SharedMailboxStore,
  };
}
