// Raw TCP, all that a turn of the event loop sends joined into one write.

import { tcpPeer } from "./tcp.mjs";

export const { title, calls, variantOf, listen, createDialer } = tcpPeer({ joined: true });
