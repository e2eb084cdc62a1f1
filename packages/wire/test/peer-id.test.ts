/** Peer IDs: z-base-32 and which keys are valid. */
import ed2curve from "ed2curve";
import fc from "fast-check";
import nacl from "tweetnacl";
import { describe, expect, it } from "vitest";
import {
  comparePeerIds,
  fromHex,
  isEd25519PublicKey,
  isPeerId,
  type PeerId,
  parsePeerId,
  peerIdFromBytes,
  peerIdFromTrustedBytes,
  peerIdToBytes,
  toHex,
  x25519PublicKeyOf,
} from "../src/index.ts";
import { codeOf, ifDecoded, thrownBy } from "./support.ts";

/** Public keys of RFC 8032, section 7.1, tests 1 and 2; their text was computed by other code. */
const known: readonly (readonly [string, string])[] = [
  [
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "47pjoycnsrfmxikm95jh13y88e8qnhzu5kungjpxyepgt7a8krpy",
  ],
  [
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "8iybxo9eeqriirizbkuw4g56z1qjomgxf5njpdgy3ik9nkzwcagy",
  ],
];

const anyKey = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe("z-base-32", () => {
  it.each(known)("%s", (hex, text) => {
    expect(peerIdFromBytes(fromHex(hex))).toBe(text);
    expect(peerIdFromTrustedBytes(fromHex(hex))).toBe(text);
    expect(toHex(peerIdToBytes(parsePeerId(text)))).toBe(hex);
  });

  it("agrees with the examples of the alphabet's authors", () => {
    const begins = (hex: string) => peerIdFromTrustedBytes(fromHex(hex.padEnd(64, "0")));
    expect(begins("f0bfc7")).toBe(`6n9hq${"y".repeat(47)}`);
    expect(begins("d47a04")).toBe(`4t7ye${"y".repeat(47)}`);
    expect(begins("00")).toBe("y".repeat(52));
    expect(peerIdFromTrustedBytes(new Uint8Array(32).fill(0xff))).toBe(`${"9".repeat(51)}o`);
  });

  it("undoes itself for any 32 bytes", () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const id = peerIdFromTrustedBytes(key);
        expect(id).toMatch(/^[ybndrfg8ejkmcpqxot1uwisza345h769]{51}[yo]$/);
        expect(peerIdToBytes(id)).toEqual(key);
      }),
    );
  });

  it("orders as the keys do", () => {
    fc.assert(
      fc.property(anyKey, anyKey, fc.nat(32), (a, b, shared) => {
        b.set(a.subarray(0, shared));
        const [idA, idB] = [peerIdFromTrustedBytes(a), peerIdFromTrustedBytes(b)];
        expect(Math.sign(comparePeerIds(idA, idB))).toBe(Buffer.compare(a, b));
        expect(comparePeerIds(idA, `${idA}` as PeerId)).toBe(0);
      }),
    );
  });
});

describe("valid keys", () => {
  it("are those that the curve library can unpack, when canonical", () => {
    let onCurve = 0;
    for (let i = 0; i < 24; i++) {
      const key = nacl.hash(Uint8Array.of(i)).subarray(0, 32);
      const image = ed2curve.convertPublicKey(key);
      expect(isEd25519PublicKey(key)).toBe(image !== null);
      expect(x25519PublicKeyOf(key)).toEqual(image);
      if (image !== null) onCurve += 1;
    }
    expect(onCurve).toBeGreaterThan(5);
    expect(onCurve).toBeLessThan(19);
  });

  const all = (first: string, between: string, last: string) => first + between.repeat(30) + last;
  it.each([
    ["y = 0", all("00", "00", "00"), "low order"],
    ["y = 0, the other x", all("00", "00", "80"), "low order"],
    ["y = 1, x = 0", all("01", "00", "00"), "low order"],
    ["y = 1, x = 0 with a sign", all("01", "00", "80"), false],
    ["y = -1, x = 0", all("ec", "ff", "7f"), "low order"],
    ["y = -1, x = 0 with a sign", all("ec", "ff", "ff"), false],
    ["y = p", all("ed", "ff", "7f"), false],
    ["y = p, with a sign", all("ed", "ff", "ff"), false],
    ["y = p + 1", all("ee", "ff", "7f"), false],
    ["y = 2^255 - 1", all("ff", "ff", "7f"), false],
    ["all bits set", all("ff", "ff", "ff"), false],
    ["y = 2, not on the curve", all("02", "00", "00"), false],
    ["order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "low order"],
    ["order 8, the other x", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", "low order"],
    ["y = 3", all("03", "00", "00"), true],
    ["y = 3, the other x", all("03", "00", "80"), true],
  ])("%s", (_, hex, verdict) => {
    const key = fromHex(hex);
    expect(isEd25519PublicKey(key)).toBe(verdict !== false);
    expect(x25519PublicKeyOf(key) !== null).toBe(verdict === true);
    const valid = verdict === true;
    const text = peerIdFromTrustedBytes(key);
    expect(isPeerId(text)).toBe(valid);
    const outcome = (read: () => string) => (valid ? read() : codeOf(read));
    const expected = valid ? text : "EGTP_WIRE_BAD_PEER_ID";
    expect(outcome(() => peerIdFromBytes(key))).toBe(expected);
    expect(outcome(() => parsePeerId(text))).toBe(expected);
  });

  it("are 32 bytes", () => {
    for (const length of [0, 31, 33, 64]) {
      expect(codeOf(() => peerIdFromBytes(new Uint8Array(length)))).toBe("EGTP_WIRE_BAD_PEER_ID");
      expect(() => peerIdFromTrustedBytes(new Uint8Array(length))).toThrow(RangeError);
      expect(isEd25519PublicKey(new Uint8Array(length))).toBe(false);
    }
  });
});

describe("text", () => {
  const good = known[0]![1];

  it.each([
    ["empty", ""],
    ["too short", good.slice(1)],
    ["too long", `${good}y`],
    ["upper case", good.toUpperCase()],
    ["a character of another alphabet", `0${good.slice(1)}`],
    ["not ASCII", `\u0131${good.slice(1)}`],
    ["a space", ` ${good.slice(1)}`],
    ["a bit where zeros belong", `${good.slice(0, 51)}b`],
    ["all bits where zeros belong", `${good.slice(0, 51)}9`],
  ])("%s is refused", (_, text) => {
    expect(isPeerId(text)).toBe(false);
    expect(codeOf(() => parsePeerId(text))).toBe("EGTP_WIRE_BAD_PEER_ID");
  });

  it("is text", () => {
    for (const other of [undefined, null, 7, {}, fromHex(known[0]![0])]) expect(isPeerId(other)).toBe(false);
  });

  it("of any kind gives a peer ID or a WireError, and has one form", () => {
    const nearly = fc.stringMatching(/^[ybndrfg8ejkmcpqxot1uwisza345h769]{51}[yob]$/);
    fc.assert(
      fc.property(fc.oneof(nearly, fc.string({ unit: "binary" })), (text) => {
        expect(isPeerId(text)).toBe(thrownBy(() => parsePeerId(text)) === undefined);
        ifDecoded(
          () => parsePeerId(text),
          (id) => expect(peerIdFromBytes(peerIdToBytes(id))).toBe(text),
        );
      }),
    );
  });
});
