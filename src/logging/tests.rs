use std::fs;
use std::path::Path;
use std::time::Duration;

use tracing::Level;

use super::calendar::Moment;
use super::file::dated;
use super::{Facility, LogFile, Naming, Syslog};

fn written(unix_s: u64, form: &str) -> String {
    let mut text = String::new();
    Moment::at(Duration::from_secs(unix_s)).write(&mut text, form).unwrap();
    text
}

#[test]
fn calendar_agrees_with_known_days() {
    // From `date -u -d @N '+%F %T %a %j'`.
    for (unix_s, wanted) in [
        (0, "1970-01-01 00:00:00 Thu 001"),
        (951_782_400, "2000-02-29 00:00:00 Tue 060"),
        (951_868_799, "2000-02-29 23:59:59 Tue 060"),
        (951_868_800, "2000-03-01 00:00:00 Wed 061"),
        (1_735_689_599, "2024-12-31 23:59:59 Tue 366"),
        (1_795_381_384, "2026-11-22 21:03:04 Sun 326"),
        (4_107_542_400, "2100-03-01 00:00:00 Mon 060"),
    ] {
        assert_eq!(written(unix_s, "%F %T %a %j"), wanted);
    }
}

#[test]
fn forms_are_those_of_strftime() {
    let at = 1_795_381_384;
    assert_eq!(written(at, "%FT%T%z"), "2026-11-22T21:03:04+0000");
    assert_eq!(written(at, "%A %e. %B %y, %I:%M %p 100%%"), "Sunday 22. November 26, 09:03 PM 100%");
    assert_eq!(written(at, "%c|%D|%R|%s"), "Sun Nov 22 21:03:04 2026|11/22/26|21:03|1795381384");
    // Unknown and unfinished parts stay.
    assert_eq!(written(at, "%Q %"), "%Q %");
    assert_eq!(written(0, &"%F".repeat(10_000)).len(), 1_280);
}

#[test]
fn dated_name_has_the_date_before_the_extension() {
    for (name, wanted) in [
        ("/var/log/turn.log", "/var/log/turn_2026-11-22.log"),
        ("turn", "turn_2026-11-22"),
        ("/var/log/turn.d/server", "/var/log/turn.d/server_2026-11-22"),
        ("a.b.log", "a.b_2026-11-22.log"),
    ] {
        assert_eq!(dated(Path::new(name), "2026-11-22"), Path::new(wanted));
    }
}

#[test]
fn file_is_written_anew_after_it_was_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turn.log");
    let log = LogFile::open(&path, Naming::Plain).unwrap();
    log.write(b"one\n").unwrap();
    let moved = folder.path().join("turn.log.1");
    fs::rename(&path, &moved).unwrap();
    log.write(b"two\n").unwrap();
    log.reopen().unwrap();
    log.write(b"three\n").unwrap();
    assert_eq!(fs::read_to_string(moved).unwrap(), "one\ntwo\n");
    assert_eq!(fs::read_to_string(path).unwrap(), "three\n");
}

#[test]
fn dated_file_appears_under_todays_name() {
    let folder = tempfile::tempdir().unwrap();
    let log = LogFile::open(&folder.path().join("turn.log"), Naming::Dated).unwrap();
    log.write(b"line\n").unwrap();
    let names: Vec<String> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(matches!(&names[..], [name] if name.starts_with("turn_2") && name.ends_with(".log")), "{names:?}");
}

#[test]
fn syslog_has_priority_and_tag() {
    let syslog = Syslog::new(Facility::named("LOG_LOCAL7").unwrap(), "turnserver").unwrap();
    let message = String::from_utf8(syslog.message(Level::WARN, b"something\n")).unwrap();
    assert!(message.starts_with("<188>"), "{message}");
    assert!(message.ends_with(&format!(" turnserver[{}]: something", std::process::id())), "{message}");
    assert_eq!(Facility::named("daemon"), Facility::named("LOG_DAEMON"));
    assert_eq!(Facility::named("LOG_"), None);
    assert_eq!(Facility::named("LOG_NOTHING"), None);
}
