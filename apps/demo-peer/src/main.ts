#!/usr/bin/env node
/** Hands the command line over and ends with its exit code. */
import { runCommandLine } from "./cli.ts";

// Whoever read our output has gone and wants no more of it: what runs ends as if it were asked to.
let isUnread = false;
process.stdout.on("error", () => {
  if (isUnread) return;
  isUnread = true;
  if (!process.emit("SIGTERM", "SIGTERM")) process.exit(0);
});

process.exitCode = await runCommandLine(process.argv.slice(2));
