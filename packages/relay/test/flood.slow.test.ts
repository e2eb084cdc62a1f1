/** Floods of mail as in flood.test.ts, within the bounds that a relay has by default. */
import { defaultMailboxLimits, defaultRelayServerLimits } from "../src/server.ts";
import { describeMailFloods } from "./flood-stories.ts";

const { maxMessages, maxSenderMessages, maxStrangerMessages } = defaultMailboxLimits;

describeMailFloods({
  mailbox: { maxMessages, maxSenderMessages, maxStrangerMessages },
  newMailboxes: 100,
  burst: defaultRelayServerLimits.stranger.messages.burst,
});
