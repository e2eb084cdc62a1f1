/** The providers that every test of the seam runs over. */
import type { CryptoProvider } from "../src/crypto.ts";
import * as portable from "../src/crypto-portable.ts";
import * as node from "../src/nodejs/crypto-node.ts";
import { loadShortTextLibrary } from "../src/nodejs/short-texts.ts";

export const providers: readonly CryptoProvider[] = [portable.portableCryptoProvider, node.nodeCryptoProvider];

/** Sealing and opening under any nonce, which the seam itself does not offer. The last one is the one before it, prepared. */
export const aeads = [
  { name: "portable", seal: portable.sealWithNonce, open: portable.openWithNonce, prepare: undefined },
  { name: "node", seal: node.sealWithNonce, open: node.openWithNonce, prepare: undefined },
  { name: "libsodium", seal: node.sealWithNonce, open: node.openWithNonce, prepare: loadShortTextLibrary },
] as const;
