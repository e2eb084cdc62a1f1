/**
 * A small network in namespaces of Linux, made for one story: the open net, where servers are, and homes behind routers that let
 * only outgoing connections through and give what leaves an address of their own (NAT).
 *
 *     home (192.168.n.2) -- router (192.168.n.1, 10.77.0.1n) -- the open net (10.77.0.1)
 */
import { execFileSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Where servers are. */
export const openAddress = "10.77.0.1";

/** Why there can be no such network here; `undefined` when there can. */
export function whyNoNetwork(): string | undefined {
  if (process.platform !== "linux") return "only Linux has network namespaces";
  if (process.getuid?.() !== 0) return "only root may make network namespaces";
  const missing = ["ip", "nft"].filter((tool) => !isThere(tool));
  return missing.length === 0 ? undefined : `${missing.join(" and ")} missing: install iproute2 and nftables`;
}

function isThere(tool: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function run(line: string): void {
  const [program = "", ...args] = line.split(" ");
  execFileSync(program, args, { stdio: ["ignore", "ignore", "pipe"] });
}

let networks = 0;

export class Network implements Disposable {
  readonly open: string;
  readonly #prefix = `egtp-${process.pid}-${++networks}`;
  readonly #namespaces: string[] = [];
  #homes = 0;

  constructor() {
    this.open = this.#namespace("open");
    this.inside(this.open, "ip link add net type bridge");
    this.inside(this.open, `ip address add ${openAddress}/24 dev net`);
    this.inside(this.open, "ip link set net up");
  }

  /** A home with a router of its own. */
  home(): Home {
    const n = ++this.#homes;
    const home = this.#namespace(`home${n}`);
    const router = this.#namespace(`router${n}`);
    run(`ip link add name wan netns ${router} type veth peer name port${n} netns ${this.open}`);
    run(`ip link add name line netns ${home} type veth peer name lan netns ${router}`);
    this.inside(this.open, `ip link set port${n} master net up`);
    this.inside(router, `ip address add 10.77.0.${10 + n}/24 dev wan`);
    this.inside(router, `ip address add 192.168.${n}.1/24 dev lan`);
    for (const link of ["wan", "lan"]) this.inside(router, `ip link set ${link} up`);
    this.inside(router, "sysctl -q -w net.ipv4.ip_forward=1");
    this.inside(router, "nft add table ip nat");
    this.inside(router, "nft add chain ip nat out { type nat hook postrouting priority 100 ; }");
    this.inside(router, "nft add rule ip nat out oifname wan masquerade");
    this.inside(router, "nft add chain ip nat through { type filter hook forward priority 0 ; policy drop ; }");
    this.inside(router, "nft add rule ip nat through iifname lan accept");
    this.inside(router, "nft add rule ip nat through ct state established,related accept");
    return new Home(this, home, router, n);
  }

  /** Runs a command in a namespace. */
  inside(namespace: string, line: string): void {
    run(`ip netns exec ${namespace} ${line}`);
  }

  #namespace(name: string): string {
    const namespace = `${this.#prefix}-${name}`;
    run(`ip netns add ${namespace}`);
    this.#namespaces.push(namespace);
    this.inside(namespace, "ip link set lo up");
    return namespace;
  }

  /** Processes that are still in it keep it for as long as they run. */
  [Symbol.dispose](): void {
    for (const namespace of this.#namespaces) run(`ip netns delete ${namespace}`);
  }
}

export class Home {
  readonly namespace: string;
  readonly #network: Network;
  readonly #router: string;
  readonly #n: number;
  #address = 1;

  constructor(network: Network, namespace: string, router: string, n: number) {
    this.#network = network;
    this.namespace = namespace;
    this.#router = router;
    this.#n = n;
    this.#network.inside(namespace, "ip link set line up");
    this.move();
  }

  /** Gets another address, and loses the one it had; what is open under that one hears nothing any more. */
  move(): void {
    this.#address += 1;
    this.#network.inside(this.namespace, "ip address flush dev line");
    this.#network.inside(this.namespace, `ip address add 192.168.${this.#n}.${this.#address}/24 dev line`);
    this.#network.inside(this.namespace, `ip route add default via 192.168.${this.#n}.1`);
  }

  /** Nothing gets through any more, and nobody is told. */
  cut(): void {
    this.#network.inside(
      this.#router,
      "nft add chain ip nat cut { type filter hook forward priority -10 ; policy drop ; }",
    );
  }

  mend(): void {
    this.#network.inside(this.#router, "nft delete chain ip nat cut");
  }
}
