use super::*;
use crate::config::Secret;
use crate::control::turn_api::is_operator;

fn config() -> Config {
    let mut config = Config::default();
    config.keys.insert("first".to_owned(), Secret::new("a secret of at least thirty-two characters"));
    config
}

fn keys(config: &Config) -> Keys {
    config.keys.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect()
}

#[test]
fn its_token_is_an_operators_and_soon_over() {
    let config = config();
    let token = token(&config, None, 1_000_000).unwrap();
    let claims = keys(&config).verify(&token, 1_000_010).unwrap();
    assert!(is_operator(&claims) && !claims.video.may_join(""), "{claims:?}");
    assert!(keys(&config).verify(&token, 1_000_100).is_err());
}

#[test]
fn without_a_key_it_says_what_is_missing() {
    let failure = token(&Config::default(), None, 1).unwrap_err();
    assert!(failure.to_string().contains("[keys]"), "{failure}");
    assert!(token(&config(), Some("second"), 1).unwrap_err().to_string().contains("there are: first"));
}

#[test]
fn what_clients_choose_cannot_move_the_cursor_of_a_terminal() {
    assert_eq!(shown("al\u{1b}[2Jice\n"), "al\u{fffd}[2Jice\u{fffd}");
    assert_eq!(escaped("0-1-2"), "0-1-2");
    assert_eq!(escaped("../x?y"), "%2E%2E%2Fx%3Fy");
}
