/**
 * What a page may tell its reader to type. Commands are checked, not run: a script that was removed, a package that does
 * not exist, a misspelt option make a test fail. Only what is known passes; add what is missing.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { findFiles, read, readAll, root } from "./repository.ts";

interface Manifest {
  readonly name: string;
  readonly packageManager?: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

const manifest = readManifest("package.json");
const workspace = findFiles(/^(?:packages|apps|tools)\/[^/]+\/package\.json$/).map(readManifest);
const installable = new Set(
  [manifest, ...workspace].flatMap(({ name, dependencies, devDependencies, peerDependencies }) => [
    name,
    ...Object.keys({ ...dependencies, ...devDependencies, ...peerDependencies }),
  ]),
);

/** Where to look for the options of a script: they stand in the sources, at the latest in what `--help` prints. */
const sourcesOf: Readonly<Record<string, RegExp>> = {
  "egtp-demo-peer": /^apps\/demo-peer\/src\//,
  "egtp-metatracker": /^packages\/metatracker\/src\/nodejs\//,
  "egtp-relay": /^packages\/(?:relay|metatracker)\/src\/nodejs\//,
  demo: /^apps\/demo-peer\/src\//,
  model: /^tools\/model\/src\//,
  scaling: /^tools\/scaling\/src\//,
  soak: /^tools\/soak\/src\//,
  release: /^tools\/release\/src\//,
  sim: /^tools\/simulator\/src\//,
  bench: /^bench\/(?:run|lib\/.*)\.mjs$/,
};
/** The programs of our packages: their first word may be a subcommand. */
const programs = Object.keys(sourcesOf).filter((name) => name.startsWith("egtp-"));
const tools = ["cd", "git", "ls", "cat", "rm", "mkdir", "chmod", "cp"];
const pnpmOwn = ["install", "exec"];

/** The commands of a block: without comments, prompts and line ends that were quoted. */
export function commandsOf(lines: readonly string[]): string[] {
  return lines
    .join("\n")
    .replaceAll(/\\\n\s*/g, " ")
    .split("\n")
    .map((line) => line.replace(/(^|\s)#\s.*$/, "").replace(/^\s*\$\s/, ""))
    .flatMap((line) => line.split(/&&|;|\|/))
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** @returns What is wrong with a command, or nothing. */
export function faultOf(command: string): string | undefined {
  const words = command
    .split(/\s+/)
    .filter((word) => word !== "&")
    .map((word) => word.replaceAll(/^["']|["']$/g, ""));
  while (/^[A-Z_]+=/.test(words[0] ?? "")) words.shift();
  const [program = "", ...args] = words;
  switch (program) {
    case "npx":
      return faultOfNpx(args);
    case "pnpm":
      return faultOfScript(args);
    case "npm":
      return faultOfNpm(args);
    case "node":
      return faultOfNode(args);
    case "bash":
      return existsSync(join(root, args[0] ?? "")) ? undefined : `there is no ${args[0]}`;
  }
  if (programs.includes(program)) return faultOfOptions(program, args);
  return tools.includes(program) ? undefined : `"${program}" is no command that this test knows`;
}

/** What a `pnpm` command runs, without pnpm, which would look first whether everything is installed. */
export function scriptBehind(command: string): string {
  const [, script = "", rest = ""] = /^(?:npx (?:-y )?)?pnpm(?:@\S+)? (\S+)(.*)$/.exec(command) ?? [];
  const text = manifest.scripts?.[script];
  if (text === undefined) throw new Error(`Only scripts of the workspace are carried out, not "${command}"`);
  return text + rest;
}

function faultOfNpx(args: readonly string[]): string | undefined {
  const [name = "", ...rest] = args.filter((arg) => arg !== "-y");
  if (programs.includes(name)) return faultOfOptions(name, rest);
  const isPinned = name === manifest.packageManager?.split("+")[0];
  return name === "pnpm" || isPinned ? faultOfScript(rest) : `npx runs ${manifest.packageManager?.split("+")[0]} here`;
}

function faultOfScript(args: readonly string[]): string | undefined {
  const [script = "", ...rest] = args.filter((arg) => arg !== "run");
  if (pnpmOwn.includes(script)) return undefined;
  if (manifest.scripts?.[script] === undefined) return `there is no script "${script}"`;
  return faultOfOptions(script, rest);
}

function faultOfNpm(args: readonly string[]): string | undefined {
  const [verb = "", ...rest] = args;
  if (!["install", "i", "ci"].includes(verb)) return `npm ${verb} is not known`;
  const names = rest.filter((arg) => !arg.startsWith("-")).map((arg) => arg.replace(/(.)@.*$/, "$1"));
  const unknown = names.find((name) => !installable.has(name));
  return unknown === undefined ? undefined : `nothing here uses a package "${unknown}"`;
}

function faultOfNode(args: readonly string[]): string | undefined {
  const [path = "", ...rest] = args.filter((arg, index) => !arg.startsWith("-") && args[index - 1] !== "--import");
  if (/^apps\/demo-peer\/(dist|src)\/main\.[jt]s$/.test(path)) return faultOfOptions("egtp-demo-peer", rest);
  const source = path.replace("/dist/", "/src/").replace(/\.js$/, ".ts");
  // What the reader writes while reading has no folder.
  return !path.includes("/") || existsSync(join(root, source)) ? undefined : `there is no ${source}`;
}

function faultOfOptions(script: string, args: readonly string[]): string | undefined {
  const pattern = sourcesOf[script];
  const options = args.filter((arg) => /^--\w/.test(arg));
  if (pattern === undefined) return options.length === 0 ? undefined : `the options of "${script}" are not known`;
  const text = readAll(pattern);
  const [command = "-"] = args;
  if (programs.includes(script) && !command.startsWith("-") && !text.includes(`Usage: ${script} ${command} `)) {
    return `${script} has no command "${command}"`;
  }
  const unknown = options.find((option) => !new RegExp(`${option.replace(/=.*$/, "")}\\b`).test(text));
  return unknown === undefined ? undefined : `"${script}" has no option ${unknown}`;
}

function readManifest(path: string): Manifest {
  return JSON.parse(read(path)) as Manifest;
}
