/** What a user sees of progress, in a terminal and in a log. */
import { Progress } from "@egtp/terminal";
import { describe, expect, test } from "vitest";

function open(stream: { isTTY?: boolean; columns?: number }, env: Record<string, string> = {}) {
  const written: string[] = [];
  let time = 0;
  const progress = new Progress({
    stream: { ...stream, write: (text: string) => written.push(text) },
    env,
    now: () => time,
  });
  const pass = (ms: number): void => {
    time += ms;
  };
  return { progress, written, pass };
}

describe("in a terminal", () => {
  const terminal = { isTTY: true, columns: 60 };

  test("one line with a bar is drawn over itself, with what is left", () => {
    const { progress, written, pass } = open(terminal, { NO_COLOR: "1" });
    progress.tell("0 of 4 seeds", 0);
    pass(10_000);
    progress.tell("1 of 4 seeds", 0.25);
    pass(30_000);
    progress.tell("4 of 4 seeds", 1);
    expect(written).toEqual([
      "\r\x1b[K░░░░░░░░░░░░░░░░░░░░   0 %  0 of 4 seeds",
      "\r\x1b[K█████░░░░░░░░░░░░░░░  25 %, 30 s left  1 of 4 seeds",
      "\r\x1b[K████████████████████ 100 %  4 of 4 seeds",
    ]);
  });

  test("not more often than the eye can follow, and never longer than a line", () => {
    const { progress, written, pass } = open(terminal, { NO_COLOR: "1" });
    for (let n = 0; n < 1_000; n++) {
      progress.tell("x".repeat(200), n / 1_000);
      pass(1);
    }
    expect(written).toHaveLength(10);
    for (const line of written) expect(line.replace("\r\x1b[K", "").length).toBeLessThan(60);
  });

  test("takes a terminal that does not say how wide it is for an ordinary one", () => {
    const { progress, written } = open({ isTTY: true, columns: 0 }, { NO_COLOR: "1" });
    progress.tell("half", 0.5);
    expect(written).toEqual(["\r\x1b[K██████████░░░░░░░░░░  50 %  half"]);
  });

  test("makes room for other words, and comes back", () => {
    const { progress, written } = open(terminal, { NO_COLOR: "1" });
    progress.clear(); // nothing is there yet
    progress.tell("working");
    progress.clear();
    progress.tell("working");
    expect(written).toEqual(["\r\x1b[Kworking", "\r\x1b[K", "\r\x1b[Kworking"]);
  });

  test("is coloured, unless that is not wanted", () => {
    const { progress, written } = open(terminal);
    progress.tell("half", 0.5);
    expect(written[0]).toContain("\x1b[32m██████████\x1b[0m");
  });
});

describe.each([
  ["in a pipe", {}, {}],
  ["in CI", { isTTY: true }, { CI: "true" }],
  ["in a terminal that can nothing", { isTTY: true }, { TERM: "dumb" }],
  ["in a pipe whose colours are forced", {}, { FORCE_COLOR: "1" }],
] as const)("%s", (_, stream, env) => {
  test("a plain line now and then, and none for what is short", () => {
    const { progress, written, pass } = open(stream, env);
    for (let second = 0; second <= 12; second++) {
      progress.tell(`${second} of 12`, second / 12);
      progress.clear();
      pass(1_000);
    }
    expect(written).toEqual(["5 of 12\n", "10 of 12\n"]);
  });
});
