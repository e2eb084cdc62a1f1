export { noFaults } from "./network.ts";
export { attack, converge, type Profile, profiles, type Report, run, settleDown } from "./run.ts";
export type { Cores, SimPeer } from "./sim-peer.ts";
export { realStack } from "./stack/real-stack.ts";
export { runStack, type StackProfile, type StackReport, stackProfiles } from "./stack/stack-run.ts";
export { loadStackVariant, type StackVariant, stackVariants } from "./stack/stack-variants.ts";
export { type Stack, StackWorld } from "./stack/stack-world.ts";
export { loadVariant, type Variant, variants } from "./variants.ts";
export { type Violation, World, type WorldOptions } from "./world.ts";
