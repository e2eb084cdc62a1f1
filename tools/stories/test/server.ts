/** A metatracker or a relay: the command that anybody would start, in a process of its own, with a folder that outlives it. */
import { spawn } from "node:child_process";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { Child, type Ended, nodeIn } from "./child.ts";
import { commandOf, type Program } from "./command.ts";

interface Listening {
  readonly peer: string;
  readonly addresses: readonly string[];
  readonly bootPage: string | undefined;
  readonly metrics: string;
}

export interface ServerOptions {
  readonly program: Program;
  /** Where it keeps everything. */
  readonly folder: string;
  readonly host: string;
  readonly servesBootPage?: boolean;
  readonly args?: readonly string[];
  /** The network namespace that it is in. */
  readonly namespace?: string;
}

export class Server {
  readonly folder: string;
  readonly #options: ServerOptions;
  /** Where it listens, once it did: it comes back to the same place. */
  #port = "0";
  #bootPagePort = "0";
  #child: Child | undefined;
  #listening: Listening | undefined;

  constructor(options: ServerOptions) {
    this.folder = options.folder;
    this.#options = options;
  }

  get peer(): string {
    return this.#here.peer;
  }

  /** The URL of the boot page that it serves. */
  get bootPage(): string {
    const { bootPage } = this.#here;
    if (bootPage === undefined) throw new Error("It serves no boot page");
    return bootPage;
  }

  /** Starts it, and waits until it listens. */
  async start(): Promise<void> {
    const { program, folder, host, servesBootPage = false, args = [], namespace } = this.#options;
    const place = ["--host", host, "--port", this.#port, "--metrics-port", "0", "--data", folder];
    const bootPagePort = servesBootPage ? ["--bootpage-port", this.#bootPagePort] : [];
    const all = [commandOf(program), ...place, ...bootPagePort, "--allow-private-addresses", "--json", ...args];
    const [command, ...words] = nodeIn(namespace);
    const child = new Child(
      basename(folder),
      spawn(command, [...words, ...all], { stdio: ["ignore", "pipe", "pipe"] }),
    );
    this.#child = child;
    const listening = new Promise<Listening>((resolve) => {
      createInterface({ input: child.process.stdout! }).on("line", (line) => {
        const said = JSON.parse(line) as { readonly event: string } & Listening;
        if (said.event === "listening") resolve(said);
      });
    });
    this.#listening = await child.orFailed(listening);
    const { addresses, bootPage } = this.#listening;
    this.#port = addresses[0]!.slice(addresses[0]!.lastIndexOf(":") + 1);
    if (bootPage !== undefined) this.#bootPagePort = new URL(bootPage).port;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#child?.end("SIGKILL");
  }

  /** Asks it to stop, as a service manager does. */
  stop(): Promise<Ended> {
    return this.#child!.end("SIGTERM");
  }

  /** Stops it in its tracks, as a machine that hangs: its links stand, and nothing answers. */
  freeze(): void {
    this.#child!.process.kill("SIGSTOP");
  }

  /** The sum of a count over all its labels, or of those with one of them. */
  async count(name: string, label = ""): Promise<number> {
    const response = await fetch(`${this.#here.metrics}/metrics`);
    const lines = (await response.text()).split("\n").filter((line) => line.startsWith(name) && line.includes(label));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  get #here(): Listening {
    if (this.#listening === undefined) throw new Error("It was not started");
    return this.#listening;
  }
}
