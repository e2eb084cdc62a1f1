/** Ctrl-C, or a polite kill: the command ends in its own way, and no longer at once. */
const numbers = { SIGINT: 2, SIGTERM: 15 } as const;

export interface StopSignal {
  /** Resolves with the number of the signal. */
  readonly stopped: Promise<number>;
  readonly signal: AbortSignal;
  /** Signals have their usual effect again. */
  readonly cancel: () => void;
}

export function listenForStop(): StopSignal {
  const controller = new AbortController();
  let onSignal = (_name: keyof typeof numbers): void => {};
  const stopped = new Promise<number>((resolve) => {
    onSignal = (name) => {
      controller.abort();
      resolve(numbers[name]);
    };
  });
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  const cancel = (): void => {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  };
  return { stopped, signal: controller.signal, cancel };
}
