/** The public names of @egtp/wire. */
export { x25519PublicKeyOf } from "./birational-map.ts";
export { decodeBody, encodeBody } from "./body.ts";
export { type BootPage, signBootPage, verifyBootPage } from "./boot-page.ts";
export {
  ByteReader,
  ByteWriter,
  compareBytes,
  concatBytes,
  decodeUtf8,
  encodeUtf8,
  equalBytes,
  fromHex,
  toHex,
  varintLength,
  writeVarint,
} from "./bytes.ts";
export { checkedLimits } from "./checked-limits.ts";
export {
  type ContactRecord,
  isOwnStrategyKind,
  isWebSocketUrl,
  type OwnStrategyKind,
  type Strategy,
  signContactRecord,
  verifyContactRecord,
} from "./contact-record.ts";
export { isEd25519PublicKey, signatureBytes, type VerifySignature, verifyEd25519 } from "./ed25519.ts";
export { isWellFormedSignature } from "./ed25519-encoding.ts";
export {
  decodeEnvelope,
  type Envelope,
  type EnvelopeHeader,
  type EnvelopeType,
  encodeEnvelopeHeader,
  envelopeHeaderBytes,
} from "./envelope.ts";
export {
  EgtpError,
  SchemaError,
  type SchemaErrorCode,
  type SchemaIssue,
  WireError,
  type WireErrorCode,
} from "./errors.ts";
export { closeReason, type FrameKind, type RejectedEntry } from "./frame.ts";
export { FrameReader } from "./frame-reader.ts";
export { FrameWriter, type MessageFields, type ReceiptFields, type ReplyFields } from "./frame-writer.ts";
export { EnvelopeSplitter, writeLengthPrefix } from "./framing.ts";
export {
  type Epoch,
  epochFromBytes,
  type OfferId,
  offerIdFromBytes,
  type SessionId,
  type StoreTag,
  sessionIdFromBytes,
  storeTagFromBytes,
} from "./ids.ts";
export * from "./limits.ts";
export {
  decodeMessageBody,
  decodeMessageReply,
  defineMessage,
  encodeMessageBody,
  encodeMessageReply,
  type MessageType,
  type MessageTypeOptions,
  type RawBytes,
} from "./message-type.ts";
export {
  comparePeerIds,
  isPeerId,
  type PeerId,
  parsePeerId,
  peerIdFromBytes,
  peerIdFromTrustedBytes,
  peerIdToBytes,
} from "./peer-id.ts";
export { decodeTypeName, encodeTypeName } from "./type-name.ts";
