/** The public names of @egtp/metatracker. */
export { MetatrackerError, type MetatrackerErrorCode } from "./errors.ts";
export * from "./protocol.ts";
