//! Replays the committed seeds of a fuzz target, so that every test run goes over them.

/// Runs `body` over every file in `fuzz/corpus/TARGET`.
///
/// # Panics
/// When there is no seed: a target without one is not looked after.
// The only reader of files here, and only under test.
#[allow(clippy::disallowed_methods)]
pub fn replay(target: &str, body: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let seeds = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| std::fs::read(entry.path()).unwrap_or_default());
    assert_ne!(seeds.map(|seed| body(&seed)).count(), 0, "no seed in {}", folder.display());
}
