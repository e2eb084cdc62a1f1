export { defaultCryptoProvider } from "#crypto-provider";
export {
  type CryptoProvider,
  type DhKeyPair,
  type IdentityKeys,
  tagBytes,
} from "./crypto.ts";
export { portableCryptoProvider } from "./crypto-portable.ts";
export { MesgenError, type MesgenErrorCode } from "./errors.ts";
export { createIdentity, type Identity, identityFromSeed, identitySeedBytes } from "./identity.ts";
export { defaultMesgenLimits, type MesgenLimits, replayWindowSize } from "./limits.ts";
export {
  type Admit,
  Carrier,
  type Dropped,
  type DropReason,
  Mesgen,
  type MesgenOptions,
  type Opened,
  type Unreadable,
  type Work,
} from "./mesgen.ts";
export { ReplayWindow } from "./replay-window.ts";
