// The panel beside the pictures (on a phone: over them) with its pages: people, chat, polls, breakout rooms.
import { $ } from "/page/make.js";

const PAGES = ["people", "chat", "polls", "rooms"];

export class Panel extends EventTarget {
  /** @type {string | null} */
  page = null;
  #opener = null;

  constructor() {
    super();
    for (const page of PAGES) $(`${page}-tab`).addEventListener("click", () => this.open(page));
    $("panel-tabs").addEventListener("keydown", (event) => this.#move(event));
    $("panel-close").addEventListener("click", () => this.close());
    $("panel").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
    for (const [id, page] of [["people-button", "people"], ["chat-button", "chat"]]) $(id).addEventListener("click", () => this.toggle(page));
  }

  /** Which pages there are. */
  offer(page, offered) {
    $(`${page}-tab`).hidden = !offered;
    if (!offered && this.page === page) this.close();
  }

  isOffered(page) {
    return !$(`${page}-tab`).hidden;
  }

  toggle(page) {
    this.page === page ? this.close() : this.open(page);
  }

  open(page) {
    if (!this.isOffered(page)) return;
    if (!this.page) this.#opener = document.activeElement;
    this.page = page;
    $("panel").hidden = false;
    for (const other of PAGES) {
      $(`${other}-tab`).setAttribute("aria-selected", other === page);
      $(`${other}-tab`).tabIndex = other === page ? 0 : -1;
      $(`${other}-page`).hidden = other !== page;
    }
    this.#show();
    ($(`${page}-page`).querySelector("[data-first]:not(:disabled)") ?? $(`${page}-tab`)).focus();
  }

  close() {
    if (!this.page) return;
    const within = $("panel").contains(document.activeElement);
    this.page = null;
    $("panel").hidden = true;
    this.#show();
    if (within) this.#opener?.focus?.();
  }

  #show() {
    for (const [id, page] of [["people-button", "people"], ["chat-button", "chat"]]) {
      $(id).dataset.on = this.page === page;
      $(id).setAttribute("aria-expanded", this.page === page);
    }
    this.dispatchEvent(new Event("changed"));
  }

  #move(event) {
    const tabs = PAGES.map((page) => $(`${page}-tab`)).filter((tab) => !tab.hidden);
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    tabs.at(to % tabs.length).focus();
    event.preventDefault();
  }
}
