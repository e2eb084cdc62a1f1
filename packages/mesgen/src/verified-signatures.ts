/**
 * Signatures that were found good a moment ago. A contact record is verified by each part that takes it in, and the same one
 * comes from several metatrackers, so the same question is asked several times in a row; the answer costs as much as many
 * messages, in a browser as much as a thousand.
 *
 * Bounds: `maxRemembered` of at most `maxMessageBytes`; the oldest leaves.
 */
import { equalBytes, type VerifySignature } from "@egtp/wire";

const maxRemembered = 32;
/** Room for a contact record; what is longer is rarely asked about twice. */
const maxMessageBytes = 2_048;

interface Verified {
  readonly publicKey: Uint8Array;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
}

/** The same verdicts, without asking twice. Nothing but the very bytes that were found good is taken for good. */
export function rememberVerified(verify: VerifySignature): VerifySignature {
  const recent: Verified[] = [];
  return (publicKey, message, signature) => {
    for (const known of recent) {
      if (
        equalBytes(known.signature, signature) &&
        equalBytes(known.publicKey, publicKey) &&
        equalBytes(known.message, message)
      )
        return true;
    }
    if (!verify(publicKey, message, signature)) return false;
    if (message.length <= maxMessageBytes) {
      recent.push({ publicKey: publicKey.slice(), message: message.slice(), signature: signature.slice() });
      if (recent.length > maxRemembered) recent.shift();
    }
    return true;
  };
}
