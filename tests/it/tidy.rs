//! Rules of the house that a reader of a change would otherwise have to remember.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `folder`, with its path from the root and its text.
fn rust_files(folder: &str) -> Vec<(String, String)> {
    let (mut folders, mut files) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((relative(&path), fs::read_to_string(&path).expect("a source file is text")));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} holds no Rust");
    files.sort();
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Lines of code: without comments, and up to the tests that stand at a file's end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or(line)))
}

/// Code that is compiled for tests and fuzzing only.
fn is_test(path: &str) -> bool {
    path.contains("/test") || ["tests.rs", "fuzz.rs", "corpus.rs"].iter().any(|name| path.ends_with(name))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Asserts that `folders` hold no line for which `wrong` gives a reason.
fn none(folders: &[&str], wrong: impl Fn(&str, &str) -> Option<String>) {
    let mut found = Vec::new();
    for (path, text) in folders.iter().flat_map(|folder| rust_files(folder)) {
        if is_test(&path) {
            continue;
        }
        for (number, line) in code(&text) {
            if let Some(reason) = wrong(&path, line) {
                found.push(format!("{path}:{number}: {reason}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    let allowed: [(&str, &[&str]); 4] = [("wire", &[]), ("signal", &[]), ("turn", &["wire"]), ("sfu", &["wire"])];
    for (folder, may) in allowed {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let ours: std::collections::BTreeSet<&str> =
            manifest.lines().filter_map(|line| line.split_once(['=', ' '])?.0.trim().strip_prefix("pointsman-")).collect();
        for dependency in &ours {
            assert!(may.contains(dependency), "{folder} must not depend on {dependency}");
        }
        assert_eq!(ours.len(), may.len(), "{folder} depends on {ours:?}");
    }
}

#[test]
fn unsafe_code_stands_in_one_file() {
    for folder in ["wire", "turn", "sfu", "signal"] {
        let text = fs::read_to_string(root().join(folder).join("src/lib.rs")).expect("lib.rs");
        assert!(text.contains("#![forbid(unsafe_code)]"), "{folder}/src/lib.rs");
    }
    none(&["src"], |path, line| {
        (path != "src/engine/sys.rs" && words(line).any(|word| word == "unsafe")).then(|| "unsafe outside sys.rs".into())
    });
}

#[test]
fn state_machines_are_told_the_time_and_do_no_io() {
    let banned =
        ["Instant::now", "SystemTime::now", "thread::", "std::fs", "UdpSocket", "TcpStream", "async fn", "tokio", "println!", "static mut"];
    none(&["wire/src", "turn/src", "sfu/src"], |_, line| {
        banned.into_iter().find(|word| line.contains(word)).map(|word| format!("`{word}`"))
    });
}

#[test]
fn prometheus_names_stand_in_one_place() {
    // The load tool reads another process's metrics.
    none(&["src", "signal/src", "sfu/src", "turn/src", "wire/src"], |path, line| {
        let metrics = path.starts_with("src/metrics") || path == "src/load/report.rs";
        let names = ["pointsman_engine", "pointsman_sfu", "pointsman_turn_", "turn_total", "turn_traffic", "stun_binding"];
        let named = names.into_iter().any(|name| line.contains(&format!("\"{name}")));
        (!metrics && named).then(|| "a metric's name".into())
    });
}

#[test]
fn names_are_the_fields_words() {
    const BANNED: [&str; 7] = ["session", "manager", "handler", "context", "util", "helper", "common"];
    none(&["src", "wire/src", "turn/src", "sfu/src", "signal/src"], |path, line| {
        let mut words = words(line);
        let declared = words.by_ref().find(|word| ["struct", "enum", "trait", "mod", "type", "fn"].contains(word))?;
        let name = words.next()?.to_lowercase();
        let stem = PathBuf::from(path).file_stem()?.to_string_lossy().to_lowercase();
        // SDP's and SRTP's own word (RFC 8866 section 5, RFC 3711 section 4.3).
        if path.starts_with("sfu/src/sdp/") || path.starts_with("sfu/src/srtp/") {
            return None;
        }
        let noun = BANNED.into_iter().find(|banned| {
            name.split('_').any(|part| part.trim_end_matches('s') == *banned)
                || (declared != "fn" && name.contains(banned))
                || stem == *banned
        })?;
        Some(format!("the word `{noun}`"))
    });
}

#[test]
fn every_parser_has_a_fuzz_target_and_seeds() {
    let folder = root().join("fuzz/fuzz_targets");
    let targets: Vec<String> = fs::read_dir(&folder)
        .expect("fuzz targets")
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    for parser in [
        "demux",
        "stun",
        "channel_data",
        "turn_server",
        "access_token",
        "rtp",
        "rtcp",
        "vp8",
        "vp9",
        "h264",
        "av1",
        "dependency_descriptor",
        "video_layers_allocation",
        "red",
        "sdp",
        "sdp_fragment",
        "client_hello",
        "dtls_records",
        "stream",
        "proxy",
        "turnserver_conf",
        "sctp",
        "dcep",
        "data_channel",
    ] {
        assert!(targets.iter().any(|target| target == parser), "no fuzz target `{parser}` in {targets:?}");
    }
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("fuzz/Cargo.toml");
    for target in &targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not in fuzz/Cargo.toml");
        let seeds = fs::read_dir(root().join("fuzz/corpus").join(target)).map_or(0, Iterator::count);
        assert!(seeds > 0, "fuzz/corpus/{target} has no seed");
    }
}

#[test]
fn files_stay_readable() {
    for (path, text) in
        ["src", "wire/src", "turn/src", "sfu/src", "signal/src", "tests", "benches"].iter().flat_map(|folder| rust_files(folder))
    {
        let lines = text.lines().count();
        assert!(lines <= 1000, "{path} has {lines} lines: which noun is hiding in it?");
    }
}

#[test]
fn relative_links_of_the_pages_lead_somewhere() {
    let pages = ["README.md", "deploy/README.md", "deploy/coturn.md", "signal/PROTOCOL.md", "CHANGELOG.md"];
    for page in pages {
        let text = fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next())
            .filter(|target| !target.is_empty() && !target.contains("://"))
        {
            let path = root().join(page).parent().expect("a page lies in a folder").join(target);
            assert!(path.exists(), "{page} links to {target}, which is not there");
        }
    }
}
