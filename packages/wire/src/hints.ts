/**
 * What the reader of an error can do about it, by its code. What a bundler builds for the users of a page (the condition
 * `production`, without `node`) gets `no-hints.ts` in its place: these are for whoever writes the program.
 */
export const wireHints = {
  EGTP_WIRE_TRUNCATED: "The bytes end too early: hand over one whole item, and look for a transport that cuts.",
  EGTP_WIRE_TRAILING_BYTES: "Bytes follow the end of the item: hand over exactly one item.",
  EGTP_WIRE_TOO_LARGE: "Something is longer than the protocol allows: split it, or close the link that sent it.",
  EGTP_WIRE_BAD_LENGTH: "The byte stream is not EGTP, or has lost its place: close the link and dial again.",
  EGTP_WIRE_BAD_NUMBER:
    "A number is not in its shortest form or is above 2^53 - 1: the sender does not keep to the protocol.",
  EGTP_WIRE_BAD_HEX: "Expected lower-case hexadecimal digits, two for each byte.",
  EGTP_WIRE_BAD_PEER_ID:
    "A peer ID is the 52 characters of one Ed25519 public key: copy it again, whole and unchanged.",
  EGTP_WIRE_UNKNOWN_VERSION: "The other side speaks another version of EGTP: update the older of the two.",
  EGTP_WIRE_UNKNOWN_TYPE: "Not a kind of envelope that version 1 knows: drop it.",
  EGTP_WIRE_BAD_FLAGS: "Flag bits that version 1 keeps at zero are set: drop it.",
  EGTP_WIRE_BAD_COUNTER: "An envelope's counter is 2^32 or more, where a session has ended: drop it.",
  EGTP_WIRE_UNKNOWN_FRAME: "Not a frame that version 1 knows: drop the envelope and update the older side.",
  EGTP_WIRE_BAD_FRAME:
    "A frame breaks a rule of its kind: drop the envelope, its sender does not keep to the protocol.",
  EGTP_WIRE_BAD_BODY: "Not a value that a message body can hold: see docs/body-values.md, or send raw bytes.",
  EGTP_WIRE_BAD_RECORD: "Not a contact record of version 1: drop it and ask another directory.",
  EGTP_WIRE_BAD_BOOT_PAGE: "Not a boot page of version 1: check the URL, and what the web server hands out under it.",
  EGTP_WIRE_BAD_SIGNATURE:
    "The peer that it names did not sign it: drop it and ask another directory, or load another page.",
  EGTP_WIRE_EXPIRED:
    "It is no longer valid: look the peer up again, or load the page again; if it is your own, publish a new one.",
  EGTP_WIRE_NOT_YET_VALID: "It is from the future: check the clocks of both machines.",
} as const;

export const schemaHints = {
  EGTP_SCHEMA_MISMATCH: "Send what the message type's schema describes, and use the same schema on both sides.",
} as const;
