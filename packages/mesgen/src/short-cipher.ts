/**
 * ChaCha20-Poly1305 (RFC 8439) for short texts, in plain JavaScript.
 *
 * Most envelopes are short, and what a cipher of `node:crypto` costs for them is not the cipher: each call makes an object
 * with native memory that the garbage collector has to follow, some 10 microseconds in a program that does anything else.
 * This makes none; it takes 1 to 4 microseconds up to {@link maxShortBytes}. Beyond, the native one is faster.
 *
 * No branch and no address depends on a key or a text. The state of a call lies in memory of this file, which is overwritten
 * before it returns; what V8 keeps in registers and on its stack is beyond us, as in every JavaScript.
 *
 * Its plain twins are noble's implementation and that of `node:crypto`; the tests hold it against both.
 */
import { tagBytes } from "./crypto.ts";

/** Beyond so many bytes of text `node:crypto` is faster. */
export const maxShortBytes = 512;

/**
 * Seals a text.
 *
 * @param key - 32 bytes.
 * @param nonce - 12 bytes, never used before with this key.
 * @param out - Gets ciphertext and tag at `outOffset`. There is room for them.
 */
export function sealShort(
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
  plaintext: Uint8Array,
  out: Uint8Array,
  outOffset: number,
): void {
  const { length } = plaintext;
  begin(key, nonce);
  applyKeyStream(plaintext, length, out, outOffset);
  authenticate(associatedData, 0, associatedData.length);
  authenticate(out, outOffset, outOffset + length);
  finish(associatedData.length, length);
  for (let at = 0; at < tagBytes; at++) out[outOffset + length + at] = tagByte(at);
  forget();
}

/**
 * Opens what {@link sealShort} made.
 *
 * @returns The text in new memory, or `null` when its tag is not right.
 */
export function openShort(
  key: Uint8Array,
  nonce: Uint8Array,
  associatedData: Uint8Array,
  ciphertextAndTag: Uint8Array,
): Uint8Array | null {
  const length = ciphertextAndTag.length - tagBytes;
  if (length < 0) return null;
  begin(key, nonce);
  authenticate(associatedData, 0, associatedData.length);
  authenticate(ciphertextAndTag, 0, length);
  finish(associatedData.length, length);
  let difference = 0;
  for (let at = 0; at < tagBytes; at++) difference |= tagByte(at) ^ ciphertextAndTag[length + at]!;
  let plaintext: Uint8Array | null = null;
  if (difference === 0) {
    plaintext = new Uint8Array(length);
    applyKeyStream(ciphertextAndTag, length, plaintext, 0);
  }
  forget();
  return plaintext;
}

// ---- ChaCha20

/** "expand 32-byte k", the key in 8 words, the block counter, the nonce in 3. */
const state = new Int32Array(16);
state.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
const keyAt = 4;
const counterAt = 12;
const nonceAt = 13;
/** The block of key stream that {@link nextBlock} made. */
const block = new Int32Array(16);

/** Sets key and nonce; the first block of key stream is the key of the authenticator. */
function begin(key: Uint8Array, nonce: Uint8Array): void {
  for (let i = 0; i < 8; i++) state[keyAt + i] = word(key, 4 * i);
  state[counterAt] = 0;
  for (let i = 0; i < 3; i++) state[nonceAt + i] = word(nonce, 4 * i);
  nextBlock();
  beginAuthentication();
}

function forget(): void {
  state.fill(0, keyAt);
  block.fill(0);
  r.fill(0);
  h.fill(0);
  pad.fill(0);
  g.fill(0);
  tag.fill(0);
  lastChunk.fill(0);
}

