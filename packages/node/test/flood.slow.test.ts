/** Floods as in flood.test.ts, of half a minute each, and more connections. */
import { describeFloods } from "./flood-stories.ts";

describeFloods({ envelopes: 300_000, connections: 30_000, strangerMs: 5_000 });
