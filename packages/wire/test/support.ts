/** What several tests of this package share. */
import { expect } from "vitest";
import { WireError, type WireErrorCode } from "../src/index.ts";

/** The code of the `WireError` that `run` throws; fails when it returns or throws anything else. */
export function codeOf(run: () => unknown): WireErrorCode {
  let result: unknown;
  try {
    result = run();
  } catch (error) {
    expect(error).toBeInstanceOf(WireError);
    const { code, hint } = error as WireError;
    expect(hint).toBeTypeOf("string");
    return code;
  }
  throw new Error(`Expected a WireError, got ${String(result)}`);
}

/** The value of `run`, or `undefined` when it throws a `WireError`. Anything else that is thrown comes through. */
export function valueOrWireError<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** Calls `check` with what `decode` returns; a `WireError` is as good, and anything else that is thrown comes through. */
export function ifDecoded<T>(decode: () => T, check: (value: T) => void): void {
  const result = valueOrWireError(() => ({ value: decode() }));
  if (result !== undefined) check(result.value);
}

/** What `run` throws; `undefined` when it returns. */
export function thrownBy(run: () => unknown): unknown {
  try {
    run();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Every proper prefix, the shortest first. */
export function* cuts(bytes: Uint8Array): Generator<Uint8Array> {
  for (let length = 0; length < bytes.length; length++) yield bytes.slice(0, length);
}

/** The bytes with one bit turned, once for each bit. */
export function* bitFlips(bytes: Uint8Array): Generator<Uint8Array> {
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7));
    yield flipped;
  }
}

/** Deterministic bytes that are not all alike. */
export function sampleBytes(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 97 + (i >> 8)) & 0xff);
}
