// libp2p 3.3 calls Promise.withResolvers, which Node 20 lacks: every handshake would fail without this.

Promise.withResolvers ??= function withResolvers() {
  const made = {};
  made.promise = new this((resolve, reject) => {
    made.resolve = resolve;
    made.reject = reject;
  });
  return made;
};
