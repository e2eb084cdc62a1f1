/**
 * A client, a metatracker and a web server with boot pages that say whatever they like: real bodies of the protocol, damaged, signed
 * anew where that takes them further, in any order. They may spoil what is theirs; nobody else's.
 */
import assert from "node:assert/strict";
import { createIdentity, EgtpError, type Identity } from "@egtp/node";
import { damaged, damagedText } from "@egtp/test-kit/damage";
import { type FuzzRun, fuzz, someDamage } from "@egtp/test-kit/fuzz-run";
import { concatBytes, defineMessage, encodeBody, encodeUtf8, peerIdToBytes, verifyContactRecord } from "@egtp/wire";
import fc from "fast-check";
import { at, World } from "./world.ts";

const kinds = ["hello", "goodbye", "look-up", "list"] as const;
/** Without schemas: what is said is the bytes that are said. */
const raw = Object.fromEntries(kinds.map((kind) => [kind, defineMessage(`metatracker/${kind}`)]));
const echo = defineMessage("test/echo");
const signal = new AbortController().signal;

/** One thing said: of which kind, which of its bodies, what is done to it, before it is signed and after, and how long that takes. */
const saying = fc.record({
  kind: fc.constantFrom(...kinds),
  body: fc.nat(),
  other: fc.nat(),
  steps: someDamage,
  stepsBefore: someDamage,
  laterMs: fc.oneof(fc.constant(0), fc.nat(50), fc.nat(10_000)),
});
type Saying = typeof saying extends fc.Arbitrary<infer One> ? One : never;
const sayings = fc.array(saying, { minLength: 1, maxLength: 40, size: "max" });

function pick(bodies: readonly Uint8Array[], { body, other, steps: after }: Saying): Uint8Array {
  return damaged(bodies[body % bodies.length]!, bodies[other % bodies.length]!, after);
}

/** Records that somebody signed, whatever they are. */
function records(who: Identity, now: number, { stepsBefore }: Saying): Uint8Array[] {
  const id = peerIdToBytes(who.peer);
  const plain = { id, seq: 1, issued: now, ttl: 86_400_000, strategies: [], services: [] };
  const payloads = [
    plain,
    { ...plain, seq: 2 ** 53 - 1, services: ["metatracker", "relay"] },
    { ...plain, seq: 5, strategies: [at("nowhere"), { kind: "tcp", host: "example.org", port: 1 }] },
    {
      ...plain,
      seq: 7,
      strategies: [
        { kind: "websocket", url: "wss://example.org/" },
        { kind: "relay", relay: id },
      ],
    },
    { ...plain, gone: true, seq: 3 },
    { ...plain, issued: 0, ttl: 1 },
    { ...plain, issued: now + 86_400_000 },
  ].map(encodeBody);
  return payloads.map((payload, index) => {
    const made = damaged(payload, payloads[(index + 1) % payloads.length]!, stepsBefore);
    return concatBytes(who.keys.sign(concatBytes(encodeUtf8("egtp contact record 1\0"), made)), made);
  });
}

/** What was said came to something, or to an error with a code. */
async function heard(promise: Promise<unknown>): Promise<void> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof EgtpError, String(error));
  }
}

/** A client that says anything to a metatracker. */
export async function clientsSayAnything(run: FuzzRun): Promise<void> {
  await fuzz(
    fc.asyncProperty(sayings, async (all) => {
      const world = new World();
      const { node: metatracker, server } = await world.metatracker("metatracker");
      const directory = { metatrackers: [{ peer: metatracker.peerId, strategies: [at("metatracker")] }] };
      const alice = await world.join("alice", { directory });
      const bob = await world.join("bob", { directory });
      bob.node.handle(echo, ({ body }) => body);
      const liar = await world.join("liar", { directory });
      const answers: Promise<void>[] = [];
      for (const said of all) {
        const mine = records(liar.identity, world.time.now(), said);
        const bodies = {
          hello: mine,
          goodbye: mine,
          "look-up": [peerIdToBytes(bob.node.peerId), peerIdToBytes(liar.node.peerId)],
          list: ["metatracker", "relay", ""].flatMap((service) =>
            [0, 1, 16, 2 ** 53 - 1].map((max) => encodeBody({ service, max })),
          ),
        };
        answers.push(heard(liar.node.request(metatracker.peerId, raw[said.kind]!, pick(bodies[said.kind], said))));
        if (said.laterMs > 0) await world.time.pass(said.laterMs);
      }
      await world.time.of(Promise.all(answers));
      assert.equal(server.storeFailure, undefined);
      assert.ok(server.size.records <= 4);
      // What it hands out is valid, and the others find each other as before.
      for (const service of ["metatracker", "relay"]) {
        for (const record of await server.list(service, 16)) verifyContactRecord(record, world.time.now());
      }
      assert.deepEqual(
        await world.time.of(alice.node.request(bob.node.peerId, echo, Uint8Array.of(7))),
        Uint8Array.of(7),
      );
      await world.end();
    }),
    run,
  );
}

