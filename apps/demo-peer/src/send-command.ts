/** The command `send`: one line of text to one peer, and how it ended as the exit code. */
import { AbortedError } from "@egtp/node";
import * as z from "zod/mini";
import { bookUsage, ChatPeer, chatSchema, chatSpecs, placeUsage } from "./chat-peer.ts";
import { readOptions, wholeNumber } from "./command-line.ts";
import { UsageError } from "./errors.ts";
import { exitCodes } from "./exit-code.ts";
import { chatText } from "./messages.ts";
import { exitCodeOf, outcomeText, reasonsOf } from "./send-outcome.ts";
import { listenForStop } from "./stop-signal.ts";

/** How long a message may wait when nothing was said. */
const defaultWaitMs = 15_000;

export const sendUsage = `Usage: egtp-demo-peer send --peer ID[@HOST:PORT] [options] TEXT

Sends a line of text and waits until the peer has handled it. A TEXT that begins with - stands after --.

${placeUsage}
${bookUsage}
  --peer ID            whom; with @host:port where, else it is looked up
  --wait MS            keep trying for so long. Without it, a peer that is not there is not waited for,
                       and an answer for ${defaultWaitMs} ms; with --bootpage, a relay keeps what it can
  --json               print one JSON object

Exit codes: ${exitCodes.ok} delivered, ${exitCodes.failed} failed, ${exitCodes.usage} the command line is wrong,
${exitCodes.stored} stored at a relay, ${exitCodes.rejected} rejected by the peer, ${exitCodes.expired} expired without an answer, ${exitCodes.unreachable} unreachable.
`;

export async function sendCommand(args: readonly string[]): Promise<number> {
  const { listen: _, ...withoutListen } = chatSpecs;
  const { options, words } = readOptions(
    args,
    { ...withoutListen, wait: { type: "string" } },
    z.extend(chatSchema, { wait: z.optional(wholeNumber(1, 86_400_000)) }),
    { names: ["TEXT"] },
  );
  const { json, name, wait, bootpage } = options;
  const [target, another] = options.peer;
  if (target === undefined) throw new UsageError("--peer is missing.");
  if (another !== undefined) throw new UsageError("--peer: one at a time.");
  const stop = listenForStop();
  const peer = await ChatPeer.start(options);
  // Mail that a relay keeps may wait longer than we do.
  const timeoutMs = wait ?? (bootpage.length === 0 ? defaultWaitMs : undefined);
  try {
    const begun = performance.now();
    const outcome = await peer.node.send(
      target.peer,
      chatText,
      { text: words[0]!, name },
      { timeoutMs, failFast: wait === undefined, signal: stop.signal },
    );
    const tookMs = Math.round(performance.now() - begun);
    const reasons = outcome.state === "unreachable" ? { reasons: reasonsOf(outcome) } : {};
    if (json) console.log(JSON.stringify({ ...outcome, ...reasons, peer: target.peer, tookMs }));
    else if (outcome.state === "delivered") console.log(`delivered in ${tookMs} ms`);
    else console.error(outcomeText(outcome));
    return exitCodeOf(outcome);
  } catch (error) {
    if (error instanceof AbortedError) return 128 + (await stop.stopped);
    throw error;
  } finally {
    stop.cancel();
    await peer.stop();
  }
}
