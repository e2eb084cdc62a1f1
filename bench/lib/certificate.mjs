// A self-signed X.509 certificate over a fresh P-256 key, for one run: enough DER for the TLS peers to pin each other.

import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

const certificateLifetimeMs = 24 * 3600 * 1000;

/** @returns The private key and the certificate, both PEM. */
export function createCertificate(name) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", {
    namedCurve: "prime256v1",
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const now = Date.now();
  const ecdsaWithSha256 = sequence(objectId("2a8648ce3d040302"));
  const distinguishedName = sequence(set(sequence(objectId("550403"), der(0x0c, Buffer.from(name)))));
  const alternativeName = sequence(objectId("551d11"), der(0x04, sequence(der(0x82, Buffer.from(name)))));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))), // version 3
    der(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)])), // serial number, positive
    ecdsaWithSha256,
    distinguishedName,
    sequence(utcTime(now - 3600 * 1000), utcTime(now + certificateLifetimeMs)),
    distinguishedName,
    publicKey,
    der(0xa3, sequence(alternativeName)),
  );
  const signature = der(0x03, Buffer.concat([Buffer.of(0), sign("sha256", body, privateKey)]));
  return { key: privateKey, cert: pem(sequence(body, ecdsaWithSha256, signature)) };
}

function der(tag, content) {
  const { length } = content;
  if (length < 128) return Buffer.concat([Buffer.of(tag, length), content]);
  const hex = length.toString(16);
  const octets = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return Buffer.concat([Buffer.of(tag, 0x80 | octets.length), octets, content]);
}

function sequence(...parts) {
  return der(0x30, Buffer.concat(parts));
}

function set(...parts) {
  return der(0x31, Buffer.concat(parts));
}

function objectId(hex) {
  return der(0x06, Buffer.from(hex, "hex"));
}

function utcTime(ms) {
  const digits = new Date(ms).toISOString().replace(/[-:T]/g, "").slice(2, 14);
  return der(0x17, Buffer.from(`${digits}Z`));
}

function pem(bytes) {
  return `-----BEGIN CERTIFICATE-----\n${bytes
    .toString("base64")
    .replace(/(.{64})/g, "$1\n")
    .trimEnd()}\n-----END CERTIFICATE-----\n`;
}
