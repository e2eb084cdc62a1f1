/** The suite that every transport passes, over ws: and wss:, and dialled as in a browser. */

import { localCertificate } from "@egtp/test-kit/certificate";
import { describe, expect, it } from "vitest";
import { WebSocket as WsWebSocket } from "ws";
import { describeTransport, type TransportFixture, type TransportFixtureOptions } from "../src/conformance.ts";
import { websocket } from "../src/nodejs/websocket.ts";
import type { Transport } from "../src/transport.ts";
import { connectWith } from "../src/websocket-medium.ts";
import { WebSocketTransport } from "../src/websocket-transport.ts";

const tls = localCertificate();
const local = { port: 0, host: "127.0.0.1" };

describeTransport(
  "websocket",
  fixture(({ listen, ...options }) => websocket({ ...(listen && local), ...options })),
  { describe, it, expect },
);

describeTransport(
  "websocket over TLS",
  fixture(({ listen, ...options }) => websocket({ ...(listen && { ...local, tls }), ca: tls.cert, ...options })),
  { describe, it, expect },
);

describeTransport(
  "websocket of a browser",
  fixture(
    ({ listen, ...options }) =>
      listen
        ? websocket({ ...local, ...options })
        : new WebSocketTransport(options, { loadConnect: async () => connectWith(BrowserLike) }),
    { hidesReasons: true },
  ),
  { describe, it, expect },
);

/** Not in the types yet: how long to wait for the last word. */
const patience = { closeTimeout: 100 };

/** The class of ws has the interface of browsers. */
const BrowserLike = class extends WsWebSocket {
  constructor(url: string) {
    super(url, { ...patience, perMessageDeflate: false });
    this.on("error", () => {}); // a browser's does not throw
  }
} as unknown as new (
  url: string,
) => WebSocket;

function fixture(
  create: (options: TransportFixtureOptions) => Transport,
  more: Partial<TransportFixture> = {},
): () => TransportFixture {
  return () => {
    const before = openSockets();
    return { create, openResources: () => openSockets() - before, ...more };
  };
}

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).length;
}
