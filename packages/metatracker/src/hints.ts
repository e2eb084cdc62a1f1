/**
 * What the reader of an error can do about it, by its code. What a bundler builds for the users of a page (the condition
 * `production`, without `node`) gets `no-hints.ts` in its place: these are for whoever writes the program.
 */
export const metatrackerHints = {
  EGTP_METATRACKER_NONE_KNOWN:
    "Name a boot page that can be loaded, or a metatracker and where it is; see the cause for why pages failed.",
  EGTP_METATRACKER_NO_ANSWER: "Look at the reasons: each says why that metatracker did not answer.",
  EGTP_METATRACKER_REFUSED: "Look at the reasons. Expired or not yet valid: check the clock of this machine.",
  EGTP_METATRACKER_BAD_ANSWER: "Tell whoever runs it; the others are believed as far as what they say is signed.",
  EGTP_METATRACKER_BAD_MESSAGE:
    "The other side does not keep to the protocol: drop the message and update the older of the two.",
  EGTP_METATRACKER_TOO_FAST: "Ask less often; answers may be kept for a while. The rates are the metatracker's to set.",
  EGTP_METATRACKER_CLOSED: "Start the node first; make a new lookup for each node.",
  EGTP_DIRECTORY_CLOSED: "Open the store again to go on.",
} as const;

export const pageHints = {
  EGTP_BOOT_PAGE_URL: "It looks like https://example.org/boot.json#ID, where ID is its publisher's peer ID.",
  EGTP_BOOT_PAGE_UNREACHABLE: "Check the address and this machine's network. See the cause.",
  EGTP_BOOT_PAGE_TIMEOUT: "Try another boot page; it is tried again by itself.",
  EGTP_BOOT_PAGE_STATUS: "Check the address, and whether its publisher still serves it there.",
  EGTP_BOOT_PAGE_REDIRECT: "Use the address that it leads to, or tell its publisher.",
  EGTP_BOOT_PAGE_TOO_LARGE: "Check the address.",
  EGTP_BOOT_PAGE_INVALID: "Check the address, or tell its publisher. See the cause.",
  EGTP_BOOT_PAGE_WRONG_PUBLISHER:
    "Somebody took its place, or it moved: ask its publisher for the present address, ID included.",
  EGTP_BOOT_PAGE_OLD: "Its publisher should put the newest one there.",
} as const;
