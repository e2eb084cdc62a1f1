/** Floods as in flood.test.ts, of more peers. */
import { describeRecordFloods } from "./flood-stories.ts";

describeRecordFloods({ strangers: 1_000, maxRecords: 400, burst: 300, lookUps: 100 });
