// What the room remembers and we may know: our role, the room's settings, chat, hands, polls, boards, breakouts, who waits. It follows the server's
// messages, so that each part of the page asks here and is told what changed.

/** What is told. `reaction`, `stroke`, `erased`, `broadcast`, `unmute` and `ending` happen and are over; the others say that something here changed. */
const TOPICS = ["you", "options", "people", "chat", "hands", "polls", "boards", "audience", "breakouts", "waiting", "bans"];

export class Standing extends EventTarget {
  you = null;
  /** @type {{ locked: boolean, waiting_room: boolean, mode: "call" | "webinar" } | null} */
  options = null;
  chat = [];
  hands = [];
  /** By id. */
  polls = new Map();
  /** Names of boards on which there is something. */
  boards = new Set();
  audience = 0;
  breakouts = null;
  /** Number of the breakout room that we are in, or null. */
  breakout = null;
  /** When the breakouts end, on the clock of `performance.now()`, or null. */
  endsAt = null;
  waiting = [];
  bans = [];
  /** The name of the room or breakout room. */
  name = "";
  /** What we know of others beside their names: { role, reconnecting } by id. */
  #others = new Map();
  #known = new Set();

  /** Whether the server remembers this: else what needs it stays hidden. */
  knows(what) {
    return this.#known.has(what);
  }

  get isHost() {
    return Boolean(this.you?.admin);
  }

  get mayTalk() {
    return this.you?.can_publish_data !== false;
  }

  get isWebinar() {
    return this.options?.mode === "webinar";
  }

  role(id) {
    return (id === this.you?.id ? this.you.role : this.#others.get(id)?.role) ?? null;
  }

  isReconnecting(id) {
    return Boolean(this.#others.get(id)?.reconnecting);
  }

  hasHandUp(id) {
    return this.hands.findIndex(({ participant }) => participant === id) + 1;
  }

  /** Calls `act` for each of these topics until `signal` aborts. */
  on(topics, act, signal) {
    for (const topic of [topics].flat()) this.addEventListener(topic, ({ detail }) => act(detail), { signal });
  }

  take(message) {
    switch (message.type) {
      case "joined":
      case "admitted":
      case "resumed":
      case "moved":
        return this.#enter(message);
      case "you_updated":
        this.you = message.you;
        return this.#changed("you", "people");
      case "room_updated":
        this.options = message.options;
        return this.#changed("options");
      case "bans":
        this.bans = message.identities;
        return this.#changed("bans");
      case "participant_joined":
        this.#meet(message.participant);
        return this.#changed("people");
      case "participant_updated":
        this.#others.set(message.participant, { role: message.role, reconnecting: message.reconnecting });
        return this.#changed("people");
      case "participant_left":
        this.#others.delete(message.participant);
        return this.#changed("people");
      case "waiting_room":
        this.waiting = message.waiting;
        return this.#changed("waiting");
      case "chat":
      case "chat_sent":
        this.chat.push(message.message);
        return this.#tell("chat", message.message);
      case "chat_deleted":
        this.chat = this.chat.filter(({ id }) => id !== message.message);
        return this.#changed("chat");
      case "chat_restored":
      case "chat_history":
        return this.#remember(message.messages);
      case "reaction":
      case "stroke":
      case "erased":
      case "broadcast":
        if (message.type === "stroke") this.boards.add(message.board);
        return this.#tell(message.type, message);
      case "hands":
        this.hands = message.hands;
        return this.#changed("hands");
      case "poll":
        return this.#takePoll(message.poll);
      case "breakouts":
        this.#takeBreakouts(message.breakouts);
        return this.#changed("breakouts");
      case "breakouts_ending":
        this.endsAt = performance.now() + message.ends_in_ms;
        this.#changed("breakouts");
        return this.#tell("ending", message);
      case "audience":
        this.audience = message.count;
        return this.#changed("audience");
      case "unmute_asked":
        return this.#tell("unmute", message);
    }
  }

  #enter({ type, room, name, you, options = null, participants, state = {} }) {
    this.you = you;
    this.options = options;
    this.#others.clear();
    for (const participant of participants) this.#meet(participant);
    this.#known = new Set(Object.keys(state));
    this.chat = [...(state.chat ?? [])];
    this.hands = state.hands ?? [];
    this.polls = new Map((state.polls ?? []).map((poll) => [poll.id, poll]));
    this.boards = new Set(state.boards ?? []);
    this.audience = state.audience ?? 0;
    this.breakout = state.breakout ?? null;
    // Who moves is in breakouts that go on, said again or not.
    if (type !== "moved" || state.breakouts) this.#takeBreakouts(state.breakouts ?? null);
    this.waiting = state.waiting ?? [];
    this.bans = state.bans ?? [];
    this.name = type === "moved" ? (name ?? "") : (room ?? "");
    this.#changed(...TOPICS);
    this.#tell("entered", { type });
  }

  #meet({ id, role, reconnecting }) {
    this.#others.set(id, { role, reconnecting });
  }

  #takeBreakouts(breakouts) {
    this.breakouts = breakouts;
    this.endsAt = breakouts?.ends_in_ms ? performance.now() + breakouts.ends_in_ms : null;
  }

  #takePoll(poll) {
    const isNew = !this.polls.has(poll.id);
    this.polls.set(poll.id, poll);
    this.#tell("polls", { poll, isNew });
  }

  /** Older messages come in front of those that are known. */
  #remember(messages) {
    const known = new Set(this.chat.map(({ id }) => id));
    this.chat = [...messages.filter(({ id }) => !known.has(id)), ...this.chat].sort((a, b) => a.at_unix_ms - b.at_unix_ms);
    this.#changed("chat");
  }

  #changed(...topics) {
    for (const topic of topics) this.#tell(topic);
  }

  #tell(topic, detail = null) {
    this.dispatchEvent(new CustomEvent(topic, { detail }));
  }
}