/** Text and key stream, bit by bit one or the other; the same gives the text back. */
function applyKeyStream(text: Uint8Array, length: number, out: Uint8Array, outOffset: number): void {
  let at = 0;
  for (; at + 64 <= length; at += 64) {
    nextBlock();
    for (let i = 0, from = at, to = outOffset + at; i < 16; i++, from += 4, to += 4) {
      const stream = block[i]!;
      out[to] = text[from]! ^ stream;
      out[to + 1] = text[from + 1]! ^ (stream >> 8);
      out[to + 2] = text[from + 2]! ^ (stream >> 16);
      out[to + 3] = text[from + 3]! ^ (stream >> 24);
    }
  }
  if (at === length) return;
  nextBlock();
  for (let i = 0; at < length; i++, at++) out[outOffset + at] = text[at]! ^ (block[i >> 2]! >> (8 * (i & 3)));
}

/** Twenty rounds over the state, and the counter one on. */
function nextBlock(): void {
  let x0 = state[0]!;
  let x1 = state[1]!;
  let x2 = state[2]!;
  let x3 = state[3]!;
  let x4 = state[4]!;
  let x5 = state[5]!;
  let x6 = state[6]!;
  let x7 = state[7]!;
  let x8 = state[8]!;
  let x9 = state[9]!;
  let x10 = state[10]!;
  let x11 = state[11]!;
  let x12 = state[12]!;
  let x13 = state[13]!;
  let x14 = state[14]!;
  let x15 = state[15]!;
  // biome-ignore format: a quarter round a line, columns first, then diagonals.
  for (let round = 0; round < 20; round += 2) {
    x0 = (x0 + x4) | 0; x12 = turn(x12 ^ x0, 16); x8 = (x8 + x12) | 0; x4 = turn(x4 ^ x8, 12); x0 = (x0 + x4) | 0; x12 = turn(x12 ^ x0, 8); x8 = (x8 + x12) | 0; x4 = turn(x4 ^ x8, 7);
    x1 = (x1 + x5) | 0; x13 = turn(x13 ^ x1, 16); x9 = (x9 + x13) | 0; x5 = turn(x5 ^ x9, 12); x1 = (x1 + x5) | 0; x13 = turn(x13 ^ x1, 8); x9 = (x9 + x13) | 0; x5 = turn(x5 ^ x9, 7);
    x2 = (x2 + x6) | 0; x14 = turn(x14 ^ x2, 16); x10 = (x10 + x14) | 0; x6 = turn(x6 ^ x10, 12); x2 = (x2 + x6) | 0; x14 = turn(x14 ^ x2, 8); x10 = (x10 + x14) | 0; x6 = turn(x6 ^ x10, 7);
    x3 = (x3 + x7) | 0; x15 = turn(x15 ^ x3, 16); x11 = (x11 + x15) | 0; x7 = turn(x7 ^ x11, 12); x3 = (x3 + x7) | 0; x15 = turn(x15 ^ x3, 8); x11 = (x11 + x15) | 0; x7 = turn(x7 ^ x11, 7);
    x0 = (x0 + x5) | 0; x15 = turn(x15 ^ x0, 16); x10 = (x10 + x15) | 0; x5 = turn(x5 ^ x10, 12); x0 = (x0 + x5) | 0; x15 = turn(x15 ^ x0, 8); x10 = (x10 + x15) | 0; x5 = turn(x5 ^ x10, 7);
    x1 = (x1 + x6) | 0; x12 = turn(x12 ^ x1, 16); x11 = (x11 + x12) | 0; x6 = turn(x6 ^ x11, 12); x1 = (x1 + x6) | 0; x12 = turn(x12 ^ x1, 8); x11 = (x11 + x12) | 0; x6 = turn(x6 ^ x11, 7);
    x2 = (x2 + x7) | 0; x13 = turn(x13 ^ x2, 16); x8 = (x8 + x13) | 0; x7 = turn(x7 ^ x8, 12); x2 = (x2 + x7) | 0; x13 = turn(x13 ^ x2, 8); x8 = (x8 + x13) | 0; x7 = turn(x7 ^ x8, 7);
    x3 = (x3 + x4) | 0; x14 = turn(x14 ^ x3, 16); x9 = (x9 + x14) | 0; x4 = turn(x4 ^ x9, 12); x3 = (x3 + x4) | 0; x14 = turn(x14 ^ x3, 8); x9 = (x9 + x14) | 0; x4 = turn(x4 ^ x9, 7);
  }
  block[0] = x0 + state[0]!;
  block[1] = x1 + state[1]!;
  block[2] = x2 + state[2]!;
  block[3] = x3 + state[3]!;
  block[4] = x4 + state[4]!;
  block[5] = x5 + state[5]!;
  block[6] = x6 + state[6]!;
  block[7] = x7 + state[7]!;
  block[8] = x8 + state[8]!;
  block[9] = x9 + state[9]!;
  block[10] = x10 + state[10]!;
  block[11] = x11 + state[11]!;
  block[12] = x12 + state[12]!;
  block[13] = x13 + state[13]!;
  block[14] = x14 + state[14]!;
  block[15] = x15 + state[15]!;
  state[counterAt]!++;
}

