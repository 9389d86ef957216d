// Signing in with an OpenID Connect provider: npm `oidc-provider` with its development login form, on another site than the page.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import Provider from "oidc-provider";
import { chromium, HTTP, server } from "./lab.mjs";

const ISSUER = "http://localhost:4400";
const CLIENT = { client_id: "pointsman", client_secret: "a secret of the client's", redirect_uris: [`${HTTP}/oidc/callback`], post_logout_redirect_uris: [`${HTTP}/`] };
const ACCOUNTS = {
  ann: { name: "Ann Example", email: "ann@example.org", email_verified: true, groups: ["staff"] },
  root: { name: "Rosa Root", email: "rosa@example.org", email_verified: true, groups: ["staff", "admins"] },
  eve: { name: "Eve", email: "eve@elsewhere.example", email_verified: true },
};

/** A provider: `stop()` ends it; while `away` is true it takes no codes. */
async function provider() {
  const login = { away: false };
  const it = new Provider(ISSUER, {
    clients: [CLIENT],
    claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"], groups: ["groups"] },
    scopes: ["openid", "profile", "email", "groups"],
    cookies: { keys: ["of this test"] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...ACCOUNTS[id] }) }),
  });
  it.use(async (ctx, next) => {
    if (!login.away || ctx.path !== "/token") return next();
    ctx.respond = false;
    ctx.req.socket.destroy();
  });
  const listening = it.listen(4400);
  await new Promise((done) => listening.once("listening", done));
  return Object.assign(login, { stop: () => new Promise((done) => (listening.close(done), listening.closeAllConnections())) });
}

describe("sign-in with a provider", () => {
  let login, pointsman, browser;
  const small = { width: 320, height: 180 };
  before(async () => {
    login = await provider();
    pointsman = await server({
      more: `[oidc]
issuer = "${ISSUER}"
client_id = "${CLIENT.client_id}"
client_secret = "${CLIENT.client_secret}"
url = "${HTTP}"
scopes = ["openid", "profile", "email", "groups"]
admins = ["groups=admins"]
domains = ["example.org"]
end_at_provider = true
`,
    });
    browser = await chromium();
  });
  after(async () => {
    await browser.close();
    await pointsman.stop();
    await login.stop();
  });

  /** Fills the provider's forms as `account`, and comes back. */
  async function signIn({ page }, account) {
    await page.getByPlaceholder("Enter any login").fill(account);
    await page.getByPlaceholder("and password").fill("whatever");
    await page.getByRole("button", { name: "Sign-in" }).click();
    await page.getByRole("button", { name: "Continue" }).click();
  }

  /** What our page may fetch. */
  const ask = ({ page }, path) => page.evaluate(async (path) => {
    const response = await fetch(path);
    return { status: response.status, body: await response.json() };
  }, path);

  it("brings who has no link with a token into a room, by name", async () => {
    const bob = await browser.tab("Bob", 30, small);
    await bob.comes(pointsman, "staff");
    await bob.inCall();
    const ann = await browser.tab("Ann", 200, small);
    await ann.open(`${HTTP}/?room=staff`);
    assert.ok(!(await ann.page.locator("#name").isVisible()), "the provider tells the name");
    assert.equal((await ask(ann, "/oidc/token?room=staff")).status, 401);
    await ann.press("Sign in");
    await signIn(ann, "ann");
    await ann.reads("Signed in as Ann Example");
    assert.equal(await ann.page.locator("#room").inputValue(), "staff");
    await ann.press("Join");
    await ann.inCall();
    await ann.meets([bob], 20_000);
    await bob.meets([ann], 20_000);
    await bob.page.locator('.tile[data-identity="oidc:ann"]').getByText("Ann Example").waitFor();
    assert.equal(await ann.page.evaluate(() => location.href), `${HTTP}/?room=staff`, "no address holds a token");
    assert.equal(await ann.page.evaluate(() => document.cookie), "", "no script reads the cookie");
    assert.doesNotMatch(pointsman.log(), /eyJ|a secret of the client|code=/);
    await bob.page.context().close();

    // Not an administrator; and whoever comes again needs no password.
    assert.equal((await ask(ann, "/oidc/operator")).status, 403);
    await ann.open(`${HTTP}/?room=staff`);
    await ann.reads("Signed in as Ann Example");

    // Out, here and at the provider.
    await ann.press("Sign out");
    await ann.page.getByRole("button", { name: "Yes, sign me out" }).click();
    await ann.page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
    assert.equal((await ask(ann, "/oidc/token?room=staff")).status, 401);
    await ann.press("Sign in");
    await ann.page.getByPlaceholder("Enter any login").waitFor();
    await ann.page.context().close();
  });

  it("gives administrators a token for the whole server", async () => {
    const root = await browser.tab("Root", 300, small);
    await root.open(`${HTTP}/oidc/login?then=${encodeURIComponent("/?room=board")}`);
    await signIn(root, "root");
    await root.reads("Signed in as Rosa Root");
    const { status, body } = await ask(root, "/oidc/operator");
    assert.equal(status, 200);
    const rooms = await fetch(`${HTTP}/api/v1/rooms`, { headers: { authorization: `Bearer ${body.token}` } });
    assert.equal(rooms.status, 200);
    await root.page.context().close();
  });

  it("keeps out who is of another domain, and leads nobody elsewhere", async () => {
    const eve = await browser.tab("Eve", 100, small);
    await eve.open(`${HTTP}/oidc/login`);
    await signIn(eve, "eve");
    await eve.reads("You cannot come in with this account");
    await eve.open(`${HTTP}/`);
    assert.equal((await ask(eve, "/oidc/me")).body.signed_in, false);
    await eve.open(`${HTTP}/oidc/login?then=//elsewhere.example/`);
    await eve.reads("This link leads elsewhere");
    assert.equal(await eve.page.evaluate(() => location.host), "127.0.0.1:8080");
    await eve.page.context().close();
  });

  it("says so when the provider is away, and signs in when it is back", async () => {
    const tab = await browser.tab("Late", 60, small);
    login.away = true;
    await tab.open(`${HTTP}/oidc/login?then=/%3Froom%3Dlate`);
    await signIn(tab, "ann");
    await tab.reads("Signing in does not work at the moment");
    assert.match(pointsman.log(), /sign-in does not work.*cannot be reached/);
    login.away = false;
    await tab.page.getByRole("link", { name: "Sign in again" }).click(); // the provider knows who it is by now
    await tab.reads("Signed in as Ann Example");
    assert.equal(await tab.page.locator("#room").inputValue(), "late");
    await tab.page.context().close();
  });
});
