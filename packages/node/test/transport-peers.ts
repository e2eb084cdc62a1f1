/** Two peers for the tests of transports: public keys of RFC 8032, section 7.1. */
import { fromHex, type PeerId, peerIdFromBytes } from "@egtp/wire";

export const peers = [
  "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
  "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
].map((hex) => peerIdFromBytes(fromHex(hex))) as [PeerId, PeerId];
