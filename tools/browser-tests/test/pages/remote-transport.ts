/** A listening transport of Node.js, seen from a page: see remote-hosts.ts. */
import type { Link, LinkEndReason, LinkHandlers, Served, ServedIdentity, Strategy, Transport } from "@egtp/node";
import type { TransportLimits } from "@egtp/node/websocket";
import type { HostEvent } from "../remote-hosts.ts";

/** Waits for the answer, as a call would. */
export function call(name: string, of = 0, body: string | Uint8Array<ArrayBuffer> = ""): unknown {
  const request = new XMLHttpRequest();
  request.open("POST", `/api/${name}?of=${of}`, false);
  request.send(body);
  return resultOf(JSON.parse(request.responseText));
}

async function ask(name: string, of: number, body = ""): Promise<unknown> {
  const response = await fetch(`/api/${name}?of=${of}`, { method: "POST", body });
  return resultOf(await response.json());
}

function resultOf({ result, error }: { result?: unknown; error?: string }): unknown {
  if (error === undefined) return result;
  throw error === "TypeError" ? new TypeError("The host says so") : new Error(error);
}

const onLinks = new Map<number, (link: Link) => void>();
/** Links that came in before it was known whose they are. */
const early: { serving: number; link: Link }[] = [];
const links = new Map<number, RemoteLink>();

/** Resolves when events arrive. */
export function listenToHosts(): Promise<void> {
  const source = new EventSource("/api/events");
  source.onmessage = ({ data }) => hear(JSON.parse(data as string) as HostEvent);
  return new Promise((resolve) => {
    source.onopen = () => resolve();
  });
}

function hear(event: HostEvent): void {
  if (event.event !== "link") {
    links.get(event.link)!.hear(event);
    return;
  }
  const link = new RemoteLink(event.link);
  links.set(event.link, link);
  const onLink = onLinks.get(event.serving);
  if (onLink === undefined) early.push({ serving: event.serving, link });
  else onLink(link);
}

export class RemoteTransport implements Transport {
  readonly kind = "websocket";
  readonly #index: number;

  constructor(limits: Partial<TransportLimits>) {
    this.#index = call("create", 0, JSON.stringify(limits)) as number;
  }

  get refusals(): Transport["refusals"] {
    return call("refusals", this.#index) as Transport["refusals"];
  }

  async serve({ peer }: ServedIdentity, onLink: (link: Link) => void): Promise<Served> {
    const answer = (await ask("serve", this.#index, peer)) as { serving: number; strategies: Strategy[] };
    onLinks.set(answer.serving, onLink);
    for (const { serving, link } of early.splice(0)) onLinks.get(serving)?.(link);
    return {
      strategies: answer.strategies,
      stop: async () => {
        await ask("stop", answer.serving);
      },
    };
  }

  canDial({ kind }: Strategy): boolean {
    return kind === "websocket";
  }

  dial(): Promise<Link> {
    throw new TypeError("A host of this suite only listens");
  }
}

type LinkNumbers = Pick<Link, "writable" | "queuedBytes" | "bytesSent" | "bytesReceived">;

class RemoteLink implements Link {
  readonly direction = "incoming";
  readonly remote = "a page";
  readonly source = "127.0.0.1";
  readonly #index: number;
  #handlers!: LinkHandlers;
  #isAuthenticated = false;

  constructor(index: number) {
    this.#index = index;
  }

  get #now(): LinkNumbers {
    return call("state", this.#index) as LinkNumbers;
  }

  get writable(): boolean {
    return this.#now.writable;
  }

  get queuedBytes(): number {
    return this.#now.queuedBytes;
  }

  get bytesSent(): number {
    return this.#now.bytesSent;
  }

  get bytesReceived(): number {
    return this.#now.bytesReceived;
  }

  start(handlers: LinkHandlers): void {
    this.#handlers = handlers;
    call("start", this.#index);
  }

  send(envelope: Uint8Array): boolean {
    return call("send", this.#index, Uint8Array.from(envelope)) as boolean;
  }

  /** More calls do no harm, and cost time here. */
  authenticated(): void {
    if (!this.#isAuthenticated) call("authenticated", this.#index);
    this.#isAuthenticated = true;
  }

  pause(): void {
    call("pause", this.#index);
  }

  resume(): void {
    call("resume", this.#index);
  }

  close(): void {
    call("close", this.#index);
  }

  hear(event: Exclude<HostEvent, { event: "link" }>): void {
    if (event.event === "envelope") {
      this.#handlers.envelope(bytesOf(event.base64));
      call("handled", this.#index);
    } else if (event.event === "drain") this.#handlers.drain();
    else {
      const { reason, detail, unsent } = event;
      const end = { reason: reason as LinkEndReason, detail, error: undefined, unsent: unsent.map(bytesOf) };
      this.#handlers.closed(end);
    }
  }
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
