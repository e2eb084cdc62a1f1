/** The short run; the long one is in hostile-frames.slow.test.ts. */
import { it } from "vitest";
import { sayAnything } from "./hostile-frames.ts";

it("P4, P5: whatever a peer says in its session, what others say is delivered, and nothing throws", () => {
  sayAnything(25);
});
