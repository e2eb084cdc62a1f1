/** What this process holds after its garbage was collected. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes on the heap of JavaScript and outside of it, as those of buffers. */
export function usedBytes(): number {
  // What a finalizer lets go of is garbage only at the next time.
  for (let i = 0; i < 3; i++) collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
