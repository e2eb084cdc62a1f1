// A measured process does what its parent asks over the process channel, one command after the other, and ends with it.

/** @param commands - Functions by name; each takes one object and returns what can be sent as JSON, or a promise of it. */
export function serveCommands(commands) {
  process.on("message", async ({ id, name, options }) => {
    try {
      process.send({ id, result: await commands[name](options) });
    } catch (error) {
      process.send({ id, error: error.stack ?? String(error) });
    }
  });
  process.on("disconnect", () => process.exit(0));
  process.send({ ready: true });
}
