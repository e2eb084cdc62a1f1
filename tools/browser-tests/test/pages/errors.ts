/** Errors as a page has them. */
import { BootPageError } from "@egtp/metatracker";
import { RejectedError, TransportError, UnreachableError } from "@egtp/node";
import { RelayError } from "@egtp/relay";
import { type PeerId, WireError } from "@egtp/wire";

const peer = "47pjoycnsrfmxikm95jh13y88e8qnhzu5kungjpxyepgt7a8krpy" as PeerId;

export const errors = [
  new WireError("EGTP_WIRE_BAD_HEX", "not digits"),
  new TransportError("EGTP_DIAL_FAILED", "ws://peer.example/"),
  new UnreachableError(peer, []),
  new RejectedError(peer, "demo/ping", "quota"),
  new BootPageError("EGTP_BOOT_PAGE_OLD", "https://example.org/boot.json"),
  new RelayError("EGTP_RELAY_LOST", "gone"),
];
