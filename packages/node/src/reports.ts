/** What a router tells whoever listens to events, and what it counts of what was dropped. */
import { EgtpError, type Millis, type PeerId } from "@egtp/wire";
import type { StrategyFailure } from "./delivery/outcome.ts";
import type { Received } from "./endpoint.ts";
import { RouteError } from "./errors.ts";
import type { EventHub, NodeEvent } from "./events.ts";
import type { NodeLink, PeerRoute } from "./route.ts";
import type { NodeSchedule } from "./schedule.ts";
import type { LinkEnd } from "./transport.ts";

type SessionState = Extract<NodeEvent, { kind: "session" }>["state"];

export class Reports {
  /** Envelopes that came in and of which nothing came, by reason. */
  readonly drops: Record<string, number> = {};
  readonly #events: EventHub;
  readonly #schedule: NodeSchedule;

  constructor(events: EventHub, schedule: NodeSchedule) {
    this.#events = events;
    this.#schedule = schedule;
  }

  dropped(source: string, reason: string, now: Millis, error?: EgtpError): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + 1;
    if (this.#events.wants("drop")) this.#events.emit({ kind: "drop", at: now, reason, source, error });
  }

  dialFailed({ peer }: PeerRoute, { strategy, error }: StrategyFailure): void {
    if (!this.#events.wants("dial-failed")) return;
    const typed = error instanceof EgtpError ? error : new RouteError("EGTP_NO_ANSWER", { cause: error });
    this.#events.emit({ kind: "dial-failed", at: this.#schedule.now(), peer, strategy, error: typed });
  }

  link(
    { link, transport, route }: NodeLink,
    state: "opened" | "answered" | "silent" | "closed",
    end: LinkEnd | undefined,
  ): void {
    if (!this.#events.wants("link")) return;
    this.#events.emit({
      kind: "link",
      at: this.#schedule.now(),
      state,
      direction: link.direction,
      peer: route?.peer,
      transport: transport.kind,
      remote: link.remote,
      reason: end?.reason,
    });
  }

  session(peer: PeerId, state: SessionState, now: Millis): void {
    if (this.#events.wants("session")) this.#events.emit({ kind: "session", at: now, state, peer });
  }

  /** What an envelope that was opened shows of the sessions with its sender. */
  opened(route: PeerRoute, opened: Extract<Received, { kind: "opened" }>, now: Millis): void {
    const { peer, session: before } = route;
    const after =
      opened.early && before !== "established" ? "early" : before === "none" || !opened.early ? "established" : before;
    route.session = after;
    if (opened.restarted) this.session(peer, "restarted", now);
    if (opened.superseded) this.session(peer, "superseded", now);
    if (before !== after) this.session(peer, after, now);
  }
}
