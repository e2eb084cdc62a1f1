/**
 * Finds test vectors made elsewhere. They are no part of this repository: they lie in the folder that `EGTP_VECTORS` names, or
 * in `../shared/vectors` beside the repository. Where they are absent the suite skips and says so; with `EGTP_NO_SKIP=1`
 * it fails.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, it } from "vitest";

const folder = process.env.EGTP_VECTORS ?? fileURLToPath(new URL("../../../../shared/vectors", import.meta.url));

/** Declares a suite over the vectors of one file; `body` is called with its parsed JSON. */
export function describeWithVectors<T>(name: string, file: string, body: (vectors: T) => void): void {
  const path = join(folder, file);
  if (!existsSync(path)) {
    declareAbsent(name, path);
    return;
  }
  const vectors = JSON.parse(readFileSync(path, "utf8")) as T;
  describe(`${name}`, () => {
    body(vectors);
  });
}

function declareAbsent(name: string, path: string): void {
  it.skipIf(process.env.EGTP_NO_SKIP !== "1")(`${name} (no vectors at ${path}: set EGTP_VECTORS)`, () => {
    throw new Error(`no vectors at ${path}`);
  });
}

/** A file of Project Wycheproof. */
export interface Wycheproof<Group> {
  readonly numberOfTests: number;
  readonly testGroups: readonly Group[];
}

export interface WycheproofTest {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly result: "valid" | "acceptable" | "invalid";
}
