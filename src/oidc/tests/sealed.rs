use crate::oidc::seal::{Purpose, Seal, random_text, same};

#[test]
fn nothing_opens_but_what_was_sealed_for_it() {
    let seal = Seal::new(b"secret", "settings").unwrap();
    let text = seal.close(Purpose::Person, &"ann").unwrap();
    assert_eq!(seal.open::<String>(Purpose::Person, &text).as_deref(), Some("ann"));
    assert_eq!(seal.open::<String>(Purpose::Login, &text), None);
    for other in [Seal::new(b"secret", "other"), Seal::new(b"Secret", "settings")] {
        assert_eq!(other.unwrap().open::<String>(Purpose::Person, &text), None);
    }
    assert!(!text.contains("ann") && text != seal.close(Purpose::Person, &"ann").unwrap());
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'Q' } else { b'A' };
        if let Ok(changed) = String::from_utf8(changed) {
            assert_eq!(seal.open::<String>(Purpose::Person, &changed).filter(|_| changed != text), None, "{at}");
        }
        assert_eq!(seal.open::<String>(Purpose::Person, &text[..at]), None);
    }
    assert_eq!(seal.close(Purpose::Login, &"x".repeat(4_000)), None, "no browser keeps it");
}

#[test]
fn random_texts_differ_and_are_compared_whole() {
    let (one, two) = (random_text().unwrap(), random_text().unwrap());
    assert!(one.len() == 43 && !same(&one, &two) && same(&one, &one.clone()) && !same(&one, &one[..42]) && !same("", &one));
}
