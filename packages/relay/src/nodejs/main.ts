#!/usr/bin/env node
/** `egtp-relay`. */
import { runAsProcess } from "@egtp/metatracker/command";
import { relayCommand, relayUsage } from "./relay-command.ts";

await runAsProcess({ main: { usage: relayUsage, run: relayCommand }, subcommands: {} });
