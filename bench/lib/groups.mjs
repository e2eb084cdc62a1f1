// What is measured together: each group has its alternatives, and EGTP among them under a name of its own.

export const groups = {
  direct: {
    peers: ["tcp", "tcp-joined", "tls", "tls-joined", "secret-stream", "zeromq", "libp2p", "egtp"],
    ours: "egtp",
    sizes: "100,1k,16k,1m",
  },
  relay: { peers: ["libp2p-relay", "nats", "egtp-relay"], ours: "egtp-relay", sizes: "100,1k,16k" },
  store: { peers: ["jetstream", "egtp-relay"], ours: "egtp-relay", sizes: "100,1k" },
  lookup: { peers: ["egtp-metatracker"], ours: "egtp-metatracker", sizes: "" },
  memory: { peers: ["libp2p-relay", "nats", "egtp-relay"], ours: "egtp-relay", sizes: "" },
};

export const groupNames = Object.keys(groups);
export const peerNames = [...new Set(Object.values(groups).flatMap(({ peers }) => peers))];
