/** Boot pages as a node loads them: what is refused and how that is told, what is kept, when they are loaded again. */
import { createIdentity } from "@egtp/node";
import { maxBootPageBytes } from "@egtp/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type BootPageCache, type CachedBootPage, metatrackers, parseBootPageUrl } from "../src/index.ts";
import { errorOf, World, type WorldPeer } from "./world.ts";

const url = "https://boot.example/boot.json";
const publisher = createIdentity();
const meta = createIdentity();
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const signal = new AbortController().signal;

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

const record = () => world.record(meta, { services: ["metatracker"], ttl: 30 * 24 * hourMs });
const join = (...bootPages: string[]) => world.join("alice", { directory: { bootPages } });
const pageEvents = (peer: WorldPeer) => peer.said.flatMap((event) => (event.kind === "boot-page" ? [event] : []));
const failures = (peer: WorldPeer) =>
  pageEvents(peer).flatMap((event) => (event.state === "failed" ? [event.error.code] : []));

describe("the address of a boot page", () => {
  test("names where it lies and whose it is", () => {
    expect(parseBootPageUrl(`${url}#${publisher.peer}`)).toEqual({ url, publisher: publisher.peer });
    expect(parseBootPageUrl(url)).toEqual({ url, publisher: undefined });
    for (const host of ["localhost:80", "127.0.0.1:8080", "[::1]:80"]) parseBootPageUrl(`http://${host}/boot.json`);
    expect(parseBootPageUrl("http://example.org/boot.json", true).url).toBe("http://example.org/boot.json");
  });

  test.for([
    "",
    "boot.json",
    "http://example.org/boot.json",
    "http://127.0.0.1.example.org/boot.json",
    "ftp://example.org/boot.json",
    "file:///etc/passwd",
    "javascript:alert(1)",
    `${url}#`.concat("not-an-id"),
    `${url}#${publisher.peer.toUpperCase()}`,
  ])("is refused before anything is loaded: %s", (text) => {
    expect(() => metatrackers({ bootPages: [text] })).toThrow(expect.objectContaining({ code: "EGTP_BOOT_PAGE_URL" }));
  });

  test("is not repeated when it may hold a password", () => {
    expect(() => parseBootPageUrl("https://user:secret@example.org/boot.json")).toThrow(/^(?!.*secret)/);
  });
});

