/** The command `doctor`: what works here, what does not, and what to do about it. */

import { type Colour, paintFor } from "@egtp/metatracker/command";
import { bookUsage, chatSchema, chatSpecs, listenUsage, placeUsage } from "./chat-peer.ts";
import { readOptions } from "./command-line.ts";
import { examine, type Finding } from "./examination.ts";
import { exitCodes } from "./exit-code.ts";
import { listenForStop } from "./stop-signal.ts";

export const doctorUsage = `Usage: egtp-demo-peer doctor [options]

Checks what a peer needs: its folder, its session store, boot pages, the clock, metatrackers, a relay,
whether a stranger who knows nothing but its ID reaches it, and whether it reaches the peers that are named.
Says what to do about what does not work.

${placeUsage}
${bookUsage}
${listenUsage}
  --peer ID            somebody who runs a peer of this demo, with ID@host:port at that address; may be repeated
  --json               print one JSON object

Exit codes: ${exitCodes.ok} it works, ${exitCodes.failed} something does not.
`;

const marks: Readonly<Record<Finding["state"], readonly [string, Colour]>> = {
  good: ["ok", "green"],
  doubtful: ["hm", "yellow"],
  bad: ["no", "red"],
};

export async function doctorCommand(args: readonly string[]): Promise<number> {
  const { options } = readOptions(args, chatSpecs, chatSchema);
  const paint = paintFor(process.stdout);
  const stop = listenForStop();
  const findings: Finding[] = [];
  try {
    for await (const finding of examine(options, stop.signal)) {
      findings.push(finding);
      if (options.json) continue;
      const [mark, colour] = marks[finding.state];
      console.log(`${paint(colour, mark)}  ${finding.check.padEnd(9)}  ${finding.text}`);
      if (finding.remedy !== undefined) console.log(`               ${paint("dim", finding.remedy)}`);
    }
  } finally {
    stop.cancel();
  }
  const ok = findings.every(({ state }) => state !== "bad");
  if (options.json) console.log(JSON.stringify({ ok, findings }));
  return ok ? exitCodes.ok : exitCodes.failed;
}
