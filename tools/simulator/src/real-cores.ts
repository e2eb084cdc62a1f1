/** What runs where nothing is broken on purpose. */

import { Mesgen } from "@egtp/mesgen";
import { Delivery } from "@egtp/node/delivery";
import { Endpoint } from "@egtp/node/endpoint";
import type { Cores } from "./sim-peer.ts";

export const realCores: Cores = { Mesgen, Delivery, Endpoint };