describe("what is not taken, is told and tried again", () => {
  const text = (body: string, init?: ResponseInit) => () => new Response(body, init);
  const sites: Record<string, [code: string, site: () => Parameters<World["web"]["set"]>[1]]> = {
    "a server that is down": ["EGTP_BOOT_PAGE_UNREACHABLE", () => () => Promise.reject(new TypeError("fetch failed"))],
    "a page that is not there": ["EGTP_BOOT_PAGE_STATUS", () => text("Not found", { status: 404 })],
    "a server in trouble": ["EGTP_BOOT_PAGE_STATUS", () => text("{}", { status: 503 })],
    "an answer that nothing changed": ["EGTP_BOOT_PAGE_STATUS", () => () => new Response(null, { status: 304 })],
    HTML: ["EGTP_BOOT_PAGE_INVALID", () => text("<!doctype html>")],
    nothing: ["EGTP_BOOT_PAGE_INVALID", () => text("")],
    "a page of another version": ["EGTP_BOOT_PAGE_INVALID", () => text('{"v":2}')],
    "a page that was changed": [
      "EGTP_BOOT_PAGE_INVALID",
      () => {
        const page = world.page(publisher, [record()]);
        page[40]! ^= 1;
        return () => new Response(page.slice());
      },
    ],
    "a page that is out of date": [
      "EGTP_BOOT_PAGE_INVALID",
      () => {
        const issued = world.time.now() - 2 * hourMs;
        const page = world.page(publisher, [record()], { issued, expires: issued + hourMs });
        return () => new Response(page.slice());
      },
    ],
    "a page from the future": [
      "EGTP_BOOT_PAGE_INVALID",
      () => {
        const issued = world.time.now() + 25 * hourMs;
        const page = world.page(publisher, [record()], { issued, expires: issued + hourMs });
        return () => new Response(page.slice());
      },
    ],
    "a page of another publisher": [
      "EGTP_BOOT_PAGE_WRONG_PUBLISHER",
      () => {
        const page = world.page(createIdentity(), [record()]);
        return () => new Response(page.slice());
      },
    ],
    "a page that says that it is huge": [
      "EGTP_BOOT_PAGE_TOO_LARGE",
      () => text("x", { headers: { "content-length": "1000000000" } }),
    ],
    "a page that ends in the middle": [
      "EGTP_BOOT_PAGE_UNREACHABLE",
      () => () =>
        new Response(
          new ReadableStream({
            pull: (stream) => stream.error(new TypeError("terminated")),
          }),
        ),
    ],
    "redirects without end": [
      "EGTP_BOOT_PAGE_REDIRECT",
      () => () => new Response(null, { status: 302, headers: { location: url } }),
    ],
    "a redirect to what is not loaded from": [
      "EGTP_BOOT_PAGE_REDIRECT",
      () => text("", { status: 301, headers: { location: "http://192.168.0.1/admin" } }),
    ],
    "a redirect to nowhere": [
      "EGTP_BOOT_PAGE_REDIRECT",
      () => text("", { status: 307, headers: { location: "http://[" } }),
    ],
  };

  test.for(Object.keys(sites))("%s", async (name) => {
    const [code, site] = sites[name]!;
    world.web.set(url, site());
    const alice = await join(`${url}#${publisher.peer}`);
    expect(failures(alice)).toEqual([code]);
    expect(alice.lookup.known).toEqual([]);
    const error = await errorOf(alice.lookup.lookUp(createIdentity().peer, { signal }));
    expect(error).toMatchObject({ code: "EGTP_METATRACKER_NONE_KNOWN", cause: { code } });
    world.publish(url, publisher, [record()]);
    await world.time.pass(6_000);
    expect(alice.lookup.known).toEqual([meta.peer]);
  });

  test("a page without end, of which no more is read than it may have", async () => {
    let given = 0;
    let isCancelled = false;
    world.web.set(
      url,
      () =>
        new Response(
          new ReadableStream({
            pull: (stream) => {
              given += 8_192;
              stream.enqueue(new Uint8Array(8_192).fill(0x20));
            },
            cancel: () => {
              isCancelled = true;
            },
          }),
        ),
    );
    const alice = await join(`${url}#${publisher.peer}`);
    expect(failures(alice)).toEqual(["EGTP_BOOT_PAGE_TOO_LARGE"]);
    expect(isCancelled).toBe(true);
    expect(given).toBeLessThan(maxBootPageBytes + 4 * 8_192);
  });

  test.for<[name: string, site: (isAborted: () => void) => Parameters<World["web"]["set"]>[1]]>([
    [
      "a server that never answers",
      (isAborted) =>
        ({ signal: given }) =>
          new Promise((_, reject) => {
            given.addEventListener("abort", () => {
              isAborted();
              reject(given.reason);
            });
          }),
    ],
    [
      "a page of which a byte comes now and then",
      (isAborted) =>
        ({ signal: given }) => {
          given.addEventListener("abort", isAborted);
          return new Response(
            new ReadableStream({
              pull: (stream) =>
                new Promise((resolve) => {
                  world.time.setTimer(() => {
                    if (!given.aborted) stream.enqueue(Uint8Array.of(0x20));
                    else stream.close();
                    resolve();
                  }, 1_000);
                }),
            }),
          );
        },
    ],
  ])("%s, after ten seconds", async ([, site]) => {
    let isAborted = false;
    world.web.set(
      url,
      site(() => {
        isAborted = true;
      }),
    );
    const alice = await join(`${url}#${publisher.peer}`);
    await world.time.pass(7_000);
    expect(failures(alice)).toEqual([]);
    await world.time.pass(2_000);
    expect(failures(alice)).toEqual(["EGTP_BOOT_PAGE_TIMEOUT"]);
    expect(isAborted).toBe(true);
  });

  test("a server that stays down is asked ever more rarely", async () => {
    const alice = await join(`${url}#${publisher.peer}`);
    await world.time.pass(hourMs);
    expect(failures(alice).length).toBeGreaterThan(8);
    expect(failures(alice).length).toBeLessThan(18);
    expect(new Set(failures(alice))).toEqual(new Set(["EGTP_BOOT_PAGE_UNREACHABLE"]));
  });

  test("records in a good page that nobody signed, or that are out of date or of the future, or no records", async () => {
    const forged = record();
    forged[100]! ^= 1;
    const old = world.record(createIdentity(), {
      services: ["metatracker"],
      issued: world.time.now() - 1_000,
      ttl: 1_000,
    });
    const gone = world.record(createIdentity(), { gone: true });
    const ahead = [createIdentity(), meta].map((identity) =>
      world.record(identity, { services: ["metatracker"], seq: 99, issued: world.time.now() + 25 * hourMs }),
    );
    const good = record();
    const alice = await join(world.publish(url, publisher, [forged, old, gone, ...ahead, new Uint8Array(90), good]));
    expect(alice.lookup.known).toEqual([meta.peer]);
    expect(await alice.lookup.lookUp(meta.peer, { signal })).toEqual(good);
    expect(pageEvents(alice)).toMatchObject([{ state: "loaded", records: 5 }]);
  });
});

