/** A metatracker and a relay in this process, as `egtp-metatracker` and `egtp-relay` are in processes of their own. */
import { type KnownMetatracker, metatrackers } from "@egtp/metatracker";
import { metatrackerServer } from "@egtp/metatracker/server";
import { createIdentity, createNode } from "@egtp/node";
import { tcp } from "@egtp/node/tcp";
import { relayServer } from "@egtp/relay/server";
import { verifyContactRecord } from "@egtp/wire";

export interface Servers {
  readonly metatrackers: readonly KnownMetatracker[];
  stop(): Promise<void>;
}

export async function startServers(): Promise<Servers> {
  const local = () => ({ transports: [tcp({ host: "127.0.0.1" })], allowPrivateAddresses: true });
  const directory = await createNode({
    ...local(),
    identity: createIdentity(),
    services: ["metatracker"],
    parts: [metatrackerServer()],
  });
  await directory.start();
  const { strategies } = verifyContactRecord(directory.contactRecord!, Date.now());
  const known = [{ peer: directory.peerId, strategies }];

  const relay = await createNode({
    ...local(),
    identity: createIdentity(),
    services: ["relay"],
    parts: [relayServer()],
    lookup: metatrackers({ metatrackers: known }),
  });
  await relay.start();
  return {
    metatrackers: known,
    stop: async () => {
      await relay.stop();
      await directory.stop();
    },
  };
}
