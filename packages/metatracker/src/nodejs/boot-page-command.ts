/** The command `egtp-metatracker bootpage`: makes a boot page to be put on any web server, and looks at one. */
import { readFile } from "node:fs/promises";
import { loadIdentity } from "@egtp/node/files";
import {
  type BootPage,
  type ContactRecord,
  EgtpError,
  maxBootPageBytes,
  maxBootPageLifeMs,
  maxContactRecordBytes,
  type PeerId,
  signBootPage,
  verifyBootPage,
  verifyContactRecord,
  WireError,
} from "@egtp/wire";
import * as z from "zod/mini";
import { requestBootPage } from "../boot-page-request.ts";
import { parseBootPageUrl } from "../boot-page-url.ts";
import { BootPageError } from "../errors.ts";
import { defaultBootPageLimits } from "../limits.ts";
import { addressText } from "./address-text.ts";
import { CommandError, UsageError } from "./command-errors.ts";
import { duration, flag, readOptions, someText, someTexts } from "./command-line.ts";
import { exitCodes } from "./program.ts";
import { replaceFile } from "./replace-file.ts";

export const bootPageUsage = `Usage: egtp-metatracker bootpage --key FILE --record FILE [options]
       egtp-metatracker bootpage show URL|FILE [--json]

Signs a boot page: the addresses of metatrackers and relays with which peers begin. Put it on any web
server, and give out its URL with # and the ID of its publisher behind it. Or checks one and says what
is in it.

  --key FILE           who publishes it; made if it does not exist, and to be kept
  --record FILE        the record of a metatracker or relay: contact.record in its data folder.
                       May be repeated
  --out FILE           where to write the page; default boot.json
  --expires TIME       how long it is valid, such as 7d or 12h; default and at most 30d
  --json               print one JSON object

Exit codes: 0 done, 1 failed or not a valid page, 2 the command line is wrong.
`;

const hourMs = 3_600_000;

const schema = z.object({
  key: someText,
  record: someTexts,
  out: z._default(someText, "boot.json"),
  expires: z._default(duration(60_000, maxBootPageLifeMs), maxBootPageLifeMs),
  json: flag,
});

export async function bootPageCommand(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  return first === "show" ? show(rest) : publish(args);
}

// ---- Making one

async function publish(args: readonly string[]): Promise<number> {
  const { options } = readOptions(
    args,
    {
      key: { type: "string" },
      record: { type: "string", multiple: true },
      out: { type: "string" },
      expires: { type: "string" },
      json: { type: "boolean" },
    },
    schema,
  );
  if (options.record.length === 0) throw new UsageError("--record is missing: a page without any leads nowhere.");
  const now = Date.now();
  const records = await Promise.all(options.record.map((path) => readRecord(path, now)));
  const { peer, keys } = await loadIdentity(options.key);
  const expires = now + options.expires;
  const seq = Math.max(now, (await seqIn(options.out, peer)) + 1);
  const fields = { id: peer, seq, issued: now, expires, records: records.map(({ bytes }) => bytes) };
  const page = signBootPage(fields, (message) => keys.sign(message));
  await replaceFile(options.out, page).catch((cause: unknown) => {
    throw new CommandError("EGTP_COMMAND_FILE", `${options.out} cannot be written`, { cause });
  });
  const early = records.filter(({ record }) => record.issued + record.ttl < Math.min(expires, now + 24 * hourMs));
  if (options.json) {
    console.log(
      JSON.stringify({ event: "published", publisher: peer, seq, expires, records: records.length, out: options.out }),
    );
  } else {
    console.log(
      `${options.out} names ${records.length} ${records.length === 1 ? "peer" : "peers"}, until ${dateText(expires)}.`,
    );
    console.log(`Give it out as https://…/${options.out.split("/").at(-1)}#${peer}`);
  }
  for (const { record } of early) {
    console.error(
      `The record of ${record.id} is valid until ${dateText(record.issued + record.ttl)} only: sign the page again before that.`,
    );
  }
  return exitCodes.ok;
}

