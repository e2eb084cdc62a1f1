/**
 * An envelope that came out of a mailbox, until it is known whether the mailbox may forget it: when all that was in it is
 * handled and the marks that say so are kept. It may hold the only copy of a message whose sender is gone.
 */
export class Mail {
  readonly #settle: (isTaken: boolean) => void;
  /** Called before it settles as not taken in: it is to be read again when it comes again. */
  onRefused: (() => void) | undefined;
  /** Whatever is not finished with it: the reading of it, messages, marks that are being committed. */
  #open = 1;
  #isTaken = true;

  /** @param settle - Called once. False: something in it had no room, so it must be handed over again. */
  constructor(settle: (isTaken: boolean) => void) {
    this.#settle = settle;
  }

  hold(): void {
    this.#open += 1;
  }

  release(): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    if (!this.#isTaken) this.onRefused?.();
    this.#settle(this.#isTaken);
  }

  /** Something in it was not taken in. */
  refuse(): void {
    this.#isTaken = false;
  }
}
