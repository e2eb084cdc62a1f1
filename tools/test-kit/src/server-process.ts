/** The command in a process of its own, as a user or a script sees it. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** What a relay and a metatracker say first. */
export interface Listening {
  readonly peer: string;
  readonly addresses: readonly string[];
  readonly bootPage: string;
  readonly metrics: string;
}

export class ServerProcess {
  /** Resolves with the exit code and what was written to standard error. */
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting: { readonly event: string; readonly resolve: (line: string) => void }[] = [];

  /** @param main - The source file of the command. */
  constructor(main: URL, ...args: readonly string[]) {
    const child = spawn(
      process.execPath,
      ["--conditions=@egtp/source", "--import", "tsx", fileURLToPath(main), "--json", ...args],
      {
        cwd: root,
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    this.#process = child;
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.#lines.push(line);
      for (const waiting of this.#waiting.filter(({ event }) => eventOf(line) === event)) {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        waiting.resolve(line);
      }
    });
    this.ended = new Promise((resolve) => {
      child.on("close", (code) => resolve({ code, stderr }));
    });
  }

  /** The first line with that event, past or to come. Rejects when the process ends without it. */
  async event(event: string): Promise<Record<string, unknown>> {
    const found = this.#lines.find((line) => eventOf(line) === event);
    const line =
      found ??
      (await new Promise<string>((resolve, reject) => {
        this.#waiting.push({ event, resolve });
        void this.ended.then(({ code, stderr }) => reject(new Error(`It ended with ${code}: ${stderr}`)));
      }));
    return JSON.parse(line) as Record<string, unknown>;
  }

  async listening(): Promise<Listening> {
    return (await this.event("listening")) as unknown as Listening;
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }
}

function eventOf(line: string): unknown {
  return (JSON.parse(line) as { event?: unknown }).event;
}
