/** The certificate of a server: read, and checked before anything is opened, since clients would only say that it failed. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { CommandError } from "./command-errors.ts";

export interface Certificate {
  /** The chain, in PEM. */
  readonly cert: string;
  /** Its private key, in PEM. */
  readonly key: string;
}

/**
 * Reads a certificate and its key.
 *
 * @param host - What clients will ask for; `undefined`: not known.
 * @throws {@link CommandError} `EGTP_COMMAND_FILE` when one cannot be read; `EGTP_COMMAND_CERTIFICATE` when it is none, its
 *   key is another's, it is out of date, or it is for another host.
 */
export async function loadCertificate(
  certPath: string,
  keyPath: string,
  host: string | undefined,
  now: number = Date.now(),
): Promise<Certificate> {
  const cert = await read(certPath);
  const key = await read(keyPath);
  const parsed = parse(certPath, () => new X509Certificate(cert));
  const privateKey = parse(keyPath, () => createPrivateKey(key));
  const misfit = (what: string): CommandError =>
    new CommandError("EGTP_COMMAND_CERTIFICATE", `The certificate in ${certPath} ${what}`);
  if (!parsed.checkPrivateKey(privateKey)) throw misfit(`does not belong to the key in ${keyPath}`);
  if (Date.parse(parsed.validTo) <= now) throw misfit(`was valid until ${parsed.validTo}`);
  if (Date.parse(parsed.validFrom) > now) throw misfit(`is not valid before ${parsed.validFrom}`);
  if (host !== undefined && (isIP(host) === 0 ? parsed.checkHost(host) : parsed.checkIP(host)) === undefined) {
    throw misfit(`is not for ${host}`);
  }
  return { cert, key };
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new CommandError("EGTP_COMMAND_FILE", `${path} cannot be read`, { cause });
  }
}

function parse<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new CommandError("EGTP_COMMAND_CERTIFICATE", `${path} does not hold what it should, in PEM`, { cause });
  }
}
