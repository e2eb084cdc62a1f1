/**
 * The pages of the documentation and the fenced blocks in them. Pages are found, not listed: a new one is tested from the
 * day it is there.
 *
 * A comment on the line above a block says what is not plain from its language:
 *
 *     <!-- continues -->      goes on where the example before it on the page ended: both are one program
 *     <!-- beside -->         runs beside the example before it, once that printed its first line, in the same folder
 *     <!-- prints -->         what the example before it prints; `…` stands for anything
 *     <!-- in a browser -->   compiled, and run in a page of Chromium
 *     <!-- run -->            commands to carry out, not only to check
 *     <!-- not run: why -->   left alone, whatever its language
 */
import { findFiles, read } from "./repository.ts";

const marks = ["continues", "beside", "in a browser", "prints", "run"] as const;
export type Mark = (typeof marks)[number] | "not run" | undefined;

export interface Block {
  readonly language: string;
  readonly mark: Mark;
  /** The first line of its content, counted from 1. */
  readonly line: number;
  readonly lines: readonly string[];
}

export interface Page {
  /** From the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly Block[];
}

/** All pages that users and contributors read. */
export function readPages(): Page[] {
  const paths = findFiles(
    /^(?:README|CONTRIBUTING|docs\/.*|(?:bench|site)\/README|(?:packages|apps|tools)\/[^/]+\/README)\.md$/,
  );
  return paths.map((path) => {
    const text = read(path);
    return { path, text, blocks: blocksOf(path, text) };
  });
}

/** @throws an error for a fence that does not end, or a mark that does not exist. */
export function blocksOf(path: string, text: string): Block[] {
  const blocks: Block[] = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const open = /^( *)(`{3,}|~{3,})([^`]*)$/.exec(lines[at]!);
    if (open === null) continue;
    const [, indent = "", fence = "", language = ""] = open;
    const end = lines.findIndex((line, index) => index > at && line.trim() === fence);
    if (end < 0) throw new Error(`${path}:${at + 1}: this block does not end`);
    blocks.push({
      language: language.trim(),
      mark: markOf(`${path}:${at}`, lines[at - 1] ?? ""),
      line: at + 2,
      lines: lines.slice(at + 1, end).map((line) => line.replace(indent, "")),
    });
    at = end;
  }
  return blocks;
}

function markOf(place: string, line: string): Mark {
  const comment = /^ *<!-- *(.*?) *-->$/.exec(line)?.[1];
  if (comment === undefined) return undefined;
  if (/^not run: \S/.test(comment)) return "not run";
  const mark = marks.find((one) => one === comment);
  if (mark === undefined) throw new Error(`${place}: "${comment}" says nothing about the block below`);
  return mark;
}

/** The text without fenced and quoted code, in which brackets and hashes mean something else. */
export function prose(page: Page): string {
  return page.text
    .replaceAll(/^( *)(`{3,}|~{3,})[\s\S]*?^ *\2 *$/gm, "")
    .replaceAll(/(`+)[^`\n]*?\1/g, (code) => code.replaceAll(/[[\]()#]/g, " "));
}
