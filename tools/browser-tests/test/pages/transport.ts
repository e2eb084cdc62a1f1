/** The suite that every transport passes, in a page: it dials with the browser's own WebSocket, and Node.js listens. */
import { describeTransport } from "@egtp/node/conformance";
import { websocket } from "@egtp/node/websocket";
import { call, listenToHosts, RemoteTransport } from "./remote-transport.ts";
import { runner } from "./run-tests.ts";

/** Those that are open, of the class that the transport finds. */
let open = 0;
globalThis.WebSocket = class extends WebSocket {
  constructor(url: string | URL) {
    super(url);
    open += 1;
    this.addEventListener("close", () => {
      open -= 1;
    });
  }
};

function expect(actual: unknown) {
  const check = (holds: boolean, expected: unknown): void => {
    if (!holds) throw new Error(`expected ${JSON.stringify(expected)}, not ${JSON.stringify(actual)}`);
  };
  return {
    toBe: (expected: unknown) => check(Object.is(actual, expected), expected),
    toEqual: (expected: unknown) => check(equal(actual, expected), expected),
  };
}

/** Of values, arrays and bytes, however deep. */
function equal(a: unknown, b: unknown): boolean {
  if (!isList(a) || !isList(b)) return Object.is(a, b);
  const [first, second] = [[...a], [...b]];
  return (
    a.constructor === b.constructor &&
    first.length === second.length &&
    first.every((one, at) => equal(one, second[at]))
  );
}

function isList(value: unknown): value is readonly unknown[] | Uint8Array {
  return Array.isArray(value) || value instanceof Uint8Array;
}

await listenToHosts();
describeTransport(
  "websocket of a browser",
  () => ({
    create: ({ listen, limits, ...options }) =>
      listen ? new RemoteTransport(limits) : websocket({ limits, ...options }),
    openResources: () => open + (call("open") as number),
    hidesReasons: true,
  }),
  { ...runner, expect },
);
