/** Short floods over real sockets; flood.slow.test.ts has long ones. */
import { describeFloods } from "./flood-stories.ts";

describeFloods({ envelopes: 4_000, connections: 600, strangerMs: 400 });
