/**
 * A chat in which each tab is a peer with a key of its own. Neither tab can be dialled: they find a relay by the boot page that
 * stands in the link, and the relay passes along what it cannot read, and keeps it while the other tab is closed.
 */
import { metatrackers } from "@egtp/metatracker";
import { createNode, defineMessage, type PeerId } from "@egtp/node";
import { loadIdentity } from "@egtp/node/browser-identity";
import { websocket } from "@egtp/node/websocket";
import { relayClient } from "@egtp/relay";
import { IndexedDbSessionStore, StoreError } from "@egtp/session-store/indexeddb";
import * as z from "zod/mini";

const say = defineMessage("chat/say", { body: z.object({ text: z.string().check(z.maxLength(10_000)) }) });

const link = new URL(location.href); // …/?boot=URL, and &peer=ID in an invitation
const { name, sessions } = await takeName();
const node = await createNode({
  identity: await loadIdentity(name), // a key in this browser, made when there is none
  sessions,
  transports: [websocket()],
  lookup: metatrackers({ bootPages: [link.searchParams.get("boot") ?? ""] }),
  parts: [relayClient()],
  keepOutbox: true, // what is not delivered goes on when this tab is opened again
  allowPrivateAddresses: true, // the servers of this example are on this machine
});
const field = (id: string) => document.getElementById(id) as HTMLInputElement;

node.handle(say, ({ from, body }) => {
  field("peer").value ||= from;
  show(`${from.slice(0, 6)}: ${body.text}`);
});
document.forms[0]!.onsubmit = async (event) => {
  event.preventDefault();
  const text = field("text").value;
  field("text").value = "";
  const state = show(`you: ${text}`);
  try {
    const patient = { failFast: false, timeoutMs: 7 * 86_400_000 };
    const outcome = await node.send(field("peer").value as PeerId, say, { text }, patient);
    state.textContent = outcome.state === "stored" ? "waits at a relay" : outcome.state;
  } catch (error) {
    state.textContent = String(error); // not the ID of a peer, for example
  }
};
await node.start();

field("peer").value = link.searchParams.get("peer") ?? "";
field("own").textContent = node.peerId;
link.searchParams.set("peer", node.peerId);
document.querySelector("a")!.href = link.href;

/** @returns Where to say what became of it. */
function show(line: string): HTMLElement {
  const state = document.createElement("span");
  const item = document.createElement("li");
  item.append(line, " ", state); // as text: what a peer says is never taken for a part of the page
  field("log").append(item);
  return state;
}

/** A name that no other tab of this browser has now. A key is for one tab at a time. */
async function takeName(): Promise<{ name: string; sessions: IndexedDbSessionStore }> {
  for (let n = 1; ; n++) {
    try {
      return { name: `chat ${n}`, sessions: await IndexedDbSessionStore.open(`chat ${n}`) };
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "EGTP_STORE_LOCKED") throw error;
    }
  }
}
