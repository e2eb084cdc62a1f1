// The bodies of the harness's own requests: an echo of some bytes, and "tell me when this many messages are here".

export const ECHO = 0;
const CONFIRM = 1;

export function encodeEcho(size) {
  return new Uint8Array(size);
}

export function encodeConfirm(messages) {
  const body = new Uint8Array(9);
  body[0] = CONFIRM;
  new DataView(body.buffer).setFloat64(1, messages);
  return body;
}

export function readConfirm(body) {
  if (body[0] !== CONFIRM) throw new Error(`unknown request ${body[0]}`);
  return new DataView(body.buffer, body.byteOffset, body.byteLength).getFloat64(1);
}

export function encodeTotal(messages, bytes) {
  const body = new Uint8Array(16);
  const view = new DataView(body.buffer);
  view.setFloat64(0, messages);
  view.setFloat64(8, bytes);
  return body;
}

export function readTotal(body) {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return { messages: view.getFloat64(0), bytes: view.getFloat64(8) };
}
