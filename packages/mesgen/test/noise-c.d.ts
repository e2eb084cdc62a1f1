/** The part of noise-c.wasm that the tests use; the package has no types of its own. */
declare module "noise-c.wasm" {
  function createNoise(
    options: { readonly wasmBinary: Uint8Array },
    callback: (noise: createNoise.Noise) => void,
  ): void;
  namespace createNoise {
    interface CipherState {
      EncryptWithAd(ad: Uint8Array, plaintext: Uint8Array): Uint8Array;
      DecryptWithAd(ad: Uint8Array, ciphertext: Uint8Array): Uint8Array;
    }
    interface HandshakeState {
      Initialize(prologue: Uint8Array, ourSecret: Uint8Array, theirPublicKey: Uint8Array): void;
      WriteMessage(payload: Uint8Array): Uint8Array;
      ReadMessage(message: Uint8Array, payloadNeeded: boolean): Uint8Array | null;
      GetHandshakeHash(): Uint8Array;
      Split(): [send: CipherState, receive: CipherState];
    }
    interface Noise {
      readonly constants: { readonly NOISE_ROLE_INITIATOR: number; readonly NOISE_ROLE_RESPONDER: number };
      HandshakeState(protocolName: string, role: number): HandshakeState;
    }
  }
  export = createNoise;
}
