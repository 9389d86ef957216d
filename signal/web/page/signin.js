// Signing in, where the server has a provider for it: who has no link with a token comes in this way. The browser keeps a cookie that no script
// reads; join tokens come for it, one for each room, and stand in no address.
import { $ } from "/page/make.js";

export class SignIn {
  /** What the lobby must know: null where nobody can sign in. */
  static async look() {
    const response = await fetch("/oidc/me").catch(() => null);
    return response?.ok ? new SignIn(await response.json()) : null;
  }

  constructor({ signed_in, name, identity }) {
    /** Who is signed in: `{ name, identity }`, or null. */
    this.person = signed_in ? { name: name || identity, identity } : null;
    $("sign-out").addEventListener("click", () => this.#end());
  }

  /** Fits the lobby's form to who is there. */
  show() {
    const { person } = this;
    $("join-button").textContent = person ? "Join" : "Sign in";
    $("name-field").hidden = !person;
    $("name").required = $("name").readOnly = Boolean(person);
    if (person) $("name").value = person.name;
    $("join-button").disabled = false;
    $("signed-in").hidden = !person;
    $("signed-in-name").textContent = person?.name ?? "";
  }

  /** Leaves for the provider's page, and comes back to this room's lobby. */
  begin(room) {
    const then = `/?room=${encodeURIComponent(room)}`;
    location.assign(`/oidc/login?then=${encodeURIComponent(then)}`);
  }

  /** A join token. */
  async token(room) {
    const response = await fetch(`/oidc/token?room=${encodeURIComponent(room)}`);
    const body = await response.json().catch(() => ({}));
    if (response.ok) return body.token;
    if (response.status === 401) {
      this.person = null;
      this.show();
      throw new Error("You were signed out in the meantime. Please sign in again.");
    }
    throw new Error(body.detail ?? `No token: the server answered ${response.status}.`);
  }

  async #end() {
    const response = await fetch("/oidc/logout", { method: "POST" }).catch(() => null);
    const { then } = response?.ok ? await response.json() : {};
    if (then) return location.assign(then); // the provider asks whether to sign out there, too
    location.reload();
  }
}