describe("what is kept", () => {
  test("redirects to good places are followed", async () => {
    const page = world.page(publisher, [record()]);
    world.web.set(url, () => new Response(null, { status: 308, headers: { location: "/moved.json" } }));
    world.web.set(
      "https://boot.example/moved.json",
      () => new Response(null, { status: 302, headers: { location: "https://b.example/x" } }),
    );
    world.web.set("https://b.example/x", () => new Response(page.slice()));
    const alice = await join(`${url}#${publisher.peer}`);
    expect(alice.lookup.known).toEqual([meta.peer]);
  });

  test("of redirects without end three are followed", async () => {
    let asked = 0;
    world.web.set(url, () => {
      asked += 1;
      return new Response(null, { status: 302, headers: { location: url } });
    });
    const alice = await join(`${url}#${publisher.peer}`);
    expect([failures(alice), asked]).toEqual([["EGTP_BOOT_PAGE_REDIRECT"], 4]);
  });

  test("a browser, which does not show where redirects lead, follows them itself", async () => {
    const page = world.page(publisher, [record()]);
    const modes: (RequestRedirect | undefined)[] = [];
    const fetch = async (_: string, { redirect }: RequestInit) => {
      modes.push(redirect);
      if (redirect === "follow") return new Response(page.slice());
      return Object.defineProperties(new Response(null), { type: { value: "opaqueredirect" }, status: { value: 0 } });
    };
    const alice = await world.join("alice", { directory: { bootPages: [`${url}#${publisher.peer}`], fetch } });
    expect(alice.lookup.known).toEqual([meta.peer]);
    expect(modes).toEqual(["manual", "follow"]);
  });

  test("a page without a publisher in its address is pinned to the first, which is told", async () => {
    world.publish(url, publisher, [record()]);
    const alice = await join(url);
    expect(pageEvents(alice)).toMatchObject([
      { state: "pinned", url, publisher: publisher.peer },
      { state: "loaded", publisher: publisher.peer },
    ]);
    world.publish(url, createIdentity(), [], { seq: 99 });
    await world.time.pass(70 * minuteMs);
    expect(new Set(failures(alice))).toEqual(new Set(["EGTP_BOOT_PAGE_WRONG_PUBLISHER"]));
    expect(alice.lookup.known).toEqual([meta.peer]);
  });

  test("of several pages of one publisher the newest counts, of several publishers all", async () => {
    const [other, second, third] = [createIdentity(), createIdentity(), createIdentity()];
    const of = (identity: typeof other) => world.record(identity, { services: ["metatracker"] });
    const alice = await join(
      world.publish("https://a.example/", publisher, [of(second)], { seq: 1 }),
      world.publish("https://b.example/", publisher, [record()], { seq: 2 }),
      world.publish("https://c.example/", other, [of(third)], { seq: 1 }),
      `https://down.example/#${other.peer}`,
    );
    expect(alice.lookup.known.toSorted()).toEqual([meta.peer, third.peer].toSorted());
    expect(failures(alice)).toContain("EGTP_BOOT_PAGE_UNREACHABLE");
  });

  test("of several records of one peer the newest counts", async () => {
    const other = createIdentity();
    const newer = world.record(meta, { services: ["metatracker"], seq: 5 });
    const alice = await join(
      world.publish("https://a.example/", publisher, [newer]),
      world.publish("https://b.example/", other, [record()]),
    );
    expect(await alice.lookup.lookUp(meta.peer, { signal })).toEqual(newer);
  });

  test("a page is never replaced by an older one", async () => {
    const alice = await join(world.publish(url, publisher, [record()], { seq: 5 }));
    world.publish(url, publisher, [], { seq: 4 });
    await world.time.pass(70 * minuteMs);
    expect(new Set(failures(alice))).toEqual(new Set(["EGTP_BOOT_PAGE_OLD"]));
    expect(alice.lookup.known).toEqual([meta.peer]);
    world.publish(url, publisher, [], { seq: 6 });
    await world.time.pass(20 * minuteMs);
    expect(alice.lookup.known).toEqual([]);
  });

  test("a page is loaded again every hour, and not sent again when it is the same", async () => {
    const running = await world.metatracker("meta-1");
    const page = world.page(publisher, [running.node.contactRecord!]);
    const etags: (string | null)[] = [];
    world.web.set(url, ({ etag }) => {
      etags.push(etag);
      return etag === '"one"'
        ? new Response(null, { status: 304 })
        : new Response(page.slice(), { headers: { etag: '"one"' } });
    });
    const alice = await join(`${url}#${publisher.peer}`);
    await world.time.pass(5 * hourMs);
    expect(etags.length).toBeGreaterThanOrEqual(5);
    expect(etags.length).toBeLessThanOrEqual(7);
    expect(new Set(etags.slice(1))).toEqual(new Set(['"one"']));
    expect(failures(alice)).toEqual([]);
    expect(alice.lookup.known).toEqual([running.node.peerId]);
  });

  test("when metatrackers stop to answer it is loaded more often, but ever more rarely", async () => {
    let loads = 0;
    const page = world.page(publisher, [record()]);
    world.web.set(url, () => {
      loads += 1;
      return new Response(page.slice());
    });
    await join(`${url}#${publisher.peer}`);
    await world.time.pass(hourMs);
    expect(loads).toBeGreaterThan(6);
    expect(loads).toBeLessThan(14);
  });

  test("a page that is valid for a short time is loaded again before that is over", async () => {
    let seq = 0;
    world.web.set(url, () => {
      const issued = world.time.now();
      return new Response(
        world.page(publisher, [record()], { seq: ++seq, issued, expires: issued + 10 * minuteMs }).slice(),
      );
    });
    const alice = await join(`${url}#${publisher.peer}`);
    for (let i = 0; i < 20; i++) {
      expect(alice.lookup.known).toEqual([meta.peer]);
      await world.time.pass(3 * minuteMs);
    }
  });

  test("a page whose time is over counts no more", async () => {
    const alice = await join(world.publish(url, publisher, [record()], { expires: world.time.now() + 10 * minuteMs }));
    world.web.delete(url);
    await world.time.pass(10 * minuteMs);
    expect(alice.lookup.known).toEqual([]);
  });
});

