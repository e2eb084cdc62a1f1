/**
 * The frames that mesgen reads and writes for itself: the rejected list and the close. They stand first in the plaintext;
 * everything after them belongs to the layer above.
 */

import { FrameReader, FrameWriter, maxRejectedEntries, type RejectedEntry, WireError } from "@egtp/wire";

export interface Control {
  readonly rejected: readonly RejectedEntry[];
  /** The reason of a close, if there is one. */
  readonly close: number | undefined;
  /** The frames after them: a view. */
  readonly rest: Uint8Array;
}

/** The largest rejected list (an entry is 16 + 1 + 8 + 8 bytes) and a close. */
export const maxControlBytes = 2 + maxRejectedEntries * 33 + 2;

const noEntries: readonly RejectedEntry[] = [];
const noBytes = new Uint8Array(0);
const reader = new FrameReader(noBytes);

/**
 * Reads them. The frame after them is read too, so that what is no run of frames at all is found before anything changed.
 *
 * @returns `null` when they are malformed.
 */
export function readControl(plaintext: Uint8Array): Control | null {
  reader.reset(plaintext);
  let rejected = noEntries;
  let close: number | undefined;
  try {
    while (reader.next()) {
      if (reader.kind === "rejectedList") rejected = reader.entries;
      else if (reader.kind === "close") close = reader.reason;
      else return { rejected, close, rest: plaintext.subarray(reader.frameOffset) };
    }
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  } finally {
    reader.reset(noBytes);
  }
  return { rejected, close, rest: noBytes };
}

/** Puts them before other frames. The result is new memory, or `frames` itself when there is nothing to put. */
export function withControl(
  rejected: readonly RejectedEntry[] | undefined,
  close: number | undefined,
  frames: Uint8Array,
): Uint8Array {
  if (rejected === undefined && close === undefined) return frames;
  const writer = new FrameWriter(new Uint8Array(maxControlBytes + frames.length));
  if (rejected !== undefined) writer.rejectedList(rejected);
  if (close !== undefined) writer.close(close);
  writer.raw(frames);
  return writer.bytes();
}