function turn(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

// ---- Poly1305

// Numbers modulo 2^130 - 5 are sums of six limbs, limb i standing for 2^(22 i), in doubles. A limb of `h` stays below 2^24
// and one of `r` below 2^22, times 20 where 2^132 is folded back as 20; a sum of six products is below 2^53, so exact.
const limb = 2 ** 22;
const limbMask = limb - 1;
const topLimb = 2 ** 20; // of the highest, to make 130 bits
const fold = 20;
const r = new Float64Array(6);
const h = new Float64Array(6);
const pad = new Uint32Array(4);
const tag = new Uint32Array(4);
/** Of h + 5, then of the number that the tag is made of. */
const g = new Int32Array(6);
const lastChunk = new Uint8Array(16);

/** Takes r and pad from the first block of key stream. */
function beginAuthentication(): void {
  const t0 = block[0]! & 0x0fff_ffff;
  const t1 = block[1]! & 0x0fff_fffc;
  const t2 = block[2]! & 0x0fff_fffc;
  const t3 = block[3]! & 0x0fff_fffc;
  r[0] = t0 & limbMask;
  r[1] = ((t0 >>> 22) | (t1 << 10)) & limbMask;
  r[2] = ((t1 >>> 12) | (t2 << 20)) & limbMask;
  r[3] = (t2 >>> 2) & limbMask;
  r[4] = ((t2 >>> 24) | (t3 << 8)) & limbMask;
  r[5] = t3 >>> 14;
  h.fill(0);
  for (let i = 0; i < 4; i++) pad[i] = block[4 + i]!;
}

/** Takes in bytes, with zeros up to a multiple of 16. */
function authenticate(bytes: Uint8Array, from: number, to: number): void {
  const whole = from + ((to - from) & ~15);
  authenticateChunks(bytes, from, whole);
  if (whole === to) return;
  lastChunk.fill(0);
  for (let at = whole; at < to; at++) lastChunk[at - whole] = bytes[at]!;
  authenticateChunks(lastChunk, 0, 16);
}

/** For each 16 bytes: adds them, with a bit above, and multiplies by r. */
function authenticateChunks(bytes: Uint8Array, from: number, to: number): void {
  const r0 = r[0]!;
  const r1 = r[1]!;
  const r2 = r[2]!;
  const r3 = r[3]!;
  const r4 = r[4]!;
  const r5 = r[5]!;
  const s1 = fold * r1;
  const s2 = fold * r2;
  const s3 = fold * r3;
  const s4 = fold * r4;
  const s5 = fold * r5;
  let h0 = h[0]!;
  let h1 = h[1]!;
  let h2 = h[2]!;
  let h3 = h[3]!;
  let h4 = h[4]!;
  let h5 = h[5]!;
  for (let at = from; at < to; at += 16) {
    const t0 = word(bytes, at);
    const t1 = word(bytes, at + 4);
    const t2 = word(bytes, at + 8);
    const t3 = word(bytes, at + 12);
    h0 += t0 & limbMask;
    h1 += ((t0 >>> 22) | (t1 << 10)) & limbMask;
    h2 += ((t1 >>> 12) | (t2 << 20)) & limbMask;
    h3 += (t2 >>> 2) & limbMask;
    h4 += ((t2 >>> 24) | (t3 << 8)) & limbMask;
    h5 += (t3 >>> 14) | (1 << 18);
    const d0 = h0 * r0 + h1 * s5 + h2 * s4 + h3 * s3 + h4 * s2 + h5 * s1;
    let d1 = h0 * r1 + h1 * r0 + h2 * s5 + h3 * s4 + h4 * s3 + h5 * s2;
    let d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s5 + h4 * s4 + h5 * s3;
    let d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s5 + h5 * s4;
    let d4 = h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0 + h5 * s5;
    let d5 = h0 * r5 + h1 * r4 + h2 * r3 + h3 * r2 + h4 * r1 + h5 * r0;
    let carry = Math.floor(d0 / limb);
    h0 = d0 - carry * limb;
    d1 += carry;
    carry = Math.floor(d1 / limb);
    h1 = d1 - carry * limb;
    d2 += carry;
    carry = Math.floor(d2 / limb);
    h2 = d2 - carry * limb;
    d3 += carry;
    carry = Math.floor(d3 / limb);
    h3 = d3 - carry * limb;
    d4 += carry;
    carry = Math.floor(d4 / limb);
    h4 = d4 - carry * limb;
    d5 += carry;
    carry = Math.floor(d5 / limb);
    h5 = d5 - carry * limb;
    h0 += fold * carry;
    carry = Math.floor(h0 / limb);
    h0 -= carry * limb;
    h1 += carry;
  }
  h[0] = h0;
  h[1] = h1;
  h[2] = h2;
  h[3] = h3;
  h[4] = h4;
  h[5] = h5;
}

/** Takes in the lengths and leaves the tag. */
function finish(associatedBytes: number, textBytes: number): void {
  lastChunk.fill(0);
  for (let i = 0; i < 4; i++) {
    lastChunk[i] = associatedBytes >>> (8 * i);
    lastChunk[8 + i] = textBytes >>> (8 * i);
  }
  authenticateChunks(lastChunk, 0, 16);

  // Below 2^130 + 16 from here on.
  let carry = Math.floor(h[5]! / topLimb);
  h[5]! -= carry * topLimb;
  h[0]! += 5 * carry;
  for (let i = 0; i < 5; i++) {
    carry = Math.floor(h[i]! / limb);
    h[i]! -= carry * limb;
    h[i + 1]! += carry;
  }
  // Modulo 2^130 - 5: g = h + 5 has a bit 130 exactly when h is 2^130 - 5 or more, and then its rest is the number.
  carry = 5;
  let isAbove = 0;
  for (let i = 0; i < 6; i++) {
    carry += h[i]!;
    g[i] = carry & (i === 5 ? topLimb - 1 : limbMask);
    carry >>>= i === 5 ? 20 : 22;
    isAbove = -carry;
  }
  for (let i = 0; i < 6; i++) g[i] = (h[i]! & ~isAbove) | (g[i]! & isAbove);

  tag[0] = g[0]! | (g[1]! << 22);
  tag[1] = (g[1]! >>> 10) | (g[2]! << 12);
  tag[2] = (g[2]! >>> 20) | (g[3]! << 2) | (g[4]! << 24);
  tag[3] = (g[4]! >>> 8) | (g[5]! << 14);
  let sum = 0;
  for (let i = 0; i < 4; i++) {
    sum = tag[i]! + pad[i]! + Math.floor(sum / 2 ** 32);
    tag[i] = sum;
  }
}

function tagByte(at: number): number {
  return (tag[at >> 2]! >>> (8 * (at & 3))) & 0xff;
}

/** Four bytes, the lowest first. */
function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
