/**
 * What the commands `egtp-metatracker` and `egtp-relay` share: `@egtp/metatracker/command`.
 *
 * Internal: for siblings of this package, and may change at any time.
 */
export { type Certificate, loadCertificate } from "./certificate.ts";
export { Closers } from "./closers.ts";
export { CommandError, type CommandErrorCode, UsageError } from "./command-errors.ts";
export {
  duration,
  flag,
  type OptionSpecs,
  portNumber,
  readHost,
  readOptions,
  readPeerId,
  someText,
  someTexts,
  wholeNumber,
} from "./command-line.ts";
export { DataFolder } from "./data-folder.ts";
export { errorText, Log, type LogFacts, type LogLevel, type LogOptions } from "./log.ts";
export { type MonitorOptions, openMonitor } from "./monitor.ts";
export {
  checkNatsOptions,
  type NatsOptions,
  type NatsPlace,
  natsPlace,
  natsShape,
  natsSpecs,
  natsUsage,
  tellDurability,
} from "./nats-options.ts";
export { type Colour, type Paint, paintFor } from "./paint.ts";
export { type Command, errorLines, exitCodes, type Program, runAsProcess, runProgram } from "./program.ts";
export { type ServerPlace, type Service, type ServiceLimits, serve } from "./serve.ts";
export {
  checkServerOptions,
  type ServerOptions,
  serverSchemaWith,
  serverSpecs,
  serverUsage,
} from "./server-options.ts";
export { listenForStop, type StopSignal } from "./stop-signal.ts";
export { type WebAnswer, type WebPage, WebServer, type WebServerOptions } from "./web-server.ts";
