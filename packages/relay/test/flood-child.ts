/**
 * Run as a process of its own: senders that pass along as much as they can. Each line of its input is a {@link MailFlood}; the
 * line that answers says how often what was heard.
 */
import { createInterface } from "node:readline";
import { createIdentity, createNode, type EgtpNode } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import type { PeerId, Strategy } from "@egtp/wire";
import { envelope, Owner, passAlong } from "./relay-parties.ts";

export interface MailFlood {
  readonly relay: PeerId;
  readonly strategy: Strategy;
  readonly senders: number;
  /** Each asks for a mailbox of its own before. */
  readonly register: boolean;
  /** Whose mailboxes they fill, in turn. */
  readonly recipients: readonly PeerId[];
  /** Of each sender. */
  readonly envelopes: number;
  readonly bytes: number;
}

/** By what the relay said: `stored`, `passed`, a reason why it refused an envelope, or `registered` and `not-registered`. */
export type MailFloodReport = Readonly<Record<string, number>>;

/** Envelopes of one sender that are under way. */
const underWay = 64;

for await (const line of createInterface({ input: process.stdin })) {
  const { relay, strategy, senders, register, recipients, envelopes, bytes } = JSON.parse(line) as MailFlood;
  const heard: Record<string, number> = {};
  const count = (what: string): void => {
    heard[what] = (heard[what] ?? 0) + 1;
  };
  const send = async (node: EgtpNode): Promise<void> => {
    let sent = 0;
    const sendMore = async (): Promise<void> => {
      while (sent < envelopes) {
        const recipient = recipients[sent++ % recipients.length]!;
        const status = await passAlong(node, relay, recipient, envelope(sent, bytes), Date.now());
        count(status.state === "refused" ? status.refusal : status.state);
      }
    };
    await Promise.all(Array.from({ length: underWay }, sendMore));
  };
  const nodes = await Promise.all(
    Array.from({ length: senders }, async () => {
      const transports = [tcp({ listen: false })];
      const node = await createNode({ identity: createIdentity(), transports, allowPrivateAddresses: true });
      await node.start();
      node.introduce(relay, [strategy]);
      if (register)
        count((await new Owner(node, relay).register()).state === "active" ? "registered" : "not-registered");
      return node;
    }),
  );
  await Promise.all(nodes.map(send));
  await Promise.all(nodes.map((node) => node.stop()));
  console.log(JSON.stringify(heard));
}
