/** The index of a mailbox agrees with a plain list, whatever is pushed and taken away. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { MailIndex } from "../src/mail-index.ts";

interface Plain {
  number: number;
  bytes: number;
  until: number;
  slot: number;
  isHeld: boolean;
}

const push = fc.record({
  gap: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 2 ** 31, max: 2 ** 45 })),
  bytes: fc.nat(70_000),
  seconds: fc.nat(2 ** 32 - 1),
  slot: fc.nat(10_000),
});
const step = fc.oneof(
  { weight: 3, arbitrary: fc.array(push, { minLength: 1, maxLength: 40 }) },
  { weight: 1, arbitrary: fc.record({ from: fc.nat(1_000), count: fc.nat(200) }) },
  { weight: 1, arbitrary: fc.record({ keep: fc.nat(1_000) }) },
);

it("agrees with a plain list", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const index = new MailIndex();
      const plain: Plain[] = [];
      let last = 0;
      for (const each of steps) {
        if (Array.isArray(each)) {
          for (const { gap, bytes, seconds, slot } of each) {
            last += gap;
            index.push(last, bytes, seconds * 1_000, slot);
            plain.push({ number: last, bytes, until: seconds * 1_000, slot, isHeld: true });
          }
        } else if ("keep" in each) {
          if (plain.length === 0) continue;
          index.setKept(each.keep % plain.length);
          plain[each.keep % plain.length]!.isHeld = false;
        } else {
          const from = each.from % (plain.length + 1);
          const to = Math.min(plain.length, from + each.count);
          index.remove(from, to);
          plain.splice(from, to - from);
        }
        expect(index.length).toBe(plain.length);
        const all = plain.map((_, i) => ({
          number: index.number(i),
          bytes: index.bytes(i),
          until: index.until(i),
          slot: index.slot(i),
          isHeld: index.isHeld(i),
        }));
        expect(all).toEqual(plain);
        for (const { number } of plain.slice(0, 5)) {
          expect(index.find(number)).toBe(plain.findIndex((mail) => mail.number === number));
          expect(index.firstFrom(number + 1)).toBe(plain.findIndex((mail) => mail.number === number) + 1);
        }
        expect(index.find(last + 1)).toBe(-1);
      }
    }),
  );
});
