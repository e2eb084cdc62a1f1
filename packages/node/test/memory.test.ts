import { defaultCryptoProvider } from "@egtp/mesgen";
import { describe, expect, it } from "vitest";
import { describeTransport, type TransportFixture } from "../src/conformance.ts";
import type { Sha512 } from "../src/dial-tag.ts";
import { type MemoryHop, MemoryNetwork } from "../src/memory.ts";
import type { Link, LinkEnd, Transport } from "../src/transport.ts";
import { peers } from "./transport-peers.ts";

describeTransport("memory", fixture, { describe, it, expect });

function fixture(): TransportFixture {
  const network = new MemoryNetwork();
  let made = 0;
  return {
    create: ({ listen, limits, crypto, clock }) => {
      made += 1;
      return network.transport(`place-${made}`, { listen, limits, crypto, clock });
    },
    openResources: () => network.links,
  };
}

describe("a memory network", () => {
  it("moves things when its scheduler says so, in the order of sending", async () => {
    const tasks: { task: () => void; hop: MemoryHop }[] = [];
    const network = new MemoryNetwork({ seed: 1, schedule: (task, hop) => tasks.push({ task, hop }) });
    const host = await serve(network.transport("b"));
    const dialing = dial(network.transport("a"), host);
    const settle = async (): Promise<void> => {
      while (tasks.length > 0) {
        tasks.pop()!.task(); // the newest first: order must hold nevertheless
        await Promise.resolve();
      }
    };
    await settle();
    const near = await dialing;
    await settle();
    const got: number[] = [];
    const far = host.links[0]!;
    far.start({ envelope: (bytes) => void got.push(bytes[0]!), drain() {}, closed() {} });
    far.authenticated();
    for (let index = 0; index < 20; index++) near.send(Uint8Array.of(index));
    expect(got).toEqual([]);
    await settle();
    expect(got).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  it("makes the same run from the same seed", async () => {
    const run = async (seed: number): Promise<Uint8Array[]> => {
      const salts: Uint8Array[] = [];
      const sha512: Sha512 = (label, salt, target) => {
        salts.push(salt!.slice());
        return defaultCryptoProvider.sha512(label!, salt!, target!);
      };
      const network = new MemoryNetwork({ seed, crypto: { ...defaultCryptoProvider, sha512 } });
      const host = await serve(network.transport("host"));
      for (const name of ["a", "b"]) (await dial(network.transport(name), host)).close();
      return [salts[0]!, salts.at(-1)!];
    };
    expect(await run(7)).toEqual(await run(7));
    expect(await run(7)).not.toEqual(await run(8));
    const [a, b] = await run(7);
    expect(a).not.toEqual(b);
  });

  it("cuts links, and both ends learn that they are lost", async () => {
    const network = new MemoryNetwork();
    const { near, far } = await connected(network);
    network.cut("a", "c");
    expect(network.links).toBe(1);
    network.cut("b", "a");
    expect((await near.ended).reason).toBe("lost");
    expect((await far.ended).reason).toBe("lost");
    expect(network.links).toBe(0);
  });

  it("loses a place as a killed process is lost, and another may come there", async () => {
    const network = new MemoryNetwork();
    const { near, far } = await connected(network);
    let isTold = false;
    void far.ended.then(() => {
      isTold = true;
    });
    far.link.send(Uint8Array.of(9));
    network.vanish("b");
    expect((await near.ended).reason).toBe("lost");
    expect(near.got).toEqual([Uint8Array.of(9)]);
    const again = await serve(network.transport("b"));
    const other = use(await dial(network.transport("c"), again));
    expect(network.links).toBe(1);
    network.vanish("b", true);
    const isHeard = other.link.send(Uint8Array.of(1));
    expect({ isHeard, isTold }).toEqual({ isHeard: true, isTold: false });
    await expect(dial(network.transport("d"), again)).rejects.toMatchObject({ code: "EGTP_DIAL_NAME_NOT_FOUND" });
    expect(network.links).toBe(1);
  });

  it("blocks new links until told otherwise", async () => {
    const network = new MemoryNetwork();
    const a = network.transport("a");
    const host = await serve(network.transport("b"));
    const unblock = network.block("b", "a");
    await expect(dial(a, host)).rejects.toMatchObject({ code: "EGTP_DIAL_UNREACHABLE" });
    unblock();
    (await dial(a, host)).close();
  });

  it("holds what goes one way, and gives it back when the link is cut", async () => {
    const network = new MemoryNetwork();
    const { near, far } = await connected(network);
    const release = network.hold("a", "b");
    near.link.send(Uint8Array.of(2));
    far.link.send(Uint8Array.of(3));
    await expect.poll(() => near.got).toEqual([Uint8Array.of(3)]);
    expect(far.got).toEqual([Uint8Array.of(1)]);
    release();
    await expect.poll(() => far.got).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
    network.hold("a", "b");
    near.link.send(Uint8Array.of(4));
    network.cut("a");
    expect((await near.ended).unsent).toEqual([Uint8Array.of(4)]);
  });

  it("loses and counts envelopes", async () => {
    const network = new MemoryNetwork();
    const { near, far } = await connected(network);
    expect(network.bytes("a", "b")).toBe(5);
    network.drop = (hop) => hop.envelope?.[0] === 2;
    near.link.send(Uint8Array.of(2));
    near.link.send(Uint8Array.of(3, 3));
    await expect.poll(() => far.got).toEqual([Uint8Array.of(1), Uint8Array.of(3, 3)]);
    expect(network.bytes("a", "b")).toBe(11);
    expect(network.bytes("b", "a")).toBe(0);
    near.link.close();
    await far.ended;
  });

  it("knows only its own places", async () => {
    const network = new MemoryNetwork();
    const a = network.transport("a");
    expect(a.canDial(MemoryNetwork.strategy("b"))).toBe(true);
    expect(a.canDial({ kind: "tcp", host: "b.example", port: 1 })).toBe(false);
    expect(() => network.transport("a")).toThrow(TypeError);
    expect(() => network.transport("a.b")).toThrow(TypeError);
    const { signal } = new AbortController();
    const missing = a.dial(MemoryNetwork.strategy("b"), peers[0], { signal });
    await expect(missing).rejects.toMatchObject({ code: "EGTP_DIAL_NAME_NOT_FOUND" });
  });
});

interface Host {
  readonly transport: Transport;
  readonly strategy: ReturnType<typeof MemoryNetwork.strategy>;
  readonly links: Link[];
}

async function serve(transport: Transport): Promise<Host> {
  const links: Link[] = [];
  const served = await transport.serve({ peer: peers[0] }, (link) => links.push(link));
  return { transport, strategy: served.strategies[0]!, links };
}

function dial(transport: Transport, host: Host): Promise<Link> {
  return transport.dial(host.strategy, peers[0], { signal: new AbortController().signal });
}

interface End {
  readonly link: Link;
  readonly got: Uint8Array[];
  readonly ended: Promise<LinkEnd>;
}

function use(link: Link): End {
  const got: Uint8Array[] = [];
  const ended = new Promise<LinkEnd>((resolve) => {
    link.start({ envelope: (bytes) => void got.push(bytes.slice()), drain() {}, closed: resolve });
  });
  return { link, got, ended };
}

async function connected(network: MemoryNetwork): Promise<{ near: End; far: End }> {
  const host = await serve(network.transport("b"));
  const near = use(await dial(network.transport("a"), host));
  await expect.poll(() => host.links.length).toBe(1);
  const far = use(host.links[0]!);
  near.link.send(Uint8Array.of(1));
  await expect.poll(() => far.got.length).toBe(1);
  far.link.authenticated();
  near.link.authenticated();
  return { near, far };
}