/** A metatracker that answers anything, beside one that does not. */
export async function metatrackersSayAnything(run: FuzzRun): Promise<void> {
  await fuzz(
    fc.asyncProperty(sayings, async (all) => {
      const world = new World();
      const { node: good } = await world.metatracker("good");
      const liar = createIdentity();
      const node = await world.node("liar", { identity: liar, services: ["metatracker"] });
      let next = 0;
      const answer = (kind: Saying["kind"]): Uint8Array => {
        const said = all[next++ % all.length]!;
        const mine = records(liar, world.time.now(), said);
        const publications = [
          encodeBody({ state: "kept" }),
          encodeBody({ state: "older", record: mine[said.other % mine.length]! }),
          encodeBody({ state: "refused", reason: "invalid" }),
          encodeBody({ state: "refused", reason: "something-later" }),
        ];
        const bodies: Record<Saying["kind"], Uint8Array[]> = {
          hello: publications,
          goodbye: publications,
          "look-up": [...mine, new Uint8Array(0)],
          list: [mine, [], Array.from({ length: 16 }, () => mine[0]!)].map((list) => encodeBody({ records: list })),
        };
        return pick(bodies[kind], said);
      };
      for (const kind of kinds) node.handle(raw[kind]!, () => answer(kind));
      const directory = {
        metatrackers: [
          { peer: good.peerId, strategies: [at("good")] },
          { peer: liar.peer, strategies: [at("liar")] },
        ],
      };
      const alice = await world.join("alice", { directory });
      const bob = await world.join("bob", { directory });
      bob.node.handle(echo, ({ body }) => body);
      for (const { laterMs } of all) {
        const { lookup } = alice;
        const looking = [liar.peer, bob.node.peerId, createIdentity().peer].map((peer) =>
          lookup.lookUp(peer, { signal, tried: undefined }),
        );
        const found = await world.time.of(
          Promise.allSettled([...looking, lookup.discover!("relay", { signal, max: 16 })]),
        );
        for (const result of found)
          if (result.status === "rejected") assert.ok(result.reason instanceof EgtpError, String(result.reason));
        const [, ofBob] = found;
        if (ofBob?.status === "fulfilled")
          assert.equal(verifyContactRecord(ofBob.value as Uint8Array, world.time.now()).id, bob.node.peerId);
        await world.time.pass(laterMs);
      }
      assert.deepEqual(
        await world.time.of(alice.node.request(bob.node.peerId, echo, Uint8Array.of(7))),
        Uint8Array.of(7),
      );
      await world.end();
    }),
    run,
  );
}

/** A server of the web that gives anything for a boot page, and then what it should. */
export async function sitesSayAnything(run: FuzzRun): Promise<void> {
  const url = "https://boot.example/boot.json";
  const status = fc.constantFrom(200, 200, 200, 200, 204, 206, 301, 302, 304, 308, 404, 500, 599);
  const location = fc.tuple(
    fc.constantFrom(url, "/boot.json", "http://other.example/", "https://a:b@c.example/", "data:,", "//x"),
    someDamage,
  );
  const site = fc.record({
    status,
    location,
    page: saying,
    tag: fc.option(fc.string({ unit: fc.constantFrom("a", '"', "W/", "é") })),
    length: fc.option(fc.constantFrom("0", "1", "-1", "1e9", "x", "99999999999999999999")),
    cuts: fc.nat(7),
  });
  await fuzz(
    fc.asyncProperty(
      fc.array(site, { minLength: 1, maxLength: 8, size: "max" }),
      fc.boolean(),
      async (pages, isNamed) => {
        const world = new World();
        const { node: metatracker } = await world.metatracker("metatracker");
        const publisher = createIdentity();
        const record = metatracker.contactRecord!;
        let next = 0;
        world.web.set(url, () => {
          const {
            status: code,
            location: [text, textSteps],
            page: said,
            tag,
            length,
            cuts,
          } = pages[next++ % pages.length]!;
          const now = world.time.now();
          const plain = {
            id: peerIdToBytes(publisher.peer),
            seq: next,
            issued: now,
            expires: now + 86_400_000,
            records: [record],
          };
          const payloads = [
            plain,
            { ...plain, seq: 2 ** 53 - 1 },
            { ...plain, records: records(publisher, now, said) },
            { ...plain, expires: now + 1 },
          ].map(encodeBody);
          const texts = payloads.map((payload, index) => {
            const made = damaged(payload, payloads[(index + 1) % payloads.length]!, said.stepsBefore);
            const signature = publisher.keys.sign(concatBytes(encodeUtf8("egtp boot page 1\0"), made));
            return encodeUtf8(
              JSON.stringify({
                v: 1,
                payload: Buffer.from(made).toString("base64url"),
                signature: Buffer.from(signature).toString("base64url"),
              }),
            );
          });
          const body = pick(texts, said);
          const size = Math.ceil(body.length / (cuts + 1)) || 1;
          const stream = new ReadableStream<Uint8Array>({
            start: (controller) => {
              for (let from = 0; from < body.length; from += size) controller.enqueue(body.slice(from, from + size));
              controller.close();
            },
          });
          const headers = new Headers();
          const set = (name: string, value: string) => {
            try {
              headers.set(name, value);
            } catch {
              // No server can send that.
            }
          };
          if (code >= 300 && code < 400) set("location", damagedText(text, "https://", textSteps));
          if (tag !== null) set("etag", tag);
          if (length !== null) set("content-length", length);
          return new Response(code === 204 || code === 304 ? null : stream, { status: code, headers });
        });
        const bootPages = [isNamed ? `${url}#${publisher.peer}` : url];
        // Each page that it is given is soon followed by the next.
        const limits = { refreshMs: 1_000, minRetryMs: 1_000, maxRetryMs: 1_000, recheckMs: 1e9 };
        const alice = await world.join("alice", { directory: { bootPages, limits } });
        await world.time.run(() => next >= 2 * pages.length);
        const failures = alice.said.filter((event) => event.kind === "boot-page" && event.state === "failed");
        for (const event of failures)
          assert.ok(
            "error" in event && event.error instanceof EgtpError && event.error.code.startsWith("EGTP_BOOT_PAGE_"),
          );
        for (const known of alice.lookup.known) assert.ok([metatracker.peerId, publisher.peer].includes(known));
        await world.end();
      },
    ),
    run,
  );
}
