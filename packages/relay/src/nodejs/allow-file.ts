/** The file that says who may have a mailbox: one peer ID on each line, with blank lines and comments after `#`. */
import { readFile } from "node:fs/promises";
import { CommandError, readPeerId } from "@egtp/metatracker/command";
import type { PeerId } from "@egtp/wire";

/** @throws {@link CommandError} `EGTP_COMMAND_FILE`; {@link UsageError} for a line that is no peer ID. */
export async function readAllowFile(path: string): Promise<readonly PeerId[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new CommandError("EGTP_COMMAND_FILE", `${path} cannot be read`, { cause });
  }
  return text.split("\n").flatMap((line, index) => {
    const id = line.replace(/#.*/, "").trim();
    return id === "" ? [] : [readPeerId(id, `${path}, line ${index + 1}`)];
  });
}
