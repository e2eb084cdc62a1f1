/**
 * A session or offer ID in both its forms, as bytes and as text, remembered: a conversation that goes to and fro is under one
 * session, and writing its name out anew for each envelope costs more than looking it up.
 */
import { equalBytes, fromHex, toHex } from "@egtp/wire";

export class RecentId {
  #text = "";
  #bytes: Uint8Array = new Uint8Array(0);

  /** @param bytes - Borrowed. */
  textOf(bytes: Uint8Array): string {
    if (equalBytes(bytes, this.#bytes)) return this.#text;
    this.#bytes = bytes.slice();
    this.#text = toHex(bytes);
    return this.#text;
  }

  /** @returns Not to be changed. */
  bytesOf(text: string): Uint8Array {
    if (text === this.#text) return this.#bytes;
    this.#bytes = fromHex(text);
    this.#text = text;
    return this.#bytes;
  }
}
