/** How many bytes a reader sets aside for numbers that its input names: lengths and counts that nobody vouched for. */

export interface HeldAside {
  readonly bytes: number;
  readonly result: unknown;
  /** What was thrown, if something was. */
  readonly error: { readonly thrown: unknown } | undefined;
}

/** Counts while `run` runs; what it does after an `await` is not counted. Memory that copies something is not, either: that is there. */
export function heldAside(run: () => unknown): HeldAside {
  let bytes = 0;
  const { Uint8Array: plainBytes, ArrayBuffer: plainBuffer, Array: plainArray } = globalThis;
  const { from } = plainArray;
  const counting = <Made extends typeof plainBytes | typeof plainBuffer>(made: Made): Made =>
    new Proxy(made, {
      construct(target, args: unknown[], newTarget) {
        if (typeof args[0] === "number") bytes += args[0];
        return Reflect.construct(target, args, newTarget) as object;
      },
    });
  globalThis.Uint8Array = counting(plainBytes);
  globalThis.ArrayBuffer = counting(plainBuffer);
  plainArray.from = function (this: unknown, ...args: unknown[]) {
    const { length } = (args[0] ?? {}) as { readonly length?: unknown };
    if (typeof length === "number") bytes += 8 * length;
    return Reflect.apply(from, this, args) as unknown[];
  } as typeof from;
  try {
    const result = run();
    return { bytes, result, error: undefined };
  } catch (thrown) {
    return { bytes, result: undefined, error: { thrown } };
  } finally {
    globalThis.Uint8Array = plainBytes;
    globalThis.ArrayBuffer = plainBuffer;
    plainArray.from = from;
  }
}
