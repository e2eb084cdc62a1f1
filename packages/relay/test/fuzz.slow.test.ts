/** The long run of what fuzz.property.test.ts does. */
import { describeFuzzing } from "@egtp/test-kit/fuzz";
import { fuzzed } from "./fuzzed.ts";

describeFuzzing(fuzzed, 1_000);
