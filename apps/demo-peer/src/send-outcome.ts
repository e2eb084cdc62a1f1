/** How the sending of a message ended, for people and for scripts. */
import type { SendOutcome } from "@egtp/node";
import { exitCodes } from "./exit-code.ts";

export function exitCodeOf({ state }: SendOutcome): number {
  return state === "delivered" ? exitCodes.ok : exitCodes[state];
}

export function outcomeText(outcome: SendOutcome): string {
  switch (outcome.state) {
    case "delivered":
      return "delivered";
    case "stored":
      return `stored at ${outcome.relay} until ${new Date(outcome.until).toISOString()}`;
    case "kept":
      return "kept: this peer was stopped, its next run goes on";
    case "rejected":
      return `rejected: ${outcome.reason}`;
    case "expired":
      return "expired: no word came back in time; it may have arrived";
    case "unreachable":
      return `unreachable: ${reasonsOf(outcome).join("; ") || "nothing was tried"}`;
  }
}

/** Of a message that never left: what was tried, and why it failed. */
export function reasonsOf(outcome: Extract<SendOutcome, { state: "unreachable" }>): string[] {
  return outcome.reasons.map(
    ({ strategy, error }) => `${strategy}: ${error instanceof Error ? error.message : String(error)}`,
  );
}
