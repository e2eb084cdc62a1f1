/** The command `id`: prints who a peer is, and makes its identity when there is none. */
import { openDataFolder, placeSchema, placeSpecs, placeUsage } from "./chat-peer.ts";
import { readOptions } from "./command-line.ts";
import { exitCodes } from "./exit-code.ts";

export const idUsage = `Usage: egtp-demo-peer id [options]

Prints the peer ID, by which others reach this peer. Makes an identity when there is none.

${placeUsage}
  --json               print {"peer": "..."}
`;

export async function idCommand(args: readonly string[]): Promise<number> {
  const { options } = readOptions(args, placeSpecs, placeSchema);
  const { peer } = await (await openDataFolder(options)).identity();
  console.log(options.json ? JSON.stringify({ peer }) : peer);
  return exitCodes.ok;
}
