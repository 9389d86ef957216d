//! The whole way through, and what strangers try on it.

use std::time::Instant;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{Method, StatusCode};
use pointsman_signal::token::Keys;
use serde_json::{Value, json};

use super::fake::{Browser, Fake, KEY_SECRET, Signer, parameters};
use crate::oidc::routes::unix_s;
use crate::oidc::{Config, WebAddress};

fn keys() -> Keys {
    [("testkey", KEY_SECRET)].into_iter().collect()
}

#[tokio::test]
async fn who_signs_in_gets_a_join_token() {
    let fake = Fake::start().await;
    let server = fake.sign_in(&fake.config());
    let mut browser = Browser::default();
    assert_eq!(browser.get(&server, "/oidc/me").await.json(), json!({ "signed_in": false }));
    assert_eq!(browser.get(&server, "/oidc/token?room=standup").await.status, StatusCode::UNAUTHORIZED);

    let done = browser.sign_in(&server, &fake).await;
    assert_eq!(done.location(), "https://calls.example.org/?room=standup");
    assert_eq!(
        (&done.headers[CACHE_CONTROL], &done.headers[REFERRER_POLICY]),
        (&"no-store".parse().unwrap(), &"no-referrer".parse().unwrap())
    );
    assert_eq!(browser.0.keys().collect::<Vec<_>>(), ["__Host-pointsman-person"], "the login's cookie is used up");

    let me = browser.get(&server, "/oidc/me").await.json();
    assert_eq!((&me["name"], &me["identity"], &me["rank"]), (&json!("Ann Example"), &json!("oidc:ann"), &json!("member")));
    let minted = browser.get(&server, "/oidc/token?room=standup").await.json();
    let claims = keys().verify(minted["token"].as_str().unwrap(), unix_s()).unwrap();
    assert!(claims.video.may_join("standup") && !claims.video.room_admin && !claims.video.room_list);
    assert_eq!((claims.sub.as_str(), claims.name.as_str()), ("oidc:ann", "Ann Example"));
    assert!(claims.exp <= unix_s() + 3600);
    for wrong in ["", "?room=", "?room=%20", &format!("?room={}", "x".repeat(129))] {
        assert_eq!(browser.get(&server, &format!("/oidc/token{wrong}")).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }

    // Discovery and keys were fetched once for all.
    Browser::default().sign_in(&server, &fake).await;
    assert_eq!((fake.asked("discovery"), fake.asked("keys"), fake.asked("token")), (1, 1, 2));
}

#[tokio::test]
async fn administrators_get_an_operators_token_and_nobody_else() {
    let fake = Fake::start().await;
    let rules = |admins: &[&str], hosts: &[&str]| Config {
        admins: admins.iter().map(|rule| rule.parse().unwrap()).collect(),
        hosts: hosts.iter().map(|rule| rule.parse().unwrap()).collect(),
        ..fake.config()
    };
    fake.change(|fake| fake.user_info["groups"] = json!(["staff", "leads"]));
    for (config, room_admin, operator) in [
        (rules(&["groups=admins"], &["groups=nobody"]), false, StatusCode::FORBIDDEN),
        (rules(&["groups=admins"], &["groups=leads"]), true, StatusCode::FORBIDDEN),
        (rules(&["email=ANN@example.org"], &[]), true, StatusCode::OK),
        (rules(&["groups=staff"], &[]), true, StatusCode::OK),
    ] {
        let server = fake.sign_in(&config);
        let mut browser = Browser::default();
        assert_eq!(browser.get(&server, "/oidc/operator").await.status, StatusCode::UNAUTHORIZED);
        browser.sign_in(&server, &fake).await;
        let join = browser.get(&server, "/oidc/token?room=r").await.json();
        let claims = keys().verify(join["token"].as_str().unwrap(), unix_s()).unwrap();
        assert_eq!((claims.video.room_admin, claims.video.room.as_str()), (room_admin, "r"));
        let answer = browser.get(&server, "/oidc/operator").await;
        assert_eq!(answer.status, operator, "{}", answer.body);
        if answer.status == StatusCode::OK {
            let claims = keys().verify(answer.json()["token"].as_str().unwrap(), unix_s()).unwrap();
            assert!(claims.video.room_admin && claims.video.room.is_empty() && !claims.video.room_join);
        }
    }
}

#[tokio::test]
async fn another_configuration_or_another_key_forgets_who_signed_in() {
    let fake = Fake::start().await;
    let mut browser = Browser::default();
    browser.sign_in(&fake.sign_in(&fake.config()), &fake).await;
    assert_eq!(browser.get(&fake.sign_in(&fake.config()), "/oidc/me").await.json()["signed_in"], true, "a restart does not");
    let changed = Config { admins: vec!["groups=admins".parse().unwrap()], ..fake.config() };
    assert_eq!(browser.get(&fake.sign_in(&changed), "/oidc/me").await.json()["signed_in"], false);
}

#[tokio::test]
async fn only_own_paths_are_returned_to() {
    let fake = Fake::start().await;
    let server = fake.sign_in(&fake.config());
    let encoded = |then: &str| form_urlencoded::Serializer::new(String::new()).append_pair("then", then).finish();
    let long = format!("/{}", "x".repeat(2_000));
    for then in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\r\nSet-Cookie: a=b",
        "evil",
        "",
        "javascript:alert(1)",
        "/\u{fe5f}x",
        "/oidc/login?then=/",
        "@evil.example",
        ".evil.example",
        &long,
    ] {
        let seen = Browser::default().get(&server, &format!("/oidc/login?{}", encoded(then))).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{then:?}");
        assert!(!seen.body.contains("evil"), "{}", seen.body);
    }
    for (then, to) in [("/", "/"), ("/admin", "/admin"), ("/?room=a%20b&view=grid#x", "/?room=a%20b&view=grid#x"), ("/.//x", "/.//x")] {
        let mut browser = Browser::default();
        let begun = browser.get(&server, &format!("/oidc/login?{}", encoded(then))).await;
        let done = browser.get(&server, &fake.consent(begun.location())).await;
        assert_eq!(done.location(), format!("https://calls.example.org{to}"));
    }
    let mut browser = Browser::default();
    let begun = browser.get(&server, "/oidc/login").await;
    assert_eq!(browser.get(&server, &fake.consent(begun.location())).await.location(), "https://calls.example.org/");
}

