/** Certificates and keys as a caller gives them: PEM, as text or bytes. */
import { X509Certificate } from "node:crypto";
import https from "node:https";
import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { TransportError } from "../transport-error.ts";

/**
 * An HTTPS server with a certificate.
 *
 * @throws {@link TransportError} `EGTP_BAD_CERTIFICATE`
 */
export function createSecureServer(
  tls: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array },
  options: https.ServerOptions,
): https.Server {
  return usable("tls.cert, tls.key", () =>
    https.createServer({ ...options, cert: pemOf(tls.cert), key: pemOf(tls.key) }),
  );
}

/**
 * Trusts authorities beside those that Node.js trusts.
 *
 * @throws {@link TransportError} `EGTP_BAD_CERTIFICATE`
 */
export function trusting(ca: string | Uint8Array): SecureContext {
  return usable("ca", () => {
    new X509Certificate(pemOf(ca)); // a context silently passes over what is none
    return createSecureContext({ ca: [...rootCertificates, pemOf(ca)] });
  });
}

function usable<T>(what: string, use: () => T): T {
  try {
    return use();
  } catch (cause) {
    throw new TransportError("EGTP_BAD_CERTIFICATE", what, { cause });
  }
}

function pemOf(pem: string | Uint8Array): string | Buffer {
  return typeof pem === "string" ? pem : Buffer.from(pem);
}
