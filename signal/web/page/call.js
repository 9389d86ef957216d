// The call that is on: the room, what it remembers, and ways to ask the server for something and to tell the user what came of it.
import { banner } from "/page/notices.js";
import { Standing } from "/page/standing.js";

export class Call {
  standing = new Standing();
  #ending = new AbortController();

  /** @param {import("/client/pointsman.js").Room} room */
  constructor(room) {
    this.room = room;
    room.addEventListener("message", ({ detail: { message } }) => this.standing.take(message), { signal: this.ended });
  }

  /** Aborts when the call is over: listeners go with it. */
  get ended() {
    return this.#ending.signal;
  }

  end() {
    this.#ending.abort();
  }

  /** Calls `act` for each of the room's events of these types. */
  on(types, act) {
    for (const type of [types].flat()) this.room.addEventListener(type, ({ detail }) => act(detail), { signal: this.ended });
  }

  /** A request whose failure the user is told; null then, else the reply. */
  async ask(type, fields = {}) {
    try {
      return await this.room.request(type, fields);
    } catch (error) {
      if (!this.ended.aborted) banner(refusal(error));
      return null;
    }
  }

  /** How somebody is called. */
  nameOf(id) {
    const { you, hands, waiting, breakouts } = this.standing;
    if (id === you?.id) return you.name || you.identity;
    const elsewhere = () => [...hands, ...waiting, ...(breakouts?.rooms ?? []).flatMap(({ participants }) => participants)].find(({ participant }) => participant === id);
    return this.room.participants.get(id)?.name ?? elsewhere()?.name ?? "Somebody";
  }
}

/** Why the server would not, in words for who asked. */
function refusal(error) {
  switch (error.code) {
    case "forbidden": return `You may not do that: ${error.message}.`;
    case "full": return `There is no space for more: ${error.message}.`;
    case "over": return `That has ended already: ${error.message}.`;
    case "too_large": return `That is too long: ${error.message}.`;
    default: return `${error.message[0]?.toUpperCase() ?? ""}${error.message.slice(1)}`;
  }
}
