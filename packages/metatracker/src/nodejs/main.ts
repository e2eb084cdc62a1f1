#!/usr/bin/env node
/** `egtp-metatracker`. */
import { bootPageCommand, bootPageUsage } from "./boot-page-command.ts";
import { metatrackerCommand, metatrackerUsage } from "./metatracker-command.ts";
import { runAsProcess } from "./program.ts";

await runAsProcess({
  main: { usage: metatrackerUsage, run: metatrackerCommand },
  subcommands: { bootpage: { usage: bootPageUsage, run: bootPageCommand } },
});
