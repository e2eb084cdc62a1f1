/** Events of the two peers in words that need no manual. */
import type { NodeEvent } from "@egtp/node";

export type Mood = "good" | "bad" | "warn" | "plain";

export interface Told {
  readonly text: string;
  readonly mood: Mood;
}

/** @param name - Of the peer that it is about, seen from whom it happened to. */
export function toldOf(kind: NodeEvent["kind"], state: string, name: string): Told | undefined {
  return told[`${kind} ${state}`]?.(name);
}

const told: Readonly<Record<string, (name: string) => Told>> = {
  "session early": (name) => ({ text: `opens the first envelope of ${name}, which came with an offer`, mood: "plain" }),
  "session established": (name) => ({ text: `has a session with ${name} that both confirmed`, mood: "good" }),
  "session unreadable": (name) => ({
    text: `cannot read ${name}: that session is not kept here. Says so by an ordinary message`,
    mood: "bad",
  }),
  "session lost": (name) => ({
    text: `hears that ${name} cannot read a session any more: stops using it, sends again`,
    mood: "warn",
  }),
  "session restarted": (name) => ({
    text: `learns that ${name} began anew: sends again what was not handled`,
    mood: "warn",
  }),
  "relay registered": () => ({ text: "has a mailbox at the relay", mood: "plain" }),
  "relay lost": () => ({ text: "lost the relay, and tries again", mood: "bad" }),
};
