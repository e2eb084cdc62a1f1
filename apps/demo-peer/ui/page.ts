/** The page: shows what the peer in this tab and the stage behind it tell, and passes on what its user does. */
import type { PeerId, SessionState } from "@egtp/node";
import type { News, OtherState, PageOrder, Roll, SeenEnvelope } from "../src/page-news.ts";
import { type Mood, toldOf } from "./story.ts";
import { forgetAndReload, TabPeer } from "./tab-peer.ts";

/** Lines that stay on the page. */
const maxLines = 200;
const maxRows = 40;
const storyKey = "egtp-story";
const chatKey = "egtp-chat";

const $ = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;

let roll: Roll | undefined;
let other: OtherState | undefined;
let tab: TabPeer | undefined;
let chosen: PeerId | undefined;
/** Messages of ours of which nobody knows yet how they end, or that the relay keeps. */
let waiting = 0;
/** Where the state of those stands that the relay keeps, by message ID. */
const stored = new Map<string, HTMLElement>();

// What was said and what happened outlives the crash that a user asks for.
interface StoryLine {
  readonly at: number;
  readonly who: string;
  readonly text: string;
  readonly mood: Mood;
}
interface ChatLine {
  readonly peer: PeerId;
  readonly own: boolean;
  readonly text: string;
  readonly at: number;
}
const story = kept<StoryLine>(storyKey);
const chat = kept<ChatLine>(chatKey);

function kept<T>(key: string): T[] {
  return JSON.parse(sessionStorage.getItem(key) ?? "[]") as T[];
}

function keep<T>(key: string, lines: T[], line: T): void {
  lines.push(line);
  lines.splice(0, lines.length - maxLines);
  sessionStorage.setItem(key, JSON.stringify(lines));
}

function element(name: string, text = "", attributes: Record<string, string> = {}): HTMLElement {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function nameOf(peer: string | undefined): string {
  if (peer === undefined) return "somebody";
  if (peer === tab?.node.peerId) return "you";
  if (peer === roll?.other.peer) return "bob";
  if (peer === roll?.relay.peer) return "the relay";
  if (peer === roll?.metatracker) return "the metatracker";
  return roll?.tabs.find((one) => one.peer === peer)?.name ?? `${peer.slice(0, 8)}…`;
}

/** In the order in which sessions were seen first; a page is not open for so long that they would be many. */
const hues = new Map<string, number>();

/** The same session has the same colour everywhere, and those that follow each other have hues far apart (the golden angle). */
function colourOf(id: string): string {
  const hue = hues.get(id) ?? (210 + hues.size * 137.5) % 360;
  hues.set(id, hue);
  return `hsl(${hue} 65% 52%)`;
}

function ageOf(since: number): string {
  const seconds = Math.max(0, Math.round((Date.now() - since) / 1_000));
  return seconds < 60
    ? `${seconds} s`
    : seconds < 3_600
      ? `${Math.floor(seconds / 60)} min`
      : `${Math.floor(seconds / 3_600)} h`;
}

/** Appends, drops the oldest, and stays at the end if that is where the reader is. */
function append(list: HTMLElement, line: HTMLElement): void {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(line);
  while (list.children.length > maxLines) list.firstElementChild?.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
}

function tell(who: string, text: string, mood: Mood = "plain"): void {
  const line = { at: Date.now(), who, text, mood };
  keep(storyKey, story, line);
  showStory(line);
}

function showStory({ at, who, text, mood }: StoryLine): void {
  const item = element("li", "", { "data-mood": mood });
  item.append(element("time", new Date(at).toLocaleTimeString("en-GB")), element("b", who), element("span", text));
  const list = $("story");
  list.prepend(item); // the newest is what one looks for
  while (list.children.length > maxLines) list.lastElementChild?.remove();
}

function showChat({ peer, own, text }: ChatLine, state = ""): HTMLElement {
  const item = element("li", text, own ? { class: "own" } : {});
  const small = element("small", own ? `to ${nameOf(peer)}${state && `: ${state}`}` : `from ${nameOf(peer)}`);
  small.dataset.state = state;
  item.append(small);
  append($("chat"), item);
  return small;
}

async function order(what: PageOrder): Promise<void> {
  await fetch("/orders", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(what),
  });
}

function hear(news: News): void {
  switch (news.what) {
    case "roll":
      hearRoll(news);
      break;
    case "other":
      if (news.heldBack > 0 && (other?.heldBack ?? 0) === 0)
        tell("bob", "answers with a session message, which is held back", "bad");
      other = news;
      break;
    case "other-event": {
      const peer = news.peer;
      if (peer !== undefined && peer !== tab?.node.peerId && news.kind !== "relay") return; // other tabs have their own page
      const told = toldOf(news.kind, news.state, nameOf(peer));
      if (told !== undefined) tell("bob", told.text, told.mood);
      break;
    }
    case "envelope":
      showEnvelope(news);
      break;
  }
  show();
}

