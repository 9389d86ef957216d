//! Third-party authorization (RFC 7635).

use std::time::Duration;

use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Message, Method, Writer};

use super::world::*;
use crate::auth::tokens::{key, token_of};
use crate::{Config, OauthKey, Realm, TokenAlgorithm};

const SERVER_NAME: &str = "turn.example.org";
const MAC_KEY: [u8; 20] = [0x5A; 20];

fn shared() -> OauthKey {
    OauthKey { kid: "north".to_owned(), ..key(&[1; 33], TokenAlgorithm::A256Gcm) }
}

fn authorizing() -> Config {
    Config { oauth: true, oauth_server_name: SERVER_NAME.to_owned(), oauth_keys: vec![shared()], ..config() }
}

fn token(world: &World, lifetime_s: u32) -> Vec<u8> {
    token_of(&shared(), &MAC_KEY, world.now.unix, lifetime_s, SERVER_NAME)
}

fn holder(port: u16) -> Client {
    let mut client = Client::new(&format!("203.0.113.4:{port}")).with_credentials("north", "");
    client.mac_key = Some(MAC_KEY.to_vec());
    client
}

fn show(token: &[u8]) -> impl Fn(&mut Writer<'_>) {
    move |writer| _ = writer.attribute(Type::ACCESS_TOKEN, token)
}

#[test]
fn the_challenge_names_the_server() {
    let mut world = World::new(authorizing());
    let client = holder(1);
    let id = world.next_id();
    let answer = world.ask(client.path, &client.sign(Method::ALLOCATE, id, &|_| ())).unwrap();
    assert_eq!(code_of(&answer), 401);
    assert_eq!(Message::parse(&answer).unwrap().attribute(Type::THIRD_PARTY_AUTHORIZATION), Some(SERVER_NAME.as_bytes()));
    let mut world = World::new(config());
    let answer = world.ask(client.path, &client.sign(Method::ALLOCATE, id, &|_| ())).unwrap();
    assert!(!Message::parse(&answer).unwrap().has(Type::THIRD_PARTY_AUTHORIZATION));
}

#[test]
fn a_token_opens_the_door_and_its_key_protects_what_follows() {
    let mut world = World::new(authorizing());
    let token = token(&world, 3600);
    let mut client = holder(1);
    assert_eq!(code_of(&world.allocate(&mut client, show(&token))), 0);
    assert_eq!(world.permit(&mut client, &["192.0.2.1:1"]), 0, "without the token: the key is known");
    assert_eq!(world.refresh(&mut client, None), Ok(600));
    assert_eq!(world.ledger.user_allocations(REALM, b""), 1, "whose it is only the authorization server knows");
    // The first 16 bytes of the key, as coturn's tools use it.
    let mut short = holder(2);
    short.mac_key = Some(MAC_KEY[..16].to_vec());
    assert_eq!(code_of(&world.allocate(&mut short, show(&token))), 0);
    assert_eq!(world.refresh(&mut short, None), Ok(600));
}

#[test]
fn other_users_have_their_passwords_still() {
    let mut world = World::new(authorizing());
    assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.1:1"), |_| ())), 0);
    let without_token = holder(1);
    assert_eq!(code_of(&world.allocate(&mut without_token.clone(), |_| ())), 401);
}

#[test]
fn what_is_not_made_for_us_or_not_now_is_refused() {
    let mut world = World::new(authorizing());
    let now = world.now.unix;
    let seconds = Duration::from_secs;
    let other_key = OauthKey { ikm: vec![2; 33], ..shared() };
    let good = token(&world, 60);
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let refused = [
        token_of(&other_key, &MAC_KEY, now, 60, SERVER_NAME),
        token_of(&shared(), &MAC_KEY, now, 60, "another.example.org"),
        token_of(&shared(), &MAC_KEY, now - seconds(66), 60, SERVER_NAME),
        token_of(&shared(), &MAC_KEY, now + seconds(6), 60, SERVER_NAME),
        token_of(&shared(), &[1; 20], now, 60, SERVER_NAME),
        flipped,
        Vec::new(),
        vec![0xFF; 1000],
    ];
    for (n, token) in refused.into_iter().enumerate() {
        assert_eq!(code_of(&world.allocate(&mut holder(10), show(&token))), 401, "number {n}");
    }
    let mut unknown_kid = holder(11);
    unknown_kid.username = "south".to_owned();
    assert_eq!(code_of(&world.allocate(&mut unknown_kid, show(&good))), 401);
    assert_eq!(code_of(&world.allocate(&mut holder(12), show(&good))), 0);
    assert_eq!(
        code_of(&world.allocate(&mut holder(13), show(&token_of(&shared(), &MAC_KEY, now + seconds(4), 60, SERVER_NAME)))),
        0,
        "clocks differ"
    );
}

#[test]
fn keys_run_out_too() {
    let begins = Duration::from_secs(1_800_000_000);
    let mut world =
        World::new(Config { oauth_keys: vec![OauthKey { begins, lifetime: Duration::from_secs(100), ..shared() }], ..authorizing() });
    let good = token(&world, 3600);
    assert_eq!(code_of(&world.allocate(&mut holder(1), show(&good))), 0);
    world.sleep(Duration::from_secs(106));
    assert_eq!(code_of(&world.allocate(&mut holder(2), show(&good))), 401);
}

#[test]
fn an_allocation_does_not_outlive_its_token() {
    let mut world = World::new(authorizing());
    let first = token(&world, 300);
    let mut client = holder(1);
    let answer = world.allocate(&mut client, show(&first));
    assert_eq!(Message::parse(&answer).unwrap().lifetime(), Ok(Some(305)), "what is left of the token, and the clocks' difference");
    world.sleep(Duration::from_secs(200));
    assert_eq!(world.refresh(&mut client, Some(600)), Ok(105));
    // A new token, with a key of its own, prolongs it.
    let key = [7; 20];
    let second = token_of(&shared(), &key, world.now.unix, 1000, SERVER_NAME);
    let mut renewed = Client { mac_key: Some(key.to_vec()), ..client.clone() };
    let answer = world.request(&mut renewed, Method::REFRESH, |writer| {
        writer.u32(Type::LIFETIME, 600).attribute(Type::ACCESS_TOKEN, &second);
    });
    assert_eq!((code_of(&answer), Message::parse(&answer).unwrap().lifetime()), (0, Ok(Some(600))));
    assert_eq!(world.refresh(&mut renewed, Some(3600)), Ok(1005));
    assert_eq!(world.refresh(&mut client, Some(0)), Err(401), "the first key is no longer the allocation's");
    world.sleep(Duration::from_secs(1006));
    assert_eq!(world.server.stats().allocations, 0);
    assert_eq!(world.ledger.allocations(REALM), 0);
}

#[test]
fn a_key_may_belong_to_a_realm() {
    let realm = Realm { name: "crinna.org".to_owned(), user_quota: Some(1), ..Realm::default() };
    let oauth_keys = vec![OauthKey { realm: Some("crinna.org".to_owned()), ..shared() }];
    let mut world = World::new(Config { realms: vec![realm], oauth_keys, ..authorizing() });
    let token = token(&world, 3600);
    let mut client = holder(1);
    assert_eq!(code_of(&world.allocate(&mut client, show(&token))), 0);
    assert_eq!((world.ledger.allocations("crinna.org"), world.ledger.allocations(REALM)), (1, 0));
    assert_eq!(world.refresh(&mut client, None), Ok(600));
    assert_eq!(code_of(&world.allocate(&mut holder(2), show(&token))), 486);
}