#[tokio::test]
async fn a_callback_belongs_to_the_browser_that_began() {
    let fake = Fake::start().await;
    let server = fake.sign_in(&fake.config());
    let (mut ann, mut eve) = (Browser::default(), Browser::default());
    let begun = ann.get(&server, "/oidc/login").await;
    let back = fake.consent(begun.location());

    assert_eq!(Browser::default().get(&server, &back).await.status, StatusCode::BAD_REQUEST, "no cookie");
    eve.get(&server, "/oidc/login").await;
    assert_eq!(eve.get(&server, &back).await.status, StatusCode::BAD_REQUEST, "another's state");
    let login = ann.0["__Host-pointsman-login"].clone();
    let mut forged = login.clone().into_bytes();
    forged[20] = if forged[20] == b'A' { b'B' } else { b'A' };
    for cookie in [String::from_utf8(forged).unwrap(), login[..login.len() - 4].to_owned(), String::new(), "x".repeat(5_000)] {
        let mut browser = Browser([("__Host-pointsman-login".to_owned(), cookie)].into());
        assert_eq!(browser.get(&server, &back).await.status, StatusCode::BAD_REQUEST);
    }
    for query in ["", "?code=code-0", "?code=code-0&state=", "?state=x&state=y&code=%ff"] {
        assert_eq!(ann.get(&server, &format!("/oidc/callback{query}")).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(fake.asked("token"), 0, "none of that reaches the provider");
    // A cookie for one thing is none for another.
    let mut crossed = Browser([("__Host-pointsman-person".to_owned(), login)].into());
    assert_eq!(crossed.get(&server, "/oidc/me").await.json()["signed_in"], false);

    assert_eq!(ann.get(&server, &back).await.status, StatusCode::SEE_OTHER);
    assert_eq!(ann.get(&server, &back).await.status, StatusCode::BAD_REQUEST, "once");
}

#[tokio::test]
async fn what_the_provider_says_is_judged() {
    let fake = Fake::start().await;
    let server = fake.sign_in(&fake.config());
    let now = unix_s();
    let wrong: &[Value] = &[
        json!({ "aud": "another" }),
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "iss": "https://evil.example" }),
        json!({ "exp": now - 120 }),
        json!({ "iat": now + 300 }),
        json!({ "azp": "another" }),
        json!({ "sub": "bob" }),
    ];
    for claims in wrong {
        fake.change(|fake| fake.id_claims = claims.clone());
        let mut browser = Browser::default();
        let seen = browser.sign_in(&server, &fake).await;
        assert_eq!(seen.status, StatusCode::BAD_GATEWAY, "{claims}");
        assert_eq!(seen.headers[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(browser.0.is_empty(), "{claims}");
    }
    fake.change(|fake| fake.id_claims = json!({}));
    // An ID token of another sign-in, signed as it should be.
    let other = json!({ "iss": fake.issuer, "sub": "ann", "aud": "pointsman", "iat": now, "exp": now + 300, "nonce": "of another" });
    fake.change(|fake| fake.id_token = Some(fake.signer.sign(&other)));
    assert_eq!(Browser::default().sign_in(&server, &fake).await.status, StatusCode::BAD_GATEWAY);
    fake.change(|fake| fake.id_token = None);

    let mut browser = Browser::default();
    let state = parameters(browser.get(&server, "/oidc/login").await.location())["state"].clone();
    let declined = browser.get(&server, &format!("/oidc/callback?error=access_denied&state={state}")).await;
    assert_eq!(declined.status, StatusCode::FORBIDDEN);
    let begun = browser.get(&server, "/oidc/login").await;
    let mixed_up = format!("{}&iss=https%3A%2F%2Fevil.example", fake.consent(begun.location()));
    assert_eq!(browser.get(&server, &mixed_up).await.status, StatusCode::BAD_REQUEST, "RFC 9207");
}

#[tokio::test]
async fn keys_change_without_anybody_noticing() {
    let fake = Fake::start().await;
    let server = fake.sign_in(&fake.config());
    Browser::default().sign_in(&server, &fake).await.location();
    let second = Signer::new("second");
    // Not published: refused. The key set was fetched a moment ago, so it is not asked for again.
    fake.change(|fake| fake.signer = second.clone());
    assert_eq!(Browser::default().sign_in(&server, &fake).await.status, StatusCode::BAD_GATEWAY);
    assert_eq!(fake.asked("keys"), 1, "strangers' keys cause no requests");
    fake.change(|fake| fake.keys = vec![second.jwk()]);
    server.age(std::time::Duration::from_secs(11)).await;
    Browser::default().sign_in(&server, &fake).await.location();
    assert_eq!(fake.asked("keys"), 2);
}

#[tokio::test]
async fn a_provider_that_is_away_or_hangs_has_a_page() {
    let fake = Fake::start().await;
    fake.change(|fake| fake.hangs = true);
    let server = fake.sign_in(&fake.config());
    let began = Instant::now();
    let asked = (0..50).map(|_| {
        let server = server.clone();
        tokio::spawn(async move { Browser::default().get(&server, "/oidc/login?then=/%3Froom%3Dr").await })
    });
    for seen in asked.collect::<Vec<_>>() {
        let seen = seen.await.unwrap();
        assert_eq!(seen.status, StatusCode::BAD_GATEWAY);
        assert!(seen.body.contains(r#"href="/oidc/login?then=%2F%3Froom%3Dr""#), "{}", seen.body);
    }
    assert!(began.elapsed().as_secs() < 3, "all wait for one question: {:?}", began.elapsed());
    assert_eq!(fake.asked("discovery"), 1);
    fake.change(|fake| fake.hangs = false);
    server.age(std::time::Duration::from_secs(6)).await;
    Browser::default().sign_in(&server, &fake).await.location();

    // What it said once is still good when it is away.
    let gone: WebAddress = "http://127.0.0.1:1".parse().unwrap();
    let away = fake.sign_in(&Config { issuer: Some(gone), ..fake.config() });
    assert_eq!(Browser::default().get(&away, "/oidc/login").await.status, StatusCode::BAD_GATEWAY);
    fake.change(|fake| fake.hangs = true);
    server.age(std::time::Duration::from_secs(4_000)).await;
    assert_eq!(Browser::default().get(&server, "/oidc/login").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn only_so_many_questions_are_open() {
    let fake = Fake::start().await;
    let server = fake.sign_in(&Config { requests_max: 2, ..fake.config() });
    let mut browsers = Vec::new();
    for _ in 0..8 {
        let mut browser = Browser::default();
        let begun = browser.get(&server, "/oidc/login").await;
        browsers.push((browser, fake.consent(begun.location())));
    }
    fake.change(|fake| fake.hangs = true);
    let asked = browsers.into_iter().map(|(mut browser, back)| {
        let server = server.clone();
        tokio::spawn(async move { browser.get(&server, &back).await.status })
    });
    let mut busy = 0;
    for status in asked.collect::<Vec<_>>() {
        let status = status.await.unwrap();
        assert!([StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE].contains(&status));
        busy += u32::from(status == StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(fake.asked("token") <= 4 && busy >= 4, "{} asked, {busy} were told to come again", fake.asked("token"));
}

#[tokio::test]
async fn only_so_many_codes_are_exchanged_in_a_second() {
    let fake = Fake::start().await;
    let server = fake.sign_in(&Config { sign_ins_per_s: 1, sign_ins_burst: 2, ..fake.config() });
    let mut made_up = 0;
    for _ in 0..10 {
        let mut browser = Browser::default();
        let state = parameters(browser.get(&server, "/oidc/login").await.location())["state"].clone();
        let seen = browser.get(&server, &format!("/oidc/callback?code=made-up&state={state}")).await;
        made_up += u32::from(seen.status == StatusCode::BAD_GATEWAY);
    }
    assert!(made_up <= 4 && fake.asked("token") == made_up, "{made_up}");
}

#[tokio::test]
async fn a_wrong_description_is_refused() {
    let fake = Fake::start().await;
    for metadata in
        [json!({ "issuer": "https://evil.example" }), json!({ "token_endpoint": "http://evil.example/token" }), json!({ "jwks_uri": 7 })]
    {
        fake.change(|fake| fake.metadata = metadata.clone());
        assert_eq!(
            Browser::default().get(&fake.sign_in(&fake.config()), "/oidc/login").await.status,
            StatusCode::BAD_GATEWAY,
            "{metadata}"
        );
    }
    // One that promises to name itself must (RFC 9207 section 2.4).
    fake.change(|fake| fake.metadata = json!({ "authorization_response_iss_parameter_supported": true }));
    assert_eq!(Browser::default().sign_in(&fake.sign_in(&fake.config()), &fake).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_signs_out_is_out_and_only_own_pages_do_it() {
    let fake = Fake::start().await;
    let server = fake.sign_in(&Config { end_at_provider: true, ..fake.config() });
    let mut browser = Browser::default();
    browser.sign_in(&server, &fake).await;
    let foreign = browser.ask(&server, Method::POST, "/oidc/logout", &[("origin", "https://evil.example")]).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get(&server, "/oidc/logout").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let asked = browser.ask(&server, Method::GET, "/oidc/token?room=r", &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(asked.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get(&server, "/oidc/me").await.json()["signed_in"], true);
    let out = browser.ask(&server, Method::POST, "/oidc/logout", &[("origin", "https://calls.example.org")]).await;
    let then = out.json()["then"].as_str().unwrap().to_owned();
    assert!(then.starts_with(&format!("{}/end?", fake.issuer)), "{then}");
    assert_eq!(parameters(&then)["post_logout_redirect_uri"], "https://calls.example.org/");
    assert_eq!(browser.get(&server, "/oidc/me").await.json()["signed_in"], false);
    assert!(browser.0.is_empty());
}

#[tokio::test]
async fn only_some_domains_come_in() {
    let fake = Fake::start().await;
    for (domains, user_info, status) in [
        (vec!["example.org"], json!({ "sub": "ann", "email": "ann@EXAMPLE.org", "email_verified": true }), StatusCode::SEE_OTHER),
        (vec!["example.com"], json!({ "sub": "ann", "email": "ann@example.org", "email_verified": true }), StatusCode::FORBIDDEN),
        (vec!["example.org"], json!({ "sub": "ann", "email": "ann@example.org" }), StatusCode::FORBIDDEN),
        (
            vec!["example.org"],
            json!({ "sub": "ann", "email": "ann@example.org@evil.example", "email_verified": true }),
            StatusCode::FORBIDDEN,
        ),
        (vec!["example.org"], json!({ "sub": "ann" }), StatusCode::FORBIDDEN),
    ] {
        fake.change(|fake| fake.user_info = user_info.clone());
        let server = fake.sign_in(&Config { domains: domains.into_iter().map(str::to_owned).collect(), ..fake.config() });
        assert_eq!(Browser::default().sign_in(&server, &fake).await.status, status, "{user_info}");
    }
}
