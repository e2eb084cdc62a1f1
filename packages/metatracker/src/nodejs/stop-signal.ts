/** Ctrl-C, or a polite kill: the command ends in its own way; at the second one it ends at once. */

export interface StopSignal {
  /** Resolves with the name of the signal. */
  readonly stopped: Promise<NodeJS.Signals>;
  /** Signals have their usual effect again. */
  readonly cancel: () => void;
}

export function listenForStop(): StopSignal {
  let onSignal = (_name: NodeJS.Signals): void => {};
  let isStopping = false;
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    onSignal = (name) => {
      if (isStopping) process.exit(1);
      isStopping = true;
      resolve(name);
    };
  });
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  const cancel = (): void => {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  };
  return { stopped, cancel };
}
