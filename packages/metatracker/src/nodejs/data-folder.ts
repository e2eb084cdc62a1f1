/** What a server keeps in its folder, which only its owner can enter: who it is (`identity.key`), and its stores. */
import { access, chmod, constants, mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Identity } from "@egtp/node";
import { loadIdentity } from "@egtp/node/files";
import { CommandError } from "./command-errors.ts";

export class DataFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes the folder when it is not there, and closes it to others when it is empty.
   *
   * @throws {@link CommandError} `EGTP_COMMAND_DATA`.
   */
  static async open(path: string): Promise<DataFolder> {
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
      const isOpen = process.platform !== "win32" && ((await stat(path)).mode & 0o077) !== 0;
      if (isOpen && (await readdir(path)).length === 0) await chmod(path, 0o700);
      await access(path, constants.W_OK | constants.X_OK);
    } catch (cause) {
      throw new CommandError("EGTP_COMMAND_DATA", `The folder ${path} cannot be used`, { cause });
    }
    return new DataFolder(path);
  }

  join(name: string): string {
    return join(this.path, name);
  }

  /** Makes the identity when there is none; a file of mode 0600. @throws {@link IdentityFileError}. */
  identity(): Promise<Identity> {
    return loadIdentity(this.join("identity.key"));
  }
}
