/** Those around a relay, driven by hand: an owner of a mailbox, and somebody who passes envelopes along. */
import type { EgtpNode } from "@egtp/node";
import { type Millis, minEnvelopeBytes, type PeerId, peerIdToBytes } from "@egtp/wire";
import {
  acknowledgeMessage,
  type Collected,
  collectRequest,
  decodeCollected,
  decodeMail,
  decodePassAlongStatus,
  encodeAcknowledgement,
  encodePassAlong,
  mailMessage,
  type PassAlongStatus,
  passAlongRequest,
  type Registration,
  registerRequest,
  unregisterRequest,
} from "../src/protocol.ts";

/** An envelope that only this number makes: nobody between its ends looks inside. */
export function envelope(content: number, bytes = minEnvelopeBytes): Uint8Array {
  const made = new Uint8Array(bytes);
  new DataView(made.buffer).setUint32(0, content);
  return made;
}

export function contentOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

export class Owner {
  readonly node: EgtpNode;
  readonly relay: PeerId;
  /** What was handed over, in order. */
  readonly got: { readonly number: number; readonly content: number; readonly envelope: Uint8Array }[] = [];
  tag = new Uint8Array(8);
  /** Whether it acknowledges what it gets. */
  acknowledges: boolean;
  /** While it is set, its node takes nothing in. */
  busy: Promise<void> | undefined;
  /** Of its process, as it says when it registers. */
  run: number;

  constructor(node: EgtpNode, relay: PeerId, { run = 1, acknowledges = true } = {}) {
    this.node = node;
    this.relay = relay;
    this.acknowledges = acknowledges;
    this.run = run;
    node.handle(mailMessage, async ({ body }) => {
      await this.busy;
      const { tag, number, envelope: bytes } = decodeMail(body);
      this.got.push({ number, content: contentOf(bytes), envelope: bytes.slice() });
      // Whether it arrives does not matter: the mail would come again.
      if (this.acknowledges) this.acknowledge([number, number + 1], Uint8Array.from(tag)).catch(() => {});
    });
  }

  get contents(): number[] {
    return this.got.map(({ content }) => content);
  }

  async register(first = true, standby = false): Promise<Registration> {
    const answer = await this.node.request(this.relay, registerRequest, {
      run: new Uint8Array(8).fill(this.run),
      first,
      standby,
    });
    if (answer.state === "active") this.tag = Uint8Array.from(answer.tag);
    return answer;
  }

  unregister(): Promise<unknown> {
    return this.node.request(this.relay, unregisterRequest, {});
  }

  acknowledge(ranges: readonly number[], tag = this.tag) {
    return this.node.send(this.relay, acknowledgeMessage, encodeAcknowledgement({ tag, ranges }));
  }

  async collect(after = 0, maxBytes = 1024 * 1024): Promise<Collected> {
    return decodeCollected(await this.node.request(this.relay, collectRequest, { after, maxBytes }));
  }
}

/** Passes an envelope along. */
export async function passAlong(
  node: EgtpNode,
  relay: PeerId,
  recipient: PeerId,
  bytes: Uint8Array,
  now: Millis,
): Promise<PassAlongStatus> {
  const body = encodePassAlong(peerIdToBytes(recipient), bytes);
  return decodePassAlongStatus(await node.request(relay, passAlongRequest, body), now);
}
