/**
 * Which metatrackers keep the record of a peer: those with the highest scores for it. Whoever knows the same metatrackers
 * finds the same ones, without asking anybody; when one joins or leaves, only the records that it gets or had move.
 *
 * @see docs/spec.md, "Metatracker"
 */
import { defaultCryptoProvider } from "@egtp/mesgen";
import { compareBytes, encodeUtf8, type PeerId, peerIdToBytes } from "@egtp/wire";

const domain = encodeUtf8("egtp rendezvous\0");
const scoreBytes = 8;

/** The metatrackers in the order in which they are near to a peer, the nearest first. */
export function orderByNearness(peer: PeerId, metatrackers: Iterable<PeerId>): PeerId[] {
  const target = peerIdToBytes(peer);
  return [...metatrackers]
    .map((id) => {
      const bytes = peerIdToBytes(id);
      return { id, bytes, score: defaultCryptoProvider.sha512(domain, bytes, target).subarray(0, scoreBytes) };
    })
    .sort((a, b) => compareBytes(b.score, a.score) || compareBytes(a.bytes, b.bytes))
    .map(({ id }) => id);
}
