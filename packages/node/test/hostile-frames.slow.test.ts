/** Half a million envelopes of frames that nobody sends. */
import { it } from "vitest";
import { sayAnything } from "./hostile-frames.ts";

it("P4, P5: whatever a peer says in its session, what others say is delivered, and nothing throws", () => {
  sayAnything(2_500);
}, 3_600_000);
