#!/usr/bin/env node
/** `pnpm model`: searches the model of renegotiation for deadlocks, livelocks and peers that do not agree. */
import { parseArgs } from "node:util";
import { paintFor } from "@egtp/metatracker/command";
import { Progress } from "@egtp/terminal";
import { brokenModels, longQuestions, questions } from "./questions.ts";
import { type Answer, missingProgram, type Question, search } from "./spin.ts";

const usage = `pnpm model [options]

Searches every state of the model of two peers who make, lose and heal their sessions, for several combinations of faults, and then
the model with one rule left out at a time, in which a fault must be found. Needs spin and gcc.

  --long       larger bounds too: minutes, and half a gigabyte of memory
  --story      what happens on the way to each fault that was found
  --json       one JSON object for each search instead of text
  --help

Exit codes: 0 no fault in the model and one in each broken one, 1 otherwise, 2 the command line is wrong or spin is missing.
`;

const options = {
  long: { type: "boolean", default: false },
  story: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

const paint = paintFor(process.stdout);

async function main(): Promise<number> {
  let values: ReturnType<typeof parse>;
  try {
    values = parse();
  } catch (error) {
    return complain(`${(error as Error).message}\n\n${usage}`);
  }
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const missing = await missingProgram();
  if (missing !== undefined) return complain(`${missing} is missing: apt-get install spin gcc.\n`);

  const sound = values.long ? [...questions, ...longQuestions] : questions;
  const progress = new Progress();
  let searched = 0;
  const report = async (question: Question, isBroken: boolean): Promise<boolean> => {
    progress.tell(question.name, searched / (sound.length + brokenModels.length));
    const answer = await search(question);
    searched += 1;
    progress.clear();
    const isRight = (answer.fault !== undefined) === isBroken;
    process.stdout.write(values.json ? `${JSON.stringify({ ...answer, isRight })}\n` : describe(answer, isRight));
    if (values.story && !values.json) for (const line of answer.story) process.stdout.write(`    ${line}\n`);
    return isRight;
  };
  let wrong = 0;
  for (const question of sound) if (!(await report(question, false))) wrong += 1;
  for (const question of brokenModels) if (!(await report(question, true))) wrong += 1;
  if (!values.json) {
    const verdict = wrong === 0 ? paint("green", "all as it must be") : paint("red", `FAILED: ${wrong} are not`);
    process.stdout.write(`${verdict}\n`);
  }
  return wrong === 0 ? 0 : 1;
}

function describe({ question, fault, states, depth, seconds }: Answer, isRight: boolean): string {
  const found = fault === undefined ? "no fault" : `found: ${fault}`;
  const figures = `${states} states, depth ${depth}, ${seconds.toFixed(1)} s`;
  return `${isRight ? paint("green", "ok  ") : paint("red", "FAIL")} ${question.name}: ${found} (${figures})\n`;
}

function complain(what: string): number {
  process.stderr.write(what);
  return 2;
}

function parse() {
  const args = process.argv.slice(2).filter((arg) => arg !== "--");
  return parseArgs({ args, options }).values;
}

process.exitCode = await main();
