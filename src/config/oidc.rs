//! `[oidc]`: its keys, and what no single one of them can tell.

use super::Config;
use super::reader::{Reader, Section};
use super::setting::string_setting;
use crate::oidc::{self, Rule, WebAddress};

pub(super) fn walk(section: &mut Section<'_, '_>, oidc: &mut oidc::Config) {
    let oidc::Config {
        issuer,
        client_id,
        client_secret,
        client_secret_file,
        url,
        authorities,
        scopes,
        name_claims,
        admins,
        hosts,
        domains,
        unverified_emails,
        stay,
        token,
        login,
        timeout,
        requests_max,
        sign_ins_per_s,
        sign_ins_burst,
        end_at_provider,
    } = oidc;
    section.set("issuer", issuer);
    section.set("client_id", client_id);
    section.set("client_secret", client_secret);
    section.set("client_secret_file", client_secret_file);
    section.set("url", url);
    section.set("authorities", authorities);
    section.set("scopes", scopes);
    section.set("name_claims", name_claims);
    section.set("admins", admins);
    section.set("hosts", hosts);
    section.set("domains", domains);
    section.set("unverified_emails", unverified_emails);
    section.duration("stay_s", stay, 60..=30 * 86_400);
    section.duration("token_s", token, 60..=86_400);
    section.duration("login_s", login, 30..=3_600);
    section.duration("timeout_s", timeout, 1..=60);
    section.number("requests_max", requests_max, 1..=256);
    section.number("sign_ins_per_s", sign_ins_per_s, 1..=10_000);
    section.number("sign_ins_burst", sign_ins_burst, 1..=100_000);
    section.set("end_at_provider", end_at_provider);
}

pub(super) fn judge(config: &Config, reader: &mut Reader<'_>) {
    let oidc::Config { issuer, client_id, url, scopes, .. } = &config.oidc;
    if url.as_ref().is_some_and(|url| !url.is_origin()) {
        reader.problem("oidc", "url", "`url`: must have no path, as \"https://calls.example.org\"");
    }
    let Some(issuer) = issuer else {
        if client_id.is_some() {
            reader.problem("oidc", "client_id", "[oidc] has a `client_id` but no `issuer`");
        }
        return;
    };
    // OpenID Connect Discovery 1.0 section 3.
    if issuer.has_query() {
        reader.problem("oidc", "issuer", "`issuer`: must have no query");
    }
    if client_id.as_ref().is_none_or(String::is_empty) {
        reader.problem("oidc", "issuer", "[oidc] has an `issuer` but no `client_id`");
    }
    if !scopes.iter().any(|scope| scope == "openid") {
        reader.problem("oidc", "scopes", "`scopes`: \"openid\" must be among them");
    }
    if config.keys.is_empty() {
        reader.problem("oidc", "issuer", "`issuer`: there is no key in [keys] to sign tokens with");
    }
    if config.sign_in_url().is_none() {
        reader.problem("oidc", "issuer", "[oidc] needs its `url`, where people reach this server");
    }
}

impl Config {
    /// Where people reach this server: what is written, or else the certificate's name with the first port of TLS.
    pub fn sign_in_url(&self) -> Option<WebAddress> {
        let by_name = || format!("https://{}:{}", self.tls.host.as_ref()?, self.listen.tls.first()?.port()).parse().ok();
        self.oidc.url.clone().or_else(by_name)
    }
}

string_setting!(
    WebAddress,
    "an address as \"https://login.example.org\" (http:// is for loopback hosts only)",
    |text| text.parse().ok(),
    |address| address.as_str().to_owned()
);
string_setting!(Rule, "a claim and a value, as \"groups=admins\" or \"email=ann@example.org\"", |text| text.parse().ok(), Rule::to_string);
