/**
 * What the model is asked. Each combination of faults is small enough to be searched completely: a fault that needs more of
 * them at once is left to the simulator, which tries millions of longer stories and none of them completely.
 */
import type { Question } from "./spin.ts";

export const questions: readonly Question[] = [
  { name: "stores that cannot judge a first contact", bounds: { YOUNG: 1 } },
  { name: "an envelope lost, and a list of one session", bounds: { LIST: 1, LOSSES: 1, EARLY_TIMERS: 1, MAILS: 2 } },
  { name: "two envelopes lost", bounds: { LOSSES: 2 } },
  { name: "a timer that fires too early", bounds: { EARLY_TIMERS: 1, ESTABLISHED: 1 } },
  { name: "a stranger's envelope", bounds: { FORGERIES: 1, ESTABLISHED: 1 } },
  { name: "a store lost", bounds: { FORGETS: 1, MAILS: 2 } },
  { name: "two stores lost, or one twice", bounds: { FORGETS: 2, MAILS: 1 }, isLarge: true },
];

/** A minute or more each, and up to half a gigabyte of memory. */
export const longQuestions: readonly Question[] = [
  { name: "a restart with its store", bounds: { RESTARTS: 1, MAILS: 2 }, isLarge: true },
  { name: "stores that cannot judge, and one lost", bounds: { YOUNG: 1, FORGETS: 1, MAILS: 2 }, isLarge: true },
];

export const brokenModels: readonly Question[] = [
  // The deadlock of 2004: what came through a relay is not answered.
  { name: "without answers", bounds: { FORGETS: 1, MAILS: 2 }, without: "ANSWERS" },
  { name: "without vouching for each other's offers", bounds: { YOUNG: 1 }, without: "VOUCHING" },
  { name: "with a new offer for each answer", bounds: { FORGETS: 1, MAILS: 2 }, without: "THE_SAME_OFFER" },
  { name: "without a leader", bounds: { EARLY_TIMERS: 1, MAILS: 2 }, without: "LEADER" },
  { name: "when the leader is followed to each session once", bounds: { FORGERIES: 1 }, without: "FOLLOWING_AGAIN" },
];
