import { fromHex, toHex } from "@egtp/wire";
import { expect, it } from "vitest";
import { RecentId } from "../src/recent-id.ts";

it("an ID is the same in both its forms, whatever was asked before", () => {
  const recent = new RecentId();
  const ids = [
    "00112233445566778899aabbccddeeff",
    "00112233445566778899aabbccddee00",
    "ffeeddccbbaa99887766554433221100",
  ];
  for (const one of ids) {
    for (const other of ids) {
      expect(recent.textOf(fromHex(one))).toBe(one);
      expect(toHex(recent.bytesOf(other))).toBe(other);
      const borrowed = fromHex(one);
      expect(recent.textOf(borrowed)).toBe(one);
      borrowed.fill(0);
      expect(toHex(recent.bytesOf(one))).toBe(one);
    }
  }
});
