/** What is found wrong with a tarball before anybody gets it. */
import { describe, expect, it } from "vitest";
import { faultsOf, type Tarball } from "../src/tarball.ts";

const good: Tarball = {
  path: "wire.tgz",
  bytes: 80_000,
  files: ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "dist/index.js", "dist/index.d.ts", "src/index.ts"],
  manifest: {
    name: "@egtp/wire",
    version: "1.0.0",
    description: "bytes",
    license: "MIT",
    engines: { node: ">=20.19.0" },
    publishConfig: { access: "public", provenance: true },
    exports: { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } },
    dependencies: { cborg: "6.1.5" },
  },
};
const { license: _, ...withoutLicense } = good.manifest;

describe("a tarball", () => {
  it("may be published as it is made", () => {
    expect(faultsOf(good)).toEqual([]);
  });

  it.each<[what: string, tarball: Tarball, fault: string]>([
    ["a licence", { ...good, files: good.files.filter((file) => file !== "LICENSE") }, "holds no LICENSE"],
    [
      "what it exports",
      { ...good, files: good.files.filter((file) => file !== "dist/index.js") },
      "holds no dist/index.js",
    ],
    ["a field", { ...good, manifest: withoutLicense }, 'no "license"'],
    ["provenance", { ...good, manifest: { ...good.manifest, publishConfig: { access: "public" } } }, "provenance"],
    ["a budget", { ...good, manifest: { ...good.manifest, name: "@egtp/unknown" } }, "has no budget"],
  ])("is refused without %s", (_what, tarball, fault) => {
    expect(faultsOf(tarball)).toEqual([expect.stringContaining(fault)]);
  });

  it.each<[what: string, tarball: Tarball, fault: string]>([
    ["a test", { ...good, files: [...good.files, "test/peer.test.ts"] }, "holds test/peer.test.ts"],
    ["a secret", { ...good, files: [...good.files, "dist/.env"] }, "holds dist/.env"],
    ["what the compiler keeps", { ...good, files: [...good.files, "dist/core.tsbuildinfo"] }, "core.tsbuildinfo"],
    ["too many bytes", { ...good, bytes: 8_000_000 }, "has 8000000 bytes"],
    [
      "what only the workspace knows",
      { ...good, manifest: { ...good.manifest, dependencies: { "@egtp/x": "workspace:*" } } },
      'depends on @egtp/x at "workspace:*"',
    ],
  ])("is refused with %s", (_what, tarball, fault) => {
    expect(faultsOf(tarball)).toEqual([expect.stringContaining(fault)]);
  });
});
