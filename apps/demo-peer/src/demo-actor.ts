/** A child process with one peer in it, as its parent sees it: orders go in, reports come out, `kill -9` ends it. */
import { type ChildProcess, fork } from "node:child_process";
import type { Order, Report, ReportOf } from "./demo-orders.ts";
import { DemoError } from "./errors.ts";

/** The word that makes the command line become an actor. */
export const actorCommand = "demo-peer-process";

interface Waiting {
  readonly kind: Report["report"];
  readonly resolve: (report: never) => void;
  readonly reject: (error: unknown) => void;
}

export class DemoActor {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #waiting: Waiting[] = [];
  /** The first report of each kind. */
  readonly #firsts = new Map<Report["report"], Report>();
  readonly #gone: Promise<void>;
  #failure: DemoError | undefined;

  /**
   * @param script - The program's own file.
   * @param onReport - Told of every report; whoever waits for one is told as well.
   */
  constructor(script: string, name: string, onReport: (report: Report) => void) {
    this.name = name;
    this.#process = fork(script, [actorCommand, name], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#process.on("message", (report: Report) => {
      if (report.report === "failed") {
        this.#fail(new DemoError("EGTP_DEMO_PROCESS_ENDED", `${name}: ${report.message}`, { hint: report.hint }));
        return;
      }
      if (!this.#firsts.has(report.report)) this.#firsts.set(report.report, report);
      onReport(report);
      for (const waiting of this.#waiting.filter(({ kind }) => kind === report.report)) {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        waiting.resolve(report as never);
      }
    });
    this.#process.on("error", (cause) =>
      this.#fail(new DemoError("EGTP_DEMO_PROCESS_ENDED", `The process of ${name} cannot be used`, { cause })),
    );
    this.#gone = new Promise((resolve) => {
      this.#process.on("exit", (code, signal) => {
        this.#fail(new DemoError("EGTP_DEMO_PROCESS_ENDED", `The process of ${name} ended (${signal ?? code})`));
        resolve();
      });
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** The first report of a kind, also when it came already. Rejects like {@link ask}. */
  first<Kind extends Report["report"]>(kind: Kind): Promise<ReportOf<Kind>> {
    const report = this.#firsts.get(kind);
    return report === undefined ? this.#next(kind) : Promise.resolve(report as ReportOf<Kind>);
  }

  /** Gives an order and waits for its answer. Rejects with {@link DemoError} when the process fails or ends before. */
  ask<Kind extends Report["report"]>(order: Order, kind: Kind): Promise<ReportOf<Kind>> {
    const answer = this.#next(kind);
    // One that ended says so by itself.
    if (this.#process.connected) this.#process.send(order, () => {});
    return answer;
  }

  #next<Kind extends Report["report"]>(kind: Kind): Promise<ReportOf<Kind>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const report = new Promise<ReportOf<Kind>>((resolve, reject) => this.#waiting.push({ kind, resolve, reject }));
    report.catch(() => {}); // it may be awaited later than it fails
    return report;
  }

  /** `kill -9`: no time for a goodbye, a receipt or a save. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#gone;
  }

  #fail(error: DemoError): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}
