/**
 * The protocol broken on purpose, one rule at a time: proof that the simulator can fail. A variant is the real source of
 * mesgen with a few lines changed; when the lines are not found any more, building it fails.
 */

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import type * as mesgen from "@egtp/mesgen";
import { Delivery } from "@egtp/node/delivery";
import type { Cores } from "./sim-peer.ts";

export interface Variant {
  readonly name: string;
  /** The rule of docs/spec.md that is taken out. */
  readonly rule: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const variants: readonly Variant[] = [
  {
    name: "any-offer-is-fresh",
    rule: "Receiving, 2: an offer is fresh only by tag, by clock at a first contact, or because it names an offer of this run",
    file: "mesgen.ts",
    find: 'return "fresh";\n    if (aboveFloor && offer.recipientTag === noTag',
    replace: 'return "fresh";\n    if (aboveFloor) return "fresh";\n    if (aboveFloor && offer.recipientTag === noTag',
  },
  {
    name: "never-answers-under-the-live-session",
    rule: "Receiving, 3: an unknown session is answered under the front session if that was confirmed in this run",
    file: "mesgen.ts",
    find: "if (front.confirmed && !(state.probe?.session === front && state.probe.failed)) {",
    replace: "if (front.confirmed && state.probe !== undefined && now < 0) {",
  },
  {
    name: "ignores-rejected-lists",
    rule: "Receiving, 4: the owner of a rejected session stops sending on it and sends again what travelled under it",
    file: "mesgen.ts",
    find: "    for (const entry of entries) {\n      const pending = state.pending;",
    replace: "    for (const entry of entries.slice(0, 0)) {\n      const pending = state.pending;",
  },
  {
    name: "nobody-leads",
    rule: "Which session to send on: the peer with the smaller ID leads",
    file: "mesgen.ts",
    find: 'return comparePeerIds(this.self, state.peer) < 0 ? "us" : "peer";',
    replace: 'return "us";',
  },
  {
    name: "accepts-counters-again",
    rule: "State that survives: on load a window starts at its saved limit, and what was read lies below that",
    file: "peer-table.ts",
    find: "record.counterLimit = window.next;",
    replace: "record.counterLimit = 0;",
  },
];

const packageFolder = fileURLToPath(new URL("../../../packages/mesgen/", import.meta.url));

/** Builds a variant beside the real source, loads it, and takes the files away again. */
export async function loadVariant(variant: Variant): Promise<Cores> {
  const folder = mkdtempSync(`${packageFolder}.variant-`);
  try {
    cpSync(`${packageFolder}src`, `${folder}/src`, { recursive: true });
    cpSync(`${packageFolder}package.json`, `${folder}/package.json`);
    const path = `${folder}/src/${variant.file}`;
    const source = readFileSync(path, "utf8");
    if (source.split(variant.find).length !== 2) {
      throw new Error(`The variant ${variant.name} does not fit the source any more: ${variant.find}`);
    }
    writeFileSync(
      path,
      source.replace(variant.find, () => variant.replace),
    );
    const { Mesgen } = (await import(pathToFileURL(`${folder}/src/index.ts`).href)) as typeof mesgen;
    return { Mesgen, Delivery };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
