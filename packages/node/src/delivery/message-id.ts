/**
 * The name of a message for its recipient: who numbered it, in which run, with which number. Equal when a message is handed over
 * again. For its sender it is a name together with the recipient, since each recipient has numbers of its own.
 */
import type { Epoch, PeerId } from "@egtp/wire";

/** `sender/epoch/number`, for an application that records which effects it had. */
export type MessageId = string & { readonly __brand: "MessageId" };

export function messageIdOf(sender: PeerId, epoch: Epoch, number: number): MessageId {
  return `${sender}/${epoch}/${number}` as MessageId;
}
