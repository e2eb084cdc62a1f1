/** Short floods of records and look-ups; flood.slow.test.ts has long ones. */
import { describeRecordFloods } from "./flood-stories.ts";

describeRecordFloods({ strangers: 60, maxRecords: 40, burst: 30, lookUps: 20 });
