/** The short run; the long one is in fuzz.slow.test.ts. */
import { describeFuzzing } from "@egtp/test-kit/fuzz";
import { fuzzed } from "./fuzzed.ts";

describeFuzzing(fuzzed);
