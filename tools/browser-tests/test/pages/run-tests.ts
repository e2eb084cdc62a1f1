/** The test runner of a page: it keeps what a suite registers, for Node.js to call one by one. */

const bodies: (() => Promise<void>)[] = [];

export const runner = {
  describe: (_name: string, body: () => void): void => body(),
  it: (_title: string, body: () => Promise<void>): void => void bodies.push(body),
};

Object.assign(globalThis, { runTest: (index: number) => bodies[index]!() });
