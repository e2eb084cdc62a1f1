/** Short floods of mail; flood.slow.test.ts has long ones. */
import { describeMailFloods } from "./flood-stories.ts";

describeMailFloods({
  mailbox: { maxMessages: 1_200, maxSenderMessages: 500, maxStrangerMessages: 500 },
  newMailboxes: 12,
  burst: 200,
});