describe("with a cache", () => {
  class MemoryCache implements BootPageCache {
    readonly pages = new Map<string, CachedBootPage>();
    async load(key: string) {
      return this.pages.get(key);
    }
    async save(key: string, page: CachedBootPage) {
      this.pages.set(key, page);
    }
  }
  const joinWith = (bootPageCache: BootPageCache, ...bootPages: string[]) =>
    world.join("alice", { directory: { bootPages, bootPageCache } });

  test("a node that starts when the web is down begins with the page that it had", async () => {
    const cache = new MemoryCache();
    const first = await joinWith(cache, world.publish(url, publisher, [record()]));
    await world.stop(first.node);
    world.web.delete(url);
    const second = await joinWith(cache, `${url}#${publisher.peer}`);
    expect(second.lookup.known).toEqual([meta.peer]);
    expect(pageEvents(second)).toMatchObject([{ state: "cached" }, { state: "failed" }]);
  });

  test("the server hears what we have, and an older page is not taken after a restart", async () => {
    const cache = new MemoryCache();
    const page = world.page(publisher, [record()], { seq: 5 });
    const etags: (string | null)[] = [];
    world.web.set(url, ({ etag }) => {
      etags.push(etag);
      return etag === null
        ? new Response(page.slice(), { headers: { etag: '"5"' } })
        : new Response(null, { status: 304 });
    });
    const first = await joinWith(cache, `${url}#${publisher.peer}`);
    await world.stop(first.node);
    const second = await joinWith(cache, `${url}#${publisher.peer}`);
    expect(etags).toEqual([null, '"5"']);
    await world.stop(second.node);
    world.publish(url, publisher, [], { seq: 4 });
    const third = await joinWith(cache, `${url}#${publisher.peer}`);
    expect(failures(third)).toEqual(["EGTP_BOOT_PAGE_OLD"]);
    expect(third.lookup.known).toEqual([meta.peer]);
  });

  test("a pinned publisher stays pinned after a restart, also when the page is out of date", async () => {
    const cache = new MemoryCache();
    world.publish(url, publisher, [record()], { expires: world.time.now() + minuteMs });
    await world.stop((await joinWith(cache, url)).node);
    await world.time.pass(hourMs);
    world.publish(url, createIdentity(), [record()], { seq: 9 });
    const second = await joinWith(cache, url);
    expect(failures(second)).toEqual(["EGTP_BOOT_PAGE_WRONG_PUBLISHER"]);
    expect(second.lookup.known).toEqual([]);
  });

  test("what a cache holds is believed no more than what the web gives out", async () => {
    const other = createIdentity();
    const page = world.page(other, [record()]);
    const forged = world.page(publisher, [record()]);
    forged[60]! ^= 1;
    const entries: CachedBootPage[] = [
      { publisher: publisher.peer, bytes: forged, etag: undefined },
      { publisher: publisher.peer, bytes: page, etag: undefined },
      { publisher: other.peer, bytes: page, etag: '"x"' },
      { publisher: publisher.peer, bytes: new Uint8Array(0), etag: undefined },
    ];
    for (const entry of entries) {
      const alice = await joinWith({ load: async () => entry, save: async () => {} }, `${url}#${publisher.peer}`);
      expect(alice.lookup.known).toEqual([]);
      await world.stop(alice.node);
    }
  });

  test("a cache that fails does no harm", async () => {
    const broken: BootPageCache = {
      load: () => Promise.reject(new Error("no")),
      save: () => Promise.reject(new Error("full")),
    };
    const alice = await joinWith(broken, world.publish(url, publisher, [record()]));
    expect(alice.lookup.known).toEqual([meta.peer]);
    expect(pageEvents(alice)).toMatchObject([{ state: "loaded" }, { state: "not-cached", error: { message: "full" } }]);
  });
});
