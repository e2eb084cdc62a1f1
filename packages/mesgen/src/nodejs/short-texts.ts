/**
 * The library for sealing and opening short texts: libsodium, compiled to WebAssembly.
 *
 * A cipher object of `node:crypto` costs some 10 us in a node at work, however short its text: it is made, used once, and left
 * to the garbage collector together with its buffers. libsodium takes 1 us, and 2 more for each KiB.
 *
 * It is loaded with the first short text. Until it is there, and where WebAssembly is forbidden, `node:crypto` does everything;
 * both give the same bytes.
 */
import type sodium from "libsodium-wrappers";

/**
 * Longer texts are left to `node:crypto`, which encrypts four times as fast. In a node at work the two meet at 4,000 bytes, in
 * a loop that does nothing else at 1,200.
 */
export const maxShortTextBytes = 2_048;

let library: typeof sodium | undefined;
let loading: Promise<void> | undefined;

/** The library, if it is there; else it is asked for. */
export function shortTextLibrary(): typeof sodium | undefined {
  if (library === undefined) void loadShortTextLibrary();
  return library;
}

/** Resolves when the library is there, or cannot be. */
export function loadShortTextLibrary(): Promise<void> {
  loading ??= load();
  return loading;
}

async function load(): Promise<void> {
  try {
    const loaded = await import("libsodium-wrappers");
    await loaded.default.ready;
    library = loaded.default;
  } catch {
    // There is another one, only slower.
  }
}
