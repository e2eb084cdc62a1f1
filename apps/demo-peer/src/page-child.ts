/** A process of the stage behind the page: this program again, which is told things and tells things until it is killed. */
import { type ChildProcess, fork } from "node:child_process";
import { DemoError } from "./errors.ts";

export class PageChild<Told, Tells> {
  /** Resolves when the process is gone. */
  readonly gone: Promise<void>;
  readonly #process: ChildProcess;

  /**
   * @param script - The program's own file.
   * @param word - What makes the command line become this process.
   */
  constructor(script: string, word: string, onTold: (what: Tells) => void) {
    this.#process = fork(script, [word], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    this.#process.on("message", onTold);
    this.gone = new Promise((resolve) => this.#process.once("exit", () => resolve()));
    this.#process.on("error", () => {}); // it is gone then
  }

  /** The first thing of this kind that it tells from now on. Rejects with {@link DemoError} when it ends before. */
  first<Kind extends Tells>(isIt: (what: Tells) => what is Kind): Promise<Kind> {
    return new Promise((resolve, reject) => {
      this.#process.on("message", (what: Tells) => {
        if (isIt(what)) resolve(what);
      });
      void this.gone.then(() => reject(new DemoError("EGTP_DEMO_PROCESS_ENDED", "A process behind the page ended")));
    });
  }

  tell(what: Told): void {
    if (this.#process.connected) this.#process.send(what as object, () => {});
  }

  /** `kill -9`: no time for a goodbye. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.gone;
  }
}

/** In such a process: takes what it is told until its parent is gone. */
export function obeyParent<Told>(obey: (what: Told) => Promise<void> | void): Promise<void> {
  return new Promise((_, reject) => {
    process.on("message", (what: Told) => {
      Promise.resolve(obey(what)).catch(reject);
    });
    process.on("disconnect", () => process.exit(0));
    process.on("SIGINT", () => {}); // Ctrl-C in a terminal goes to all; the parent decides
  });
}

export function tellParent<Tells>(what: Tells): void {
  if (process.connected) process.send!(what as object);
}