function hearRoll(news: Roll): void {
  const before = roll;
  roll = news;
  if (before === undefined) return;
  if (before.relay.isUp !== news.relay.isUp) {
    tell(
      "relay",
      news.relay.isUp ? "runs again, with the mail that it kept" : "was killed with kill -9",
      news.relay.isUp ? "good" : "bad",
    );
  }
  if (before.other.isUp !== news.other.isUp) {
    tell(
      "bob",
      news.other.isUp
        ? "is back: the same key, a new process, not one session"
        : "was killed with kill -9, and his sessions were deleted",
      news.other.isUp ? "warn" : "bad",
    );
  }
  if (before.heals !== news.heals) {
    tell(
      "demo",
      news.heals
        ? "healing is on: session messages leave again"
        : "healing is off, as in 2004: session messages are held back on both sides",
      "warn",
    );
  }
}

function showEnvelope(seen: SeenEnvelope): void {
  const row = element("tr");
  row.style.setProperty("--mark", colourOf(seen.id));
  const session = element("td");
  session.append(element("i"), `${seen.id.slice(0, 8)}…`);
  row.append(
    element("td", `${seen.from === undefined ? "sealed" : nameOf(seen.from)} → ${nameOf(seen.to)}`),
    element("td", seen.type),
    session,
    element("td", seen.bytes.toLocaleString("en-US")),
    element("td", seen.fate),
    element("td", `…${seen.sample}`),
  );
  const body = $("envelopes");
  body.prepend(row);
  while (body.children.length > maxRows) body.lastElementChild?.remove();
  const isOurs = seen.from === tab?.node.peerId;
  if (!isOurs && seen.to !== tab?.node.peerId) return;
  const [first, second] = isOurs ? ["line-here", "line-there"] : ["line-there", "line-here"];
  fly(first, isOurs, seen.id);
  if (seen.fate === "passed") setTimeout(() => fly(second, isOurs, seen.id), 350);
}

function fly(line: string, toTheRight: boolean, id: string): void {
  const place = $(line);
  if (place.children.length > 12) return; // a file is many envelopes
  const dot = element("span", "", { class: "dot" });
  dot.style.background = colourOf(id);
  place.append(dot);
  const way = [{ left: "0%" }, { left: "calc(100% - 12px)" }];
  const flight = dot.animate(toTheRight ? way : way.toReversed(), { duration: 350, easing: "ease-in-out" });
  flight.onfinish = () => dot.remove();
}

/** All that is not a list of what happened: as it is now. */
function show(): void {
  if (roll === undefined) return;
  const { relay, heals } = roll;
  const isBob = chosen === roll.other.peer;
  $("relay-state").textContent = relay.isUp ? "cannot read" : "down";
  $("stop-relay").dataset.state = relay.isUp ? "up" : "down";
  $("there-name").textContent = nameOf(chosen);
  $("there-state").textContent = !isBob ? "another tab" : roll.other.isUp ? "another process" : "dead";
  $("stop-there").dataset.state = isBob && !roll.other.isUp ? "down" : "up";
  $("here-state").textContent = tab?.name ?? "starting";
  $("relay-switch").textContent = relay.isUp ? "Kill the relay" : "Start the relay again";
  $<HTMLInputElement>("heals").checked = heals;
  $("heals-text").textContent = heals ? "on" : "off";
  showPeers();
  if (tab !== undefined && chosen !== undefined) showSessions(tab, chosen, isBob);
  if (tab !== undefined) showLinks(tab);
}

function showPeers(): void {
  const peers = [roll!.other.peer, ...roll!.tabs.map(({ peer }) => peer)].filter((peer) => peer !== tab?.node.peerId);
  if (chosen === undefined || !peers.includes(chosen)) chosen = peers[0];
  const wanted = JSON.stringify([chosen, ...peers.map((peer) => [peer, nameOf(peer)])]);
  const place = $("peers");
  if (place.dataset.shown === wanted) return;
  place.dataset.shown = wanted;
  place.replaceChildren(
    ...peers.map((peer) => {
      const label = element("label");
      const radio = element("input", "", { type: "radio", name: "peer" }) as HTMLInputElement;
      radio.checked = peer === chosen;
      radio.onchange = () => {
        chosen = peer;
        show();
      };
      label.append(radio, nameOf(peer));
      return label;
    }),
  );
  $<HTMLInputElement>("text").placeholder = `Say something to ${nameOf(chosen)}`;
  $("sessions-there-title").textContent = `kept by ${nameOf(chosen)}`;
}

