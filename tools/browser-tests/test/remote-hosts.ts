/**
 * Listening transports in Node.js that a page uses as if they were its own: calls come by HTTP, synchronous ones too, since a
 * page can wait for an XMLHttpRequest; what the links tell goes back as server-sent events, one envelope at a time.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Link, Served, Transport } from "@egtp/node";
import { websocket } from "@egtp/node/websocket";
import type { PeerId } from "@egtp/wire";

/** What a page is told of a host. */
export type HostEvent =
  | { readonly event: "link"; readonly serving: number; readonly link: number }
  | { readonly event: "envelope"; readonly link: number; readonly base64: string }
  | { readonly event: "drain"; readonly link: number }
  | {
      readonly event: "closed";
      readonly link: number;
      readonly reason: string;
      readonly detail: string | undefined;
      readonly unsent: readonly string[];
    };

/** A link, and whether more may be handed over. */
interface Held {
  readonly link: Link;
  isAuthentic: boolean;
  /** The page is at work on an envelope. */
  isBusy: boolean;
  /** The page paused it. */
  isPaused: boolean;
}

export class RemoteHosts {
  readonly #transports: Transport[] = [];
  readonly #served: Served[] = [];
  readonly #links: Held[] = [];
  #events: ServerResponse | undefined;
  /** Timers of the hosts that run. */
  #timers = 0;
  /** Hosts that listen, and links that were started: those tell of their end. */
  #open = 0;

  readonly answer = (request: IncomingMessage, response: ServerResponse): void => {
    if (request.url === "/api/events") {
      this.#events = response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      return;
    }
    void this.#carryOut(request).then((result) => response.end(JSON.stringify(result)));
  };

  async #carryOut(request: IncomingMessage): Promise<{ result?: unknown; error?: string }> {
    const { pathname, searchParams } = new URL(request.url!, "http://page/");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    try {
      return { result: await this.#call(pathname.slice(5), Number(searchParams.get("of")), Buffer.concat(chunks)) };
    } catch (error) {
      return { error: error instanceof Error ? error.name : String(error) };
    }
  }

  async #call(name: string, of: number, body: Buffer): Promise<unknown> {
    const held = this.#links[of];
    switch (name) {
      case "create": {
        const clock = { now: () => performance.now(), setTimer: this.#setTimer };
        this.#transports.push(websocket({ port: 0, host: "127.0.0.1", limits: JSON.parse(body.toString()), clock }));
        return this.#transports.length - 1;
      }
      case "refusals":
        return this.#transports[of]!.refusals;
      case "serve": {
        const serving = this.#served.length;
        this.#served.length += 1;
        const served = await this.#transports[of]!.serve({ peer: body.toString() as PeerId }, (link) => {
          this.#links.push({ link, isAuthentic: false, isBusy: false, isPaused: false });
          this.#tell({ event: "link", serving, link: this.#links.length - 1 });
        });
        this.#served[serving] = served;
        this.#open += 1;
        let isStopped = false;
        this.#served[serving] = {
          strategies: served.strategies,
          stop: async () => {
            await served.stop();
            if (!isStopped) this.#open -= 1;
            isStopped = true;
          },
        };
        return { serving, strategies: served.strategies };
      }
      case "stop":
        return this.#served[of]!.stop();
      case "open":
        return this.#open + this.#timers;
      case "state": {
        const { writable, queuedBytes, bytesSent, bytesReceived } = held!.link;
        return { writable, queuedBytes, bytesSent, bytesReceived };
      }
      case "start":
        return this.#start(of, held!);
      case "send":
        return held!.link.send(Uint8Array.from(body));
      case "authenticated":
        held!.isAuthentic = true;
        if (held!.isBusy) held!.link.pause();
        return held!.link.authenticated();
      case "handled":
        held!.isBusy = false;
        if (held!.isAuthentic && !held!.isPaused) held!.link.resume();
        return undefined;
      case "pause":
        held!.isPaused = true;
        return held!.link.pause();
      case "resume":
        held!.isPaused = false;
        return held!.link.resume();
      case "close":
        return held!.link.close();
      default:
        throw new TypeError(`A host cannot ${name}`);
    }
  }

  #start(index: number, held: Held): void {
    this.#open += 1;
    held.link.start({
      envelope: (bytes) => {
        // The next one comes when the page is done with this one, as if it stood in its own program.
        held.isBusy = true;
        if (held.isAuthentic) held.link.pause();
        this.#tell({ event: "envelope", link: index, base64: Buffer.from(bytes).toString("base64") });
      },
      drain: () => this.#tell({ event: "drain", link: index }),
      closed: ({ reason, detail, unsent }) => {
        this.#open -= 1;
        const rest = unsent.map((envelope) => Buffer.from(envelope).toString("base64"));
        this.#tell({ event: "closed", link: index, reason, detail, unsent: rest });
      },
    });
  }

  readonly #setTimer = (task: () => void, delayMs: number): (() => void) => {
    let isOver = false;
    const end = (): void => {
      if (!isOver) this.#timers -= 1;
      isOver = true;
    };
    this.#timers += 1;
    const timer = setTimeout(
      () => {
        end();
        task();
      },
      Math.min(delayMs, 2 ** 31 - 1),
    );
    return () => {
      end();
      clearTimeout(timer);
    };
  };

  #tell(event: HostEvent): void {
    this.#events?.write(`data: ${JSON.stringify(event)}\n\n`);
  }
}
