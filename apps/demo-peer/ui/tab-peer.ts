/** The peer that this tab is: its key and its sessions lie in this browser, and it forgets as a crash would make it. */
import { metatrackers } from "@egtp/metatracker";
import { createNode, type EgtpNode, type PeerId, type SendOutcome } from "@egtp/node";
import { loadIdentity } from "@egtp/node/browser-identity";
import { websocket } from "@egtp/node/websocket";
import { relayClient } from "@egtp/relay";
import { IndexedDbSessionStore, StoreError } from "@egtp/session-store/indexeddb";
import { chatText, filePiece } from "../src/messages.ts";
import { type CollectedFile, maxDroppedBytes, PieceCollector, pieceBytes } from "../src/piece-collector.ts";
import { withoutOffers } from "../src/transport-filter.ts";

/** As many tabs at a time may be peers. */
const maxTabs = 9;
const nameKey = "egtp-tab";
const forgetKey = "egtp-forget";
/** What waits for bob may wait long: that is what there is to see here. */
const patient = { failFast: false, softTimeoutMs: 1_500, timeoutMs: 600_000 };

export interface TabPeerOptions {
  readonly bootPage: string;
  /** Whether session messages leave. */
  readonly heals: () => boolean;
  readonly onText: (from: PeerId, text: string) => void;
  readonly onFile: (file: CollectedFile) => void;
}

export class TabPeer {
  readonly node: EgtpNode;
  /** What this tab is called here: "tab 1". */
  readonly name: string;

  static async start({ bootPage, heals, onText, onFile }: TabPeerOptions): Promise<TabPeer> {
    const { name, sessions } = await takeName();
    const node = await createNode({
      identity: await loadIdentity(name),
      sessions,
      transports: [websocket()],
      lookup: metatrackers({ bootPages: [bootPage] }),
      parts: [
        withoutOffers(
          relayClient(),
          () => !heals(),
          () => {},
        ),
      ],
      allowPrivateAddresses: true, // all of this takes place on one machine
      limits: { node: { maxRetryMs: 1_000 } }, // who watches has less patience than a program
    });
    node.handle(chatText, ({ from, body }) => onText(from, body.text));
    const files = new PieceCollector(onFile);
    node.handle(filePiece, ({ from, body }) => files.take(from, body));
    return new TabPeer(node, name);
  }

  private constructor(node: EgtpNode, name: string) {
    this.node = node;
    this.name = name;
  }

  /** @returns What became of it so far: what a relay keeps ends once more, as an event. */
  say(to: PeerId, text: string): Promise<SendOutcome> {
    return this.node.send(to, chatText, { text, name: this.name }, patient);
  }

  /** @throws `RangeError` for one that is too large. */
  async give(to: PeerId, file: File, onProgress: (part: number) => void): Promise<void> {
    if (file.size > maxDroppedBytes) throw new RangeError("A file for this page has at most 32 MB");
    const bytes = new Uint8Array(await file.arrayBuffer());
    const count = Math.max(1, Math.ceil(bytes.length / pieceBytes));
    const id = crypto.randomUUID();
    let done = 0;
    const sends: Promise<unknown>[] = [];
    for (let index = 0; index < count; index++) {
      await this.node.ready(to);
      const piece = bytes.slice(index * pieceBytes, (index + 1) * pieceBytes);
      const body = { file: id, name: file.name, index, count, bytes: piece };
      sends.push(
        this.node.send(to, filePiece, body, patient).then(() => {
          done += 1;
          onProgress(done / count);
        }),
      );
    }
    await Promise.all(sends);
  }
}

/** Loses all sessions without a word to anybody, as a crash would, and begins anew with the same key. */
export function forgetAndReload(): void {
  sessionStorage.setItem(forgetKey, "yes");
  location.reload();
}

/** The first name that no other tab has; a tab that is loaded again keeps its own. */
async function takeName(): Promise<{ name: string; sessions: IndexedDbSessionStore }> {
  const own = sessionStorage.getItem(nameKey);
  const names = Array.from({ length: maxTabs }, (_, index) => `tab ${index + 1}`);
  for (const name of own === null ? names : [own, ...names]) {
    try {
      if (sessionStorage.getItem(forgetKey) !== null) {
        await IndexedDbSessionStore.delete(name);
        sessionStorage.removeItem(forgetKey);
      }
      const sessions = await IndexedDbSessionStore.open(name);
      sessionStorage.setItem(nameKey, name);
      return { name, sessions };
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "EGTP_STORE_LOCKED") throw error;
    }
  }
  throw new Error(`There are ${maxTabs} tabs open already`);
}