function showSessions(peer: TabPeer, with_: PeerId, isBob: boolean): void {
  const here = peer.node.sessions(with_);
  const there = isBob ? (other?.sessions[peer.node.peerId] ?? []) : undefined;
  fill("sessions-here", here, there);
  if (there === undefined)
    $("sessions-there").replaceChildren(element("li", "only its own page shows them", { class: "none" }));
  else fill("sessions-there", there, here);
  const [mood, text] = verdict(here, there);
  if ($("verdict").textContent !== text) $("verdict").textContent = text;
  $("verdict").dataset.mood = mood;
}

function fill(id: string, sessions: readonly SessionState[], others: readonly SessionState[] | undefined): void {
  $(id).replaceChildren(
    ...sessions.map((session, index) => {
      const isAlone = others !== undefined && !others.some((one) => one.id === session.id);
      const item = element("li", `${index + 1}. ${session.id.slice(0, 8)}…`, isAlone ? { class: "alone" } : {});
      item.style.setProperty("--mark", colourOf(session.id));
      const state = !session.sends ? "receives only" : session.confirmed ? "confirmed" : "not confirmed yet";
      item.append(
        element("small", `${state}, ${session.role}, ${ageOf(session.createdAt)} old${isAlone ? ", here alone" : ""}`),
      );
      return item;
    }),
    ...(sessions.length === 0 ? [element("li", "none", { class: "none" })] : []),
  );
}

function verdict(
  here: readonly SessionState[],
  there: readonly SessionState[] | undefined,
): ["good" | "bad" | "wait", string] {
  const name = nameOf(chosen);
  const waits = waiting === 0 ? "" : ` ${waiting} of your messages ${waiting === 1 ? "waits" : "wait"}.`;
  if (!roll!.relay.isUp) return ["wait", `The relay is down: nothing passes, nothing is lost.${waits}`];
  if (chosen === roll!.other.peer && !roll!.other.isUp)
    return ["wait", `bob is dead: the relay keeps his mail.${waits}`];
  const front = here.find(({ sends }) => sends);
  if (there === undefined)
    return front ? ["good", `You have a session with ${name}.${waits}`] : ["wait", `Not talked to ${name} yet.`];
  if (front !== undefined && there.some(({ id }) => id === front.id)) {
    return ["good", `You and ${name} share a session: whatever you send can be read by ${name} alone.${waits}`];
  }
  if (!roll!.heals && (here.length > 0 || there.length > 0 || waiting > 0)) {
    return ["bad", `Deadlock, as in 2004: one has forgotten, and cannot tell the other.${waits} Switch healing on.`];
  }
  if (here.length === 0 && there.length === 0)
    return ["wait", `You and ${name} share no session: say something.${waits}`];
  return [
    "wait",
    `${front === undefined ? "You have" : `${name} has`} no usable session: the next message heals it.${waits}`,
  ];
}

function showLinks({ node }: TabPeer): void {
  const lines = node.links().map(({ peer, transport, isAnswered, bytesIn, bytesOut }) => {
    const way = transport === "relay" ? "through the relay" : `by ${transport}`;
    const traffic = `${Math.round((bytesIn + bytesOut) / 1_000).toLocaleString("en-US")} KB`;
    return `${nameOf(peer)} ${way}${isAnswered || transport === "relay" ? "" : ", not answered yet"}, ${traffic}`;
  });
  $("links").replaceChildren(...(lines.length === 0 ? ["none open"] : lines).map((line) => element("li", line)));
}

async function say(text: string): Promise<void> {
  const peer = chosen;
  if (peer === undefined || tab === undefined || text.trim() === "") return;
  const line = { peer, own: true, text, at: Date.now() };
  keep(chatKey, chat, line);
  const small = showChat(line, "waits");
  waiting += 1;
  show();
  try {
    const outcome = await tab.say(peer, text);
    if (outcome.state === "stored") stored.set(outcome.messageId, small);
    else waiting -= 1;
    showState(small, outcome.state);
  } catch (error) {
    waiting -= 1;
    showState(small, error instanceof Error ? error.message : String(error));
  }
  show();
}

function showState(small: HTMLElement, state: string): void {
  small.textContent = `${small.textContent?.replace(/:.*/, "")}: ${state === "stored" ? "the relay keeps it" : state}`;
  small.dataset.state = state;
}

/** What the relay kept came to its end. */
function settle(messageId: string | undefined, outcome: string): void {
  const small = stored.get(messageId ?? "");
  if (small === undefined || outcome === "stored") return;
  stored.delete(messageId!);
  waiting -= 1;
  showState(small, outcome);
}

