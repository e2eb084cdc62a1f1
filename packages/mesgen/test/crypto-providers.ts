/** The providers that every test of the seam runs over. */
import type { CryptoProvider } from "../src/crypto.ts";
import * as portable from "../src/crypto-portable.ts";
import * as node from "../src/nodejs/crypto-node.ts";

export const providers: readonly CryptoProvider[] = [portable.portableCryptoProvider, node.nodeCryptoProvider];

/** Sealing and opening under any nonce, which the seam itself does not offer. */
export const aeads = [
  { name: "portable", seal: portable.sealWithNonce, open: portable.openWithNonce },
  { name: "node", seal: node.sealWithNonce, open: node.openWithNonce },
] as const;
