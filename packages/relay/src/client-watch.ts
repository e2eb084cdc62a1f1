/**
 * What becomes of the links to the relays that somebody counts on. It reads the node's events, so it costs nothing while
 * links stand.
 */
import type { EgtpNode, PeerId } from "@egtp/node";

export type LinkNews =
  /** There is a link that certainly leads to it. */
  | "answered"
  /** No link is left, and nobody is to blame: it was idle, or closed here. */
  | "closed"
  /** No link is left, or the last one fell silent. */
  | "lost"
  /** Another process with our key came to it after us. */
  | "superseded";

export interface LinkWatcher {
  /** Who is counted on: when events were missed, those without a link are lost. */
  readonly counted: () => Iterable<PeerId>;
  readonly tell: (peer: PeerId, news: LinkNews) => void;
}

/** Begins to watch. @returns What ends it. */
export function watchLinks(node: EgtpNode, { counted, tell }: LinkWatcher): () => void {
  const controller = new AbortController();
  const events = node.events({ kinds: ["link", "session"], signal: controller.signal });
  void (async () => {
    for await (const event of events) {
      if (controller.signal.aborted) return;
      if (event.kind === "link" && event.peer !== undefined) {
        const { peer, state, reason } = event;
        if (state === "answered") tell(peer, "answered");
        else if (state === "silent") tell(peer, "lost");
        else if (state === "closed" && !node.isLinked(peer)) {
          tell(peer, reason === "idle" || reason === "closed" ? "closed" : "lost");
        }
      } else if (event.kind === "session" && event.state === "superseded") tell(event.peer, "superseded");
      else if (event.kind === "missed") {
        for (const peer of counted()) if (!node.isLinked(peer)) tell(peer, "lost");
      }
    }
  })();
  return () => controller.abort();
}
