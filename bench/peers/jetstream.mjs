// NATS JetStream with file storage as it comes: the server answers when it has written, and syncs to disk now and then.
// A mailbox is a stream with a durable consumer.

import { AckPolicy, jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect, createInbox } from "@nats-io/transport-node";
import { startNatsServer } from "../lib/nats-server.mjs";

export { findMissing, readVersion } from "../lib/nats-server.mjs";

export const title = "NATS JetStream, file storage as it comes (no sync for each message)";
export const calls =
  "jetstream(nc).publish, jetstreamManager(nc).streams.add, .consumers.add, consumer.consume, message.ack, nc.flush";

const consumer = "owner";
const fetchedAtOnce = 1_000; // the default is 100

export const serve = ({ folder }) => startNatsServer(["--jetstream", "--store_dir", folder]);

export async function openMailbox(server) {
  const subject = createInbox();
  const stream = subject.replaceAll(".", "-");
  const connection = await connect(server);
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: stream, subjects: [subject], storage: StorageType.File });
  await manager.consumers.add(stream, { durable_name: consumer, ack_policy: AckPolicy.Explicit });
  await connection.close();
  return { address: { subject }, collect: (count, onMessage) => collect(server, stream, count, onMessage) };
}

async function collect(server, stream, count, onMessage) {
  const connection = await connect(server);
  const { consumers } = jetstream(connection);
  const messages = await (await consumers.get(stream, consumer)).consume({ max_messages: fetchedAtOnce });
  let taken = 0;
  for await (const message of messages) {
    onMessage(message.data);
    message.ack();
    if (++taken === count) break;
  }
  await connection.flush();
  return () => connection.close();
}

let sender; // one for all mailboxes

export async function createSender(server, { subject }) {
  sender ??= jetstream(await connect(server));
  return { leave: (body) => sender.publish(subject, body) };
}
