/**
 * Where a run of the demo takes place: a temporary folder; a metatracker, a relay and two peers, each in a process of its
 * own; a timeline. The peers accept no connections, and all that they are given is the URL of the boot page.
 *
 * Both stories, with healing and without, begin here in the same way and run to the moment after bob's return.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PeerId } from "@egtp/node";
import { DataFolder } from "./data-folder.ts";
import { DemoActor } from "./demo-actor.ts";
import { partCount } from "./demo-file.ts";
import type { Report, ReportOf, StreamPlan } from "./demo-orders.ts";
import { DemoServer, type LogLine } from "./demo-server.ts";
import { DemoError } from "./errors.ts";
import { seededRandom } from "./seeded-random.ts";
import { count, duration, megabytes, short, type Timeline } from "./timeline.ts";

export interface DemoOptions {
  readonly notes: number;
  readonly fileBytes: number;
  readonly seed: number;
  readonly heals: boolean;
  /** How long alice's stream takes: longer than bob is away, so that she goes on sending when he is back. */
  readonly streamMs: number;
  readonly timeoutMs: number;
}

type Name = "alice" | "bob";

const pings = 25;

export class DemoStage {
  readonly timeline: Timeline;
  readonly folder: string;
  readonly options: DemoOptions;
  /** What alice sends. */
  readonly plan: StreamPlan & { readonly parts: number };
  /** How many effects bob has recorded, as far as he told. */
  #progress = 0;
  #onProgress = (): void => {};
  readonly #script: string;
  readonly #actors = new Map<Name, DemoActor>();
  readonly #servers: DemoServer[] = [];
  #bootPage = "";
  /** The two peers; they have sessions with the servers as well. */
  readonly #ids = new Set<PeerId>();
  readonly #store: "lmdb" | "memory";
  /** What happens to sessions is told only after the loss. */
  #tellsSessions = false;

  static async open(script: string, timeline: Timeline, options: DemoOptions): Promise<DemoStage> {
    const folder = await mkdtemp(join(tmpdir(), "egtp-demo-")).catch((cause: unknown) => {
      throw new DemoError("EGTP_DEMO_DATA", `No folder can be made in ${tmpdir()}`, { cause });
    });
    const store = await import("lmdb").then(
      () => "lmdb" as const,
      () => "memory" as const,
    );
    return new DemoStage(script, timeline, options, folder, store);
  }

  private constructor(
    script: string,
    timeline: Timeline,
    options: DemoOptions,
    folder: string,
    store: "lmdb" | "memory",
  ) {
    this.#script = script;
    this.#store = store;
    this.timeline = timeline;
    this.options = options;
    this.folder = folder;
    const { notes, fileBytes, seed, streamMs, timeoutMs } = options;
    this.plan = { notes, pings, fileBytes, seed, overMs: streamMs, timeoutMs, parts: partCount(fileBytes) };
  }

  pathOf(name: Name, file: string): string {
    return join(this.folder, name, file);
  }

  actor(name: Name): DemoActor {
    return this.#actors.get(name)!;
  }

