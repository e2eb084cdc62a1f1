/**
 * A node for one purpose: it passes envelopes along under an identity made for this run, so that relays do not learn whose they
 * are (rule R8). It dials and never listens, publishes nothing, registers nowhere, and remembers nothing when it stops.
 */
import { createIdentity, createNode, type EgtpNode, type NodeOptions, type Transport } from "@egtp/node";

/**
 * Makes and starts it.
 *
 * @param node - The node that it works for: it is asked for contact records, so relays are found as that node finds them.
 * @param options - What that node was made from.
 */
export async function startSender(node: EgtpNode, options: NodeOptions): Promise<EgtpNode> {
  const { transports = [], allowPrivateAddresses = false, limits, crypto, schedule } = options;
  const sender = await createNode({
    identity: createIdentity(crypto),
    transports: transports.map(dialOnly),
    lookup: { kind: "relay client", lookUp: (peer, request) => node.lookUp(peer, request) },
    allowPrivateAddresses,
    ...(limits !== undefined && { limits }),
    ...(crypto !== undefined && { crypto }),
    ...(schedule !== undefined && { schedule }),
  });
  await sender.start();
  return sender;
}

/** The same transport, on which nobody can be reached. */
function dialOnly(transport: Transport): Transport {
  return {
    kind: transport.kind,
    refusals: transport.refusals,
    serve: async () => ({ strategies: [], stop: async () => {} }),
    canDial: (strategy) => transport.canDial(strategy),
    dial: (strategy, target, dialOptions) => transport.dial(strategy, target, dialOptions),
  };
}
