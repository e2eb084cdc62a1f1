/**
 * What stands behind the page of `demo --ui`: a metatracker, a relay and a peer called bob, each in a process of its own. The
 * page is a peer like bob; what passes between the two passes through the relay, and none of it through here.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PeerId } from "@egtp/node";
import { DataFolder } from "./data-folder.ts";
import { DemoServer } from "./demo-server.ts";
import { PageChild } from "./page-child.ts";
import type { News, PageOrder, Roll } from "./page-news.ts";
import { otherWord, type TellOther } from "./page-other-process.ts";
import { type RelayIsUp, type RelayPorts, relayWord, type StartRelay } from "./page-relay-process.ts";

type Other = PageChild<TellOther, News>;
type Relay = PageChild<StartRelay, RelayIsUp | News>;

export class PageStage {
  readonly #script: string;
  readonly #folder: string;
  readonly #metatracker: DemoServer;
  readonly #tell: (news: News) => void;
  /** Tabs whose connection to us is open. Bounded by the connections that the page's server takes. */
  readonly #tabs = new Set<{ readonly peer: PeerId; readonly name: string }>();
  #roll!: Roll;
  #relay!: Relay;
  #ports: RelayPorts = { tcp: 0, websocket: 0 };
  #other!: Other;
  /** Orders are carried out one after the other. */
  #work: Promise<void> = Promise.resolve();
  #isClosed = false;

  /** @param tell - Told of everything that pages shall know. */
  static async open(script: string, tell: (news: News) => void): Promise<PageStage> {
    const folder = await mkdtemp(join(tmpdir(), "egtp-demo-"));
    const place = ["--host", "127.0.0.1", "--port", "0", "--ws-port", "0", "--data", join(folder, "metatracker")];
    const flags = ["--store", "memory", "--allow-private-addresses", "--bootpage-port", "0"];
    const metatracker = new DemoServer("metatracker", "@egtp/metatracker", [...place, ...flags]);
    const stage = new PageStage(script, folder, metatracker, tell);
    try {
      const { bootPage, peer } = await metatracker.line("listening");
      const nobody = { peer: "" as PeerId, isUp: false };
      stage.#roll = {
        what: "roll",
        bootPage: String(bootPage),
        metatracker: peer as PeerId,
        relay: nobody,
        other: nobody,
        heals: true,
        tabs: [],
      };
      await stage.#startRelay();
      await stage.#startOther();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  private constructor(script: string, folder: string, metatracker: DemoServer, tell: (news: News) => void) {
    this.#script = script;
    this.#folder = folder;
    this.#metatracker = metatracker;
    this.#tell = tell;
  }

  get roll(): Roll {
    return this.#roll;
  }

  /** A tab is there, until the returned function is called. */
  enter(peer: PeerId, name: string): () => void {
    const tab = { peer, name };
    this.#tabs.add(tab);
    this.#tabsChanged();
    return () => {
      this.#tabs.delete(tab);
      this.#tabsChanged();
    };
  }

  /** Resolves when it is done. */
  carryOut(order: PageOrder): Promise<void> {
    const done = this.#work.then(() => (this.#isClosed ? undefined : this.#carryOut(order)));
    this.#work = done.catch(() => {});
    return done;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#work;
    await Promise.all([this.#relay?.kill(), this.#other?.kill(), this.#metatracker.kill()]);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #carryOut(order: PageOrder): Promise<void> {
    switch (order.order) {
      case "forget": {
        this.#change({ other: { ...this.#roll.other, isUp: false } });
        await this.#other.kill();
        await (await DataFolder.open(join(this.#folder, "bob"))).deleteSessions();
        await this.#startOther();
        return;
      }
      case "kill-relay":
        await this.#relay.kill();
        this.#change({ relay: { ...this.#roll.relay, isUp: false } });
        return;
      case "start-relay":
        if (!this.#roll.relay.isUp) await this.#startRelay();
        return;
      case "heal":
        this.#other.tell({ tell: "heal", on: order.on });
        this.#change({ heals: order.on });
        return;
    }
  }

  /** The same relay each time: its key, its mailboxes and its ports stay. */
  async #startRelay(): Promise<void> {
    const relay: Relay = new PageChild(this.#script, relayWord, (told) => {
      if (told.what !== "up") this.#tell(told);
    });
    this.#relay = relay;
    relay.tell({ folder: join(this.#folder, "relay"), bootPage: this.#roll.bootPage, ports: this.#ports });
    const { peer, ports } = await relay.first((told) => told.what === "up");
    this.#ports = ports;
    this.#change({ relay: { peer, isUp: true } });
  }

  async #startOther(): Promise<void> {
    const other: Other = new PageChild(this.#script, otherWord, this.#tell);
    this.#other = other;
    const { bootPage, heals } = this.#roll;
    other.tell({ tell: "start", folder: join(this.#folder, "bob"), bootPage, heals });
    this.#tellPeers();
    const { peer } = await other.first((news) => news.what === "other");
    this.#change({ other: { peer, isUp: true } });
  }

  #tabsChanged(): void {
    if (this.#isClosed) return;
    this.#change({ tabs: [...this.#tabs] });
    this.#tellPeers();
  }

  #tellPeers(): void {
    this.#other.tell({ tell: "peers", peers: [...this.#tabs].map(({ peer }) => peer) });
  }

  #change(part: Partial<Roll>): void {
    this.#roll = { ...this.#roll, ...part };
    this.#tell(this.#roll);
  }
}
