/** The command `listen`: prints each message that comes in, for scripts. */
import * as z from "zod/mini";
import { bookUsage, ChatPeer, chatSchema, chatSpecs, listenUsage, placeUsage, plainText } from "./chat-peer.ts";
import { readOptions, wholeNumber } from "./command-line.ts";
import { exitCodes } from "./exit-code.ts";
import { listenForStop } from "./stop-signal.ts";

export const listenCommandUsage = `Usage: egtp-demo-peer listen [options]

Prints each line of text that comes in, after the ID of its sender, until Ctrl-C.

${placeUsage}
${bookUsage}
${listenUsage}
  --count N            end after so many messages
  --json               print one JSON object per line: the first says "listening", the others "message"
`;

export async function listenCommand(args: readonly string[]): Promise<number> {
  const { peer: _, ...withoutPeer } = chatSpecs;
  const { options } = readOptions(
    args,
    { ...withoutPeer, count: { type: "string" } },
    z.extend(chatSchema, { count: z.optional(wholeNumber(1, 1_000_000_000)) }),
  );
  const { json, count = Infinity } = options;
  const stop = listenForStop();
  let received = 0;
  let onEnough = (): void => {};
  const enough = new Promise<void>((resolve) => {
    onEnough = resolve;
  });
  const peer = await ChatPeer.start(options, ({ from, body, messageId, early }) => {
    if (received >= count) throw new Error("Enough was received"); // its sender hears "rejected"
    const { text, name } = body;
    console.log(
      json ? JSON.stringify({ event: "message", from, name, text, messageId, early }) : `${from} ${plainText(text)}`,
    );
    received += 1;
    if (received === count) onEnough();
  });
  try {
    const { addresses, store } = peer;
    if (json) console.log(JSON.stringify({ event: "listening", peer: peer.node.peerId, addresses, store }));
    else console.error(`${peer.node.peerId} is reached by ${addresses.join(", ") || "nobody"}. Ctrl-C ends it.`);
    await Promise.race([enough, stop.stopped]);
    return exitCodes.ok;
  } finally {
    stop.cancel();
    await peer.stop();
  }
}
