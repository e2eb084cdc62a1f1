/** The command `demo`: runs one of the two stories, prints it and judges it. */
import { randomInt } from "node:crypto";
import { paintFor } from "@egtp/metatracker/command";
import { EgtpError } from "@egtp/node";
import { Progress } from "@egtp/terminal";
import * as z from "zod/mini";
import { readOptions, wholeNumber } from "./command-line.ts";
import { type DeadlockFigures, deadlockLines, runDeadlock } from "./demo-deadlock.ts";
import { type HealingFigures, healingLines, runHealing } from "./demo-healing.ts";
import { DemoStage } from "./demo-stage.ts";
import { DemoError } from "./errors.ts";
import { exitCodes } from "./exit-code.ts";
import { servePage } from "./page-command.ts";
import { listenForStop } from "./stop-signal.ts";
import { Timeline } from "./timeline.ts";

export const demoUsage = `Usage: egtp-demo-peer demo [options]

A metatracker, a relay and two peers behind it. One of them is killed with kill -9 in mid-stream,
its sessions are deleted, and it comes back. Ends with 0 only if no message was lost and every effect
happened once; else with 1.

  --ui               instead, serve a page that is a peer itself, and shows all this live, until Ctrl-C
  --port N           of the page; default: one that the system picks
  --no-heal          the same with the healing switched off: the deadlock of 2004; 0 if it was shown
  --seed N           repeat the random moment of an earlier run
  --messages N       notes that alice sends (2000)
  --megabytes N      size of the file (24); 0: no file
  --seconds N        how long alice streams (4)
  --timeout SECONDS  give up after this (60)
  --keep             leave the data in its folder; also done when the demo fails
  --json             print one JSON object with all figures, and no timeline
  --help             print this
`;

const specs = {
  ui: { type: "boolean" },
  port: { type: "string" },
  "no-heal": { type: "boolean" },
  seed: { type: "string" },
  messages: { type: "string" },
  megabytes: { type: "string" },
  seconds: { type: "string" },
  timeout: { type: "string" },
  keep: { type: "boolean" },
  json: { type: "boolean" },
} as const;

const schema = z.object({
  ui: z._default(z.boolean(), false),
  port: z._default(wholeNumber(0, 65_535), 0),
  "no-heal": z._default(z.boolean(), false),
  seed: z.optional(wholeNumber(0, 2 ** 32 - 1)),
  messages: z.optional(wholeNumber(100, 30_000)),
  megabytes: z.optional(wholeNumber(0, 1_000)),
  seconds: z.optional(wholeNumber(1, 600)),
  timeout: z.optional(wholeNumber(1, 3_600)),
  keep: z._default(z.boolean(), false),
  json: z._default(z.boolean(), false),
});

type Figures = HealingFigures | DeadlockFigures;

export async function demoCommand(args: readonly string[]): Promise<number> {
  const { options } = readOptions(args, specs, schema);
  const { json, keep } = options;
  if (options.ui) return servePage(process.argv[1]!, { port: options.port, json });
  const paint = paintFor(process.stdout);
  const timeline = json
    ? new Timeline(() => {}, paint)
    : new Timeline((line) => console.log(line), paint, new Progress());
  const timeoutMs = (options.timeout ?? 60) * 1_000;
  const seed = options.seed ?? randomInt(1_000_000);
  const heals = !options["no-heal"];
  const stage = await DemoStage.open(process.argv[1]!, timeline, {
    notes: options.messages ?? 2_000,
    fileBytes: (options.megabytes ?? 24) * 1_000_000,
    seed,
    heals,
    streamMs: (options.seconds ?? 4) * 1_000,
    timeoutMs,
  });
  const stop = listenForStop();
  const clock = endAfter(timeoutMs);
  let keeps = true;
  try {
    timeline.say(
      heals
        ? "Two peers, named by their public keys. One dies in mid-stream and loses all its sessions."
        : "The same two peers with the healing switched off, as in 2004.",
      "bold",
    );
    timeline.say(`Run it again with: demo${heals ? "" : " --no-heal"} --seed ${seed}. Data: ${stage.folder}`, "dim");
    timeline.say("");
    const story: Promise<Figures> = heals ? runHealing(stage) : runDeadlock(stage);
    story.catch(() => {}); // it loses a race when time is up, and then fails as its processes end
    const figures = await Promise.race([story, stop.stopped, clock.ended]);
    if (typeof figures === "number") {
      keeps = keep;
      return 128 + figures;
    }
    keeps = keep || !figures.ok;
    if (json) console.log(JSON.stringify(keeps ? { ...figures, folder: stage.folder } : figures));
    else printVerdict(figures, timeline);
    return figures.ok ? exitCodes.ok : exitCodes.failed;
  } catch (error) {
    if (!json || !(error instanceof EgtpError)) throw error;
    const { message, code } = error;
    console.log(JSON.stringify({ ok: false, faults: [message], code, heals, seed, folder: stage.folder }));
    return exitCodes.failed;
  } finally {
    stop.cancel();
    clock.cancel();
    await stage.close(keeps);
    if (keeps) (json ? console.error : console.log)(`The data of this run is in ${stage.folder}`);
  }
}

function printVerdict(figures: Figures, timeline: Timeline): void {
  timeline.say("");
  const lines = figures.heals ? healingLines(figures) : deadlockLines(figures);
  for (const [label, text] of lines) timeline.say(`  ${label.padEnd(19)} ${text}`);
  timeline.say("");
  for (const fault of figures.faults) timeline.say(`  ${fault}`, "red");
  if (figures.heals) {
    if (figures.ok) {
      timeline.say("It holds: no message was lost, and every effect happened once.", "green");
      timeline.say("See it live in your browser, as a peer yourself: add --ui", "dim");
    } else timeline.say("It does NOT hold, see above.", "red");
  } else if (figures.ok) {
    timeline.say("Deadlock: bob cannot read alice, she does not know it, and nothing will ever get through.", "yellow");
    timeline.say(
      "In 2004 this was the end, for everybody who spoke through a relay. Run it without --no-heal to see the cure.",
    );
  } else timeline.say("The deadlock was NOT shown, see above.", "red");
}

/** Fails after a time. */
function endAfter(ms: number): { readonly ended: Promise<never>; readonly cancel: () => void } {
  let cancel = (): void => {};
  const ended = new Promise<never>((_, reject) => {
    const timer = setTimeout(
      () => reject(new DemoError("EGTP_DEMO_TIMEOUT", `The demo was not over after ${ms / 1000} s`)),
      ms,
    );
    cancel = () => clearTimeout(timer);
  });
  return { ended, cancel };
}
