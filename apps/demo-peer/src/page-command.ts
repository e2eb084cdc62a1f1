/** `demo --ui`: builds the page, sets its stage, and serves both until Ctrl-C. */
import { fileURLToPath } from "node:url";
import { exitCodes } from "./exit-code.ts";
import { PageServer } from "./page-server.ts";
import { PageStage } from "./page-stage.ts";
import { listenForStop } from "./stop-signal.ts";

/** The page's sources, beside our own; what is made of them lies with our own programs. */
const sources = fileURLToPath(new URL("../ui", import.meta.url));
const built = fileURLToPath(new URL("../dist/ui", import.meta.url));

/** @param script - The program's own file. */
export async function servePage(script: string, options: { port: number; json: boolean }): Promise<number> {
  const stop = listenForStop();
  await buildPage();
  const server = await PageServer.listen(built, options.port);
  let stage: PageStage | undefined;
  try {
    stage = await PageStage.open(script, (news) => server.tell(news));
    server.present(stage);
    if (options.json) console.log(JSON.stringify({ event: "page", url: server.url, bootPage: stage.roll.bootPage }));
    else {
      console.log("A metatracker, a relay and a peer called bob run, each in a process of its own.");
      console.log(`Open this page, which is a peer itself; a second tab is another one:\n\n  ${server.url}\n`);
      console.log("Ctrl-C ends it.");
    }
    await stop.stopped;
    return exitCodes.ok;
  } finally {
    stop.cancel();
    await stage?.close();
    await server.close();
  }
}

/** Takes a second. Only who wants to see the page pays for it. */
async function buildPage(): Promise<void> {
  const { build } = await import("vite");
  await build({
    root: sources,
    configFile: false,
    logLevel: "error",
    build: { outDir: built, emptyOutDir: true, target: "es2023", modulePreload: false, reportCompressedSize: false },
  });
}
