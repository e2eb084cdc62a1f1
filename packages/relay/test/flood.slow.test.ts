/** Floods of mail as in flood.test.ts, within the bounds that mailboxes have by default. */
import { defaultMailboxLimits } from "../src/server.ts";
import { describeMailFloods } from "./flood-stories.ts";

const { maxMessages, maxSenderMessages, maxStrangerMessages } = defaultMailboxLimits;

describeMailFloods({
  mailbox: { maxMessages, maxSenderMessages, maxStrangerMessages },
  newMailboxes: 100,
  // Less than strangers may leave in a mailbox.
  burst: 4_000,
});
