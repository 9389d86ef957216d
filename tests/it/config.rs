//! The built binary's answers to configurations, good and bad.

use std::path::Path;
use std::process::{Command, Output};

use pointsman_signal::token::Keys;

const SECRET: &str = "a secret of more than thirty-two characters";

fn pointsman(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POINTSMAN_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().expect("the binary starts")
}

fn write(folder: &Path, text: &str) -> String {
    let file = folder.join("pointsman.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn check_names_file_line_key_and_nearest_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "[engine]\nshrads = 2\n");
    let output = pointsman(&["check", "--config", &file]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), format!("{file}:2: unknown key `shrads` in [engine]; did you mean `shards`?\n"));
}

#[test]
fn check_prints_the_effective_configuration_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &format!("[engine]\nshards = 3\n[keys]\nk = \"{SECRET}\"\n"));
    let output = pointsman(&["check", "--config", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("\nshards = 3\n") && shown.contains("\nk = \"(hidden)\"\n"), "{shown}");
    assert!(!shown.contains(SECRET));
}

#[test]
fn check_reads_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "[tls]\ncertificate = \"none.pem\"\nkey = \"none.pem\"\n");
    let output = pointsman(&["check", "--config", &file]);
    assert_eq!(output.status.code(), Some(2));
    // Relative to the file, not to where the command was started.
    let certificate = folder.path().join("none.pem");
    assert!(text(&output.stderr).starts_with(&format!("{}: cannot be read", certificate.display())), "{}", text(&output.stderr));
}

#[test]
fn missing_file_and_wrong_usage_exit_2() {
    let output = pointsman(&["check", "--config", "/nowhere/pointsman.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("/nowhere/pointsman.toml: cannot be read"));
    assert_eq!(pointsman(&["chekc"]).status.code(), Some(2));
}

#[test]
fn minted_token_verifies_and_is_the_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &format!("[keys]\nfirst = \"{SECRET}\"\nsecond = \"{SECRET} too\"\n"));
    let mint = |more: &[&str]| {
        let mut arguments = vec!["token", "--config", &file, "--room", "kitchen", "--identity", "ada"];
        arguments.extend(more);
        let output = pointsman(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).lines().last().unwrap().to_owned()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let keys: Keys = [("first", SECRET.to_owned()), ("second", format!("{SECRET} too"))].into_iter().collect();

    let claims = keys.verify(&mint(&[]), now).unwrap();
    assert_eq!((claims.iss.as_str(), claims.sub.as_str(), claims.video.room.as_str()), ("first", "ada", "kitchen"));
    assert!(claims.video.may_join("kitchen") && claims.video.may_publish() && claims.video.may_subscribe());
    assert!(!claims.video.room_admin);

    let token = mint(&["--key", "second", "--name", "Ada L.", "--ttl", "60", "--no-publish", "--no-subscribe", "--admin"]);
    let claims = keys.verify(&token, now).unwrap();
    assert_eq!((claims.iss.as_str(), claims.name.as_str()), ("second", "Ada L."));
    assert!(claims.video.room_admin && !claims.video.may_publish() && !claims.video.may_subscribe());
    assert!((now + 55..=now + 65).contains(&claims.exp));
    assert!(keys.verify(&token, now + 3600).is_err(), "an expired token was taken");
}

#[test]
fn token_without_a_key_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), &format!("[keys]\nk = \"{SECRET}\"\n"));
    let output = pointsman(&["token", "--config", &file, "--room", "r", "--identity", "i", "--key", "other"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "no API key `other` in [keys]; there are: k\n");
    let file = write(folder.path(), "");
    let output = pointsman(&["token", "--config", &file, "--room", "r", "--identity", "i"]);
    assert_eq!(output.status.code(), Some(2));
}
