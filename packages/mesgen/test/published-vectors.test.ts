/**
 * Our own vectors, docs/vectors/envelopes.json: every envelope type, with all randomness given, so that another
 * implementation can be held against ours. `EGTP_WRITE_VECTORS=1` writes the file anew.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { MemorySessionStore, SessionMaps } from "@egtp/session-store";
import { decodeEnvelope, type Epoch, encodeUtf8, FrameWriter, fromHex, toHex } from "@egtp/wire";
import { describe, expect, it } from "vitest";
import {
  type CryptoProvider,
  defaultCryptoProvider,
  identityFromSeed,
  Mesgen,
  portableCryptoProvider,
} from "../src/index.ts";
import { textFrame } from "./peers.ts";

const file = new URL("../../../docs/vectors/envelopes.json", import.meta.url);
const bornAt = 1_700_000_000_000;
const startAt = 1_800_000_000_000;

interface Side {
  readonly name: "initiator" | "responder";
  readonly mesgen: Mesgen;
  readonly maps: SessionMaps;
}

interface Step {
  readonly name: string;
  readonly from: "initiator" | "responder";
  readonly now: number;
  /** Random bytes drawn for it, in order: ephemeral secrets, 32 bytes each. */
  readonly random: readonly string[];
  readonly type: string;
  readonly id: string;
  readonly counter: number;
  /** What the recipient's layer above is handed. */
  readonly frames: string;
  readonly envelope: string;
}

/** A provider whose randomness is a counted sequence, so that the vectors can name each draw. */
function scripted(crypto: CryptoProvider, label: number, drawn: string[]): CryptoProvider {
  let count = 0;
  const draw = (length: number): Uint8Array => {
    count += 1;
    const bytes = crypto.sha512(Uint8Array.of(label, count)).slice(0, length);
    drawn.push(toHex(bytes));
    return bytes;
  };
  return { ...crypto, randomBytes: draw, generateDhKeyPair: () => crypto.dhKeyPairFromSecret(draw(32)) };
}

function play(base: CryptoProvider, sealedSender: boolean) {
  const drawn: string[] = [];
  const steps: Step[] = [];
  const side = (name: Side["name"], label: number) => {
    const crypto = scripted(base, label, drawn);
    const seed = base.sha512(Uint8Array.of(label)).slice(0, 32);
    const identity = identityFromSeed(seed, base);
    const maps = SessionMaps.open(new MemorySessionStore(), {
      now: bornAt,
      random: (count) => crypto.randomBytes(count),
    });
    const mesgen = new Mesgen({ identity, maps, crypto, sealedSender });
    const facts = {
      seed: toHex(seed),
      id: identity.peer,
      publicKey: toHex(identity.keys.publicKey),
      tag: maps.tag,
      epoch: mesgen.epoch,
    };
    return { name, mesgen, maps, facts };
  };
  let initiator = side("initiator", 1);
  const responder = side("responder", 2);
  const facts = { initiator: initiator.facts, responder: responder.facts };
  const step = (name: string, from: typeof initiator, to: typeof initiator, frames: Uint8Array, close?: number) => {
    drawn.length = 0;
    const now = startAt + steps.length;
    const application = frames.length > 0;
    const carrier = from.mesgen.carrier(to.mesgen.self, now, { application });
    const envelope = from.mesgen.seal(carrier, frames, now, close === undefined ? {} : { close });
    const random = [...drawn];
    const result = to.mesgen.open(envelope, now);
    if (result.kind === "opened") expect(toHex(result.frames)).toBe(toHex(frames));
    const { type, id, counter } = decodeEnvelope(envelope);
    steps.push({
      name,
      from: from.name,
      now,
      random,
      type,
      id: toHex(id),
      counter,
      frames: toHex(frames),
      envelope: toHex(envelope),
    });
    return result.kind;
  };
  step("an offer with early data", initiator, responder, textFrame("hello"));
  step("a second envelope under the same offer", initiator, responder, textFrame("hello again"));
  step("an acceptance", responder, initiator, textFrame("welcome"));
  step("data", initiator, responder, textFrame("established"));
  step("data the other way", responder, initiator, textFrame("established too"));
  const again = side("initiator", 3);
  initiator = { ...again, facts: initiator.facts };
  // The initiator lost its store and its process: same identity, new tag and epoch.
  const identity = identityFromSeed(fromHex(facts.initiator.seed), base);
  initiator.mesgen = new Mesgen({ identity, maps: again.maps, crypto: scripted(base, 4, drawn), sealedSender });
  expect(
    step("data that the initiator, having lost everything, cannot read", responder, initiator, textFrame("lost")),
  ).toBe("unreadable");
  const reborn = { tag: initiator.maps.tag, epoch: initiator.mesgen.epoch };
  step("the answer: an offer with a rejected list", initiator, responder, new Uint8Array(0));
  step("an acceptance, with what was lost", responder, initiator, textFrame("lost"));
  step("data with a message of the initiator's first run", initiator, responder, earlierFrames(facts.initiator.epoch));
  expect(step("a close", initiator, responder, new Uint8Array(0), 1)).toBe("opened");
  return { ...facts, reborn, steps };
}

/** A message that an earlier run had kept, under the number and the type number that it had there. */
function earlierFrames(epoch: Epoch): Uint8Array {
  const writer = new FrameWriter(new Uint8Array(100));
  writer.reset(0, epoch);
  writer.message({ number: 7, typeNumber: 2, name: "demo/note", remainingMs: 60_000, body: encodeUtf8("kept") });
  return writer.bytes();
}

function vectors(base: CryptoProvider) {
  return {
    about:
      "Envelopes of EGTP version 1, docs/spec.md. Both stores were born at bornAt; `random` lists the ephemeral secrets that were drawn for a step, in order. `frames` is the plaintext without mesgen's own frames. In `reborn` the initiator has lost its store and restarted.",
    bornAt,
    clear: play(base, false),
    sealed: play(base, true),
  };
}

describe("docs/vectors/envelopes.json", () => {
  if (process.env.EGTP_WRITE_VECTORS === "1") {
    writeFileSync(file, `${JSON.stringify(vectors(defaultCryptoProvider), null, 2)}\n`);
  }
  const published: unknown = JSON.parse(readFileSync(file, "utf8"));

  it.each([defaultCryptoProvider, portableCryptoProvider])(
    "is what the $name provider gives, byte for byte",
    (crypto) => {
      expect(vectors(crypto)).toEqual(published);
    },
  );
});