async function give(file: File | undefined): Promise<void> {
  const peer = chosen;
  if (file === undefined || peer === undefined || tab === undefined) return;
  const label = $("drop-text");
  const usual = "Drop a file here, or choose one (up to 32 MB)";
  try {
    tell("you", `sends ${nameOf(peer)} the file “${file.name}”, ${file.size.toLocaleString("en-US")} bytes`);
    await tab.give(peer, file, (part) => {
      label.textContent = `${file.name}: ${Math.round(part * 100)} % handled`;
    });
    tell("you", `“${file.name}” was handled whole`, "good");
  } catch (error) {
    tell("you", error instanceof Error ? error.message : String(error), "bad");
  }
  label.textContent = usual;
}

function listenToUser(): void {
  $("forget-here").onclick = () => {
    tell("you", "forget all sessions, as in a crash, and begin anew with the same key", "bad");
    forgetAndReload();
  };
  const busy = async (id: string, what: () => Promise<void>): Promise<void> => {
    const button = $<HTMLButtonElement>(id);
    button.disabled = true;
    await what().finally(() => {
      button.disabled = false;
    });
  };
  $("forget-there").onclick = () => void busy("forget-there", () => order({ order: "forget" }));
  $("relay-switch").onclick = () =>
    void busy("relay-switch", () => order({ order: roll?.relay.isUp ? "kill-relay" : "start-relay" }));
  $<HTMLInputElement>("heals").onchange = ({ target }) =>
    void order({ order: "heal", on: (target as HTMLInputElement).checked });
  $<HTMLFormElement>("say").onsubmit = (event) => {
    event.preventDefault();
    const input = $<HTMLInputElement>("text");
    void say(input.value);
    input.value = "";
  };
  const file = $<HTMLInputElement>("file");
  file.onchange = () => {
    void give(file.files?.[0]);
    file.value = "";
  };
  const drop = $("drop");
  drop.ondragover = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    void give(event.dataTransfer?.files[0]);
  };
  $("theme").onclick = () => {
    const { dataset } = document.documentElement;
    const isDark =
      dataset.theme === "dark" || (dataset.theme === undefined && matchMedia("(prefers-color-scheme: dark)").matches);
    dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem("egtp-theme", dataset.theme);
  };
}

/** What happens at the stage, from now on and again after a break. */
function listenToStage(query: string): Promise<Roll> {
  return new Promise((resolve) => {
    const source = new EventSource(`/news${query}`);
    source.onmessage = ({ data }) => {
      hear(JSON.parse(data as string) as News);
      if (roll !== undefined) resolve(roll);
    };
  });
}

async function start(): Promise<void> {
  const theme = localStorage.getItem("egtp-theme");
  if (theme !== null) document.documentElement.dataset.theme = theme;
  for (const line of story) showStory(line);
  listenToUser();
  const { bootPage } = (await (await fetch("/roll")).json()) as Roll;
  tab = await TabPeer.start({
    bootPage,
    heals: () => roll?.heals ?? true,
    onText: (peer, text) => {
      const line = { peer, own: false, text, at: Date.now() };
      keep(chatKey, chat, line);
      showChat(line);
    },
    onFile: ({ from, name, bytes }) => {
      const line = {
        peer: from,
        own: false,
        text: `sent you the file “${name}”, ${bytes.length.toLocaleString("en-US")} bytes`,
        at: Date.now(),
      };
      keep(chatKey, chat, line);
      showChat(line);
    },
  });
  const { node } = tab;
  $("own-id").textContent = node.peerId;
  document.title = `EGTP: ${tab.name} is a peer`;
  await listenToStage(`?peer=${node.peerId}&name=${encodeURIComponent(tab.name)}`);
  for (const line of chat) showChat(line);
  void listenToNode();
  await node.start();
  tell("you", "found the relay by the boot page, and can be reached through it by your key alone", "good");
  document.documentElement.dataset.ready = "yes";
  setInterval(show, 1_000);
}

async function listenToNode(): Promise<void> {
  for await (const event of tab!.node.events({ kinds: ["session", "relay", "link", "message"] })) {
    if (event.kind === "session") {
      // Sessions with the servers are as all others, and not what this page is about.
      if (event.peer === roll?.relay.peer || event.peer === roll?.metatracker) continue;
      const told = toldOf(event.kind, event.state, nameOf(event.peer));
      if (told !== undefined) tell("you", told.text, told.mood);
    } else if (event.kind === "relay") {
      const told = toldOf(event.kind, event.state, "");
      if (told !== undefined) tell("you", told.text, told.mood);
    } else if (event.kind === "message" && event.direction === "out") settle(event.messageId, event.outcome);
    show();
  }
}

start().catch((error: unknown) => {
  $("verdict").textContent = error instanceof Error ? error.message : String(error);
  $("verdict").dataset.mood = "bad";
});