async function readRecord(path: string, now: number): Promise<{ bytes: Uint8Array; record: ContactRecord }> {
  const bytes = await readSmall(path, maxContactRecordBytes);
  try {
    return { bytes, record: verifyContactRecord(bytes, now) };
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new CommandError("EGTP_COMMAND_FILE", `${path} does not hold a valid contact record`, { cause });
  }
}

/** The number of the page that is to be replaced. */
async function seqIn(path: string, publisher: PeerId): Promise<number> {
  try {
    const page = verifyBootPage(await readSmall(path, maxBootPageBytes), undefined);
    return page.id === publisher ? page.seq : -1;
  } catch (error) {
    if (error instanceof EgtpError) return -1;
    throw error;
  }
}

// ---- Looking at one

async function show(args: readonly string[]): Promise<number> {
  const { options, words } = readOptions(args, { json: { type: "boolean" } }, z.object({ json: flag }), {
    names: ["URL or FILE"],
  });
  const place = words[0]!;
  const now = Date.now();
  const page = /^https?:/.test(place)
    ? await fromWeb(place, now)
    : verifyBootPage(await readSmall(place, maxBootPageBytes), now);
  const records = page.records.map((bytes) => describe(bytes, now));
  const { id, seq, issued, expires } = page;
  if (options.json) {
    console.log(JSON.stringify({ event: "boot-page", publisher: id, seq, issued, expires, records }));
    return exitCodes.ok;
  }
  console.log(`Publisher ${id}\nNumber    ${seq}, of ${dateText(issued)}\nValid     until ${dateText(expires)}`);
  for (const record of records) {
    if ("problem" in record) console.log(`\nA record that counts as none: ${record.problem}`);
    else {
      console.log(`\n${record.peer}  ${record.services.join(", ")}`);
      console.log(`  until ${dateText(record.expires)}`);
      for (const address of record.addresses) console.log(`  ${address}`);
    }
  }
  return exitCodes.ok;
}

async function fromWeb(text: string, now: number): Promise<BootPage> {
  // Whoever looks has chosen the address; that it is not secure shows in it.
  const { url, publisher } = parseBootPageUrl(text, true);
  const signal = AbortSignal.timeout(defaultBootPageLimits.pageMs);
  const request = { url, allowInsecure: true, etag: undefined, fetch, signal };
  const response = await requestBootPage(request).catch((cause: unknown) => {
    if (cause instanceof BootPageError) throw cause;
    throw new BootPageError("EGTP_BOOT_PAGE_TIMEOUT", url, { cause });
  });
  let page: BootPage;
  try {
    page = verifyBootPage(response!.bytes, now);
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause;
    throw new BootPageError("EGTP_BOOT_PAGE_INVALID", url, { cause });
  }
  if (publisher !== undefined && page.id !== publisher) {
    throw new BootPageError("EGTP_BOOT_PAGE_WRONG_PUBLISHER", url, { detail: `it is ${page.id}'s` });
  }
  return page;
}

type Described =
  | {
      readonly peer: PeerId;
      readonly services: readonly string[];
      readonly expires: number;
      readonly addresses: readonly string[];
    }
  | { readonly problem: string };

function describe(bytes: Uint8Array, now: number): Described {
  try {
    const { id, services, issued, ttl, strategies } = verifyContactRecord(bytes, now);
    return { peer: id, services, expires: issued + ttl, addresses: strategies.map(addressText) };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return { problem: error.message };
  }
}

// ---- Both

/** A file that is no longer than what it should hold. */
async function readSmall(path: string, most: number): Promise<Uint8Array> {
  try {
    const bytes = new Uint8Array(await readFile(path));
    if (bytes.length > most) throw new RangeError(`It has ${bytes.length} bytes, more than ${most}`);
    return bytes;
  } catch (cause) {
    throw new CommandError("EGTP_COMMAND_FILE", `${path} cannot be read`, { cause });
  }
}

function dateText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
