/** What the store of browsers does where there is none of what it needs; all else is tried in a browser, in tools/browser-tests. */
import { expect, it, vi } from "vitest";
import { IndexedDbSessionStore } from "../src/indexeddb.ts";

it("says what is missing outside of a browser, and on pages that come by http:", async () => {
  const refusal = { code: "EGTP_STORE_MISSING_PART", hint: expect.stringContaining("https:") };
  await expect(IndexedDbSessionStore.open("alice")).rejects.toMatchObject(refusal);
  vi.stubGlobal("indexedDB", {});
  vi.stubGlobal("navigator", {});
  await expect(IndexedDbSessionStore.open("alice")).rejects.toMatchObject(refusal);
  vi.unstubAllGlobals();
});
