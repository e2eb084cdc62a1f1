// TLS 1.3, mutual, all that a turn of the event loop sends joined into one write.

import { tlsPeer } from "./tls.mjs";

export const { title, calls, variantOf, prepare, listen, createDialer } = tlsPeer({ joined: true });
