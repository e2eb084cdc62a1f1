/**
 * Envelopes that must stay small: over a link on which we may send only so many bytes, or with nothing in them but what
 * belongs to that link.
 */
import type { Carrier } from "@egtp/mesgen";
import {
  authTagBytes,
  envelopeHeaderBytes,
  FrameWriter,
  type Millis,
  maxPlaintextBytes,
  type PeerId,
} from "@egtp/wire";
import type { Endpoint, LinkFrames } from "./endpoint.ts";

export interface TightOptions {
  /** The envelope is no longer than this, or there is none. */
  readonly maxBytes: number;
  /** Only the frames of the link: messages leave on another one. */
  readonly linkFramesOnly: boolean;
  readonly sealedSender: boolean;
}

/** A rejected list of one entry, the usual answer to an unreadable envelope, with its tag and floor. */
const usualControlBytes = 2 + 33;

/**
 * The next envelope for a peer, within bounds.
 *
 * @returns `undefined` when there is nothing to say, or no room to say it.
 */
export function tightEnvelope(
  endpoint: Endpoint,
  peer: PeerId,
  now: Millis,
  link: LinkFrames,
  { maxBytes, linkFramesOnly, sealedSender }: TightOptions,
): Uint8Array | undefined {
  const { mesgen, delivery } = endpoint;
  const header = envelopeHeaderBytes("offer", sealedSender) + authTagBytes;
  const room = Math.min(maxBytes - header - usualControlBytes, maxPlaintextBytes / 2);
  if (room <= 0) return undefined;
  const wants = delivery.wants(peer, now);
  const application = wants.application && !linkFramesOnly;

  const buffer = new Uint8Array(room);
  const writer = new FrameWriter(buffer);
  if (link.challenge !== undefined) writer.linkChallenge(link.challenge);
  for (const response of link.responses ?? []) writer.linkResponse(response);
  const linkLength = writer.length;
  const owes = mesgen.owes(peer, now);
  if (linkLength === 0 && !owes && (linkFramesOnly || !wants.any)) return undefined;

  const carrier: Carrier = mesgen.carrier(peer, now, {
    application,
    established: !linkFramesOnly && wants.establishedOnly,
  });
  let length = linkLength;
  if (!linkFramesOnly && wants.any) {
    const rest = new FrameWriter(buffer.subarray(linkLength));
    if (delivery.fill(peer, carrier, rest, now)) length += rest.length;
    else if (linkLength === 0 && !owes) return undefined;
  }
  const envelope = mesgen.seal(carrier, buffer.subarray(0, length), now);
  // A longer rejected list than usual: as if it were lost on the way.
  return envelope.length <= maxBytes ? envelope : undefined;
}
