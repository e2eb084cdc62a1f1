/** Puts files together whose pieces arrive as messages, in whatever order, each perhaps twice. */
import type { PeerId } from "@egtp/node";

export const pieceBytes = 128 * 1024;
/** A page keeps what it is sent in memory. */
export const maxDroppedBytes = 32 * 1024 * 1024;
const maxPieces = maxDroppedBytes / pieceBytes;
/** Files of which pieces are missing; the oldest makes room. Bounds what those take who never send the rest. */
const maxOpenFiles = 4;

export interface FilePiece {
  /** Chosen by the sender; tells apart files of the same name. */
  readonly file: string;
  readonly name: string;
  readonly index: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

export interface CollectedFile {
  readonly from: PeerId;
  readonly name: string;
  readonly bytes: Uint8Array;
}

export class PieceCollector {
  readonly #onFile: (file: CollectedFile) => void;
  readonly #files = new Map<string, Map<number, Uint8Array>>();

  constructor(onFile: (file: CollectedFile) => void) {
    this.#onFile = onFile;
  }

  /** @throws `RangeError` for what can be no piece. */
  take(from: PeerId, { file, name, index, count, bytes }: FilePiece): void {
    if (count > maxPieces || index >= count || bytes.length > pieceBytes) throw new RangeError("No piece of a file");
    const key = `${from} ${file} ${count}`;
    const pieces = this.#files.get(key) ?? new Map<number, Uint8Array>();
    this.#files.set(key, pieces);
    pieces.set(index, bytes.slice());
    if (pieces.size < count) {
      for (const oldest of this.#files.keys()) {
        if (this.#files.size <= maxOpenFiles) break;
        this.#files.delete(oldest);
      }
      return;
    }
    this.#files.delete(key);
    const whole = new Uint8Array([...pieces.values()].reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (let next = 0; next < count; next++) {
      const piece = pieces.get(next)!;
      whole.set(piece, at);
      at += piece.length;
    }
    this.#onFile({ from, name, bytes: whole });
  }
}
