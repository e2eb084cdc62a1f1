// What every alternative needs above its own way to send bytes: replies matched to requests by number, on the dialer,
// and answers given at once or later, on the listener.

/** The dialer's open requests. */
export class OpenRequests {
  #open = new Map();
  #next = 0;

  /** Takes a number, hands it to `send`, and resolves with the reply. */
  ask(send) {
    const id = this.#next;
    this.#next = (this.#next + 1) >>> 0;
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
      send(id);
    });
  }

  settle(id, body) {
    const request = this.#open.get(id);
    this.#open.delete(id);
    request?.resolve(body);
  }

  failAll(error) {
    for (const request of this.#open.values()) request.reject(error);
    this.#open.clear();
  }
}

/** Calls `reply` with what a handler returned, in the same turn unless it returned a promise. */
export function answer(result, reply) {
  if (result instanceof Promise) result.then(reply);
  else reply(result);
}

export const ignore = () => {};