  /** Brings a peer to life in a process of its own. */
  async enter(name: Name, heals = true): Promise<ReportOf<"ready">> {
    const actor = new DemoActor(this.#script, name, (report) => this.#hear(name, report));
    this.#actors.set(name, actor);
    return actor.ask({ order: "start", folder: join(this.folder, name), bootPage: this.#bootPage, heals }, "ready");
  }

  /** The servers, from nothing: keys, folders and ports of their own. */
  async #openServers(): Promise<void> {
    const { timeline } = this;
    const metatracker = await this.#serve("metatracker", "@egtp/metatracker", ["--bootpage-port", "0"]);
    this.#bootPage = String(metatracker.bootPage);
    timeline.tell("demo", `a metatracker, where peers are looked up, runs; all that the others get is its boot page:`);
    timeline.tell("demo", this.#bootPage);
    const relay = await this.#serve("relay", "@egtp/relay", ["--boot-page", this.#bootPage]);
    timeline.tell("demo", `a relay, which passes envelopes along and keeps mail, runs: ${short(String(relay.peer))}`);
  }

  async #serve(name: string, program: string, args: readonly string[]): Promise<LogLine> {
    const place = ["--host", "127.0.0.1", "--port", "0", "--data", join(this.folder, name), "--store", this.#store];
    // The whole demo takes place on loopback.
    const server = new DemoServer(name, program, [...place, "--allow-private-addresses", ...args]);
    this.#servers.push(server);
    return server.line("listening");
  }

  /** The first act: both appear, find each other and talk. */
  async begin(): Promise<{ readonly alice: ReportOf<"ready">; readonly bob: ReportOf<"ready"> }> {
    const { timeline } = this;
    await this.#openServers();
    const [alice, bob] = await Promise.all([this.enter("alice"), this.enter("bob")]);
    this.#ids.add(alice.peer).add(bob.peer);
    for (const [name, { peer, ways }] of [["alice", alice] as const, ["bob", bob] as const]) {
      timeline.tell(name, `process ${this.actor(name).pid}, is ${peer}`);
      timeline.tell(name, `accepts no connections; found the relay by the boot page, and is reached by ${ways}`);
    }
    if (alice.store === "memory") {
      timeline.tell("demo", "lmdb does not load on this machine: sessions are kept in memory, which is as good here");
    }
    const met = await Promise.all([
      this.actor("alice").ask({ order: "meet", peer: bob.peer, n: 0 }, "met"),
      this.actor("bob").ask({ order: "meet", peer: alice.peer, n: 0 }, "met"),
    ]);
    timeline.tell(
      "alice",
      `knows bob's ID alone: looks ${short(bob.peer)} up, asks, has an answer after ${duration(met[0].tookMs)}`,
    );
    timeline.tell("bob", `asks ${short(alice.peer)} in turn: answered after ${duration(met[1].tookMs)}`);
    return { alice, bob };
  }

  /** The second act: in the middle of a stream bob dies and all his sessions are lost. */
  async killInMidStream(streamed: Promise<unknown>): Promise<{ readonly atEffects: number; readonly at: number }> {
    const { timeline, plan, options } = this;
    const { notes, parts } = plan;
    const target = Math.ceil((notes + pings + parts) * (0.15 + 0.3 * seededRandom(options.seed, 0)));
    const delayMs = 20 * seededRandom(options.seed, 1);
    const reached = new Promise<void>((resolve) => {
      this.#onProgress = () => {
        if (this.#progress >= target) setTimeout(resolve, delayMs);
      };
    });
    const isTooLate = await Promise.race([reached.then(() => false), streamed.then(() => true)]);
    if (isTooLate) throw new DemoError("EGTP_DEMO_TOO_LATE", "The stream ended before bob could be killed");
    const at = performance.timeOrigin + performance.now();
    await this.actor("bob").kill();
    timeline.tell("bob", `is killed with kill -9, ${count(this.#progress)} effects on record, in mid-stream`, "red");
    await (await DataFolder.open(join(this.folder, "bob"))).deleteSessions();
    timeline.tell("demo", "deletes all of bob's sessions. What is left: his identity and his record of effects", "red");
    return { atEffects: this.#progress, at };
  }

  /** The third act begins: bob again, who knows nothing of alice. */
  async returnBob(): Promise<ReportOf<"ready">> {
    this.#tellsSessions = true;
    const bob = await this.enter("bob", this.options.heals);
    this.timeline.tell(
      "bob",
      `is back: same ID, new process ${this.actor("bob").pid}, no session, and mail is waiting for him at the relay`,
    );
    return bob;
  }

  describeStream(): string {
    const { notes, parts, fileBytes } = this.plan;
    const file = parts > 0 ? ` and a file of ${megabytes(fileBytes)} in ${parts} parts` : "";
    return `streams to bob: ${count(notes)} notes, ${pings} questions${file}`;
  }

  /** Lets the peers end by themselves. */
  async end(): Promise<void> {
    await Promise.all([...this.#actors.values()].map((actor) => actor.ask({ order: "stop" }, "stopped")));
    await Promise.all(this.#servers.map((server) => server.stop()));
  }

  /** Ends what still runs. @param keep - Leave the folder. */
  async close(keep: boolean): Promise<void> {
    await Promise.all([...this.#actors.values(), ...this.#servers].map((each) => each.kill()));
    if (!keep) await rm(this.folder, { recursive: true, force: true });
  }

  #hear(name: Name, report: Report): void {
    if (report.report === "progress" && name === "bob") {
      this.#progress = report.effects;
      const { notes, parts } = this.plan;
      const all = notes + pings + parts;
      this.timeline.progress(`${count(report.effects)} of ${count(all)} effects on bob's record`, report.effects / all);
      this.#onProgress();
    } else if (report.report === "session" && this.#tellsSessions && this.#ids.has(report.peer)) {
      const text = sessionTexts[`${name} ${report.state}`];
      if (text !== undefined) this.timeline.tell(name, text);
    }
  }
}

const sessionTexts: Readonly<Record<string, string>> = {
  "bob unreadable": "is handed an envelope of alice under a session that he has no more, and cannot read it",
  "alice restarted": "learns from his answer that bob started anew, and sends again what he has not handled",
  "bob established": "has a new session with alice",
};
