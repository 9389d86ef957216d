//! `pointsman check`: of `pointsman.toml`, and of coturn's `turnserver.conf`.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::config::{Config, Loaded};
use crate::control::tls;
use crate::coturn::{self, CommandLine, File, Host, Notice, Weight};
use crate::failure::Failure;
use crate::oidc;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration to check; a turnserver.conf is recognised by its name or by what it holds
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Take unknown and obsolete lines of a turnserver.conf for errors
    #[arg(long)]
    strict: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = match coturn_file(&arguments.config) {
        Some(file) => read_coturn(&file, arguments.strict)?,
        None => super::load(Some(&arguments.config), Config::default(), false)?,
    };
    tls::check_files(&loaded.config.tls).map_err(|error| Failure::Operator(error.to_string()))?;
    oidc::check_files(&loaded.config.oidc)?;
    let text = loaded.to_toml();
    // A reader that closes the pipe early (`| head`) is no failure of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// The file, if it is coturn's. One that cannot be read is left to those who say why.
pub(super) fn coturn_file(path: &Path) -> Option<File> {
    let text = String::from_utf8_lossy(&fs::read(path).ok()?).into_owned();
    let named = path.extension().is_some_and(|extension| extension == "conf");
    let toml = path.extension().is_some_and(|extension| extension == "toml");
    (named || !toml && coturn::looks_like(&text)).then(|| File { name: path.display().to_string().into(), text })
}

/// Tells everything there is to say on standard error; what is in force comes in the words of `pointsman.toml`.
fn read_coturn(file: &File, strict: bool) -> Result<Loaded, Failure> {
    let none = CommandLine::read(&[]).map_err(|misuse| Failure::Other(misuse.to_string()))?;
    let mut collector = coturn::collect(Some(file), &none);
    collector.judge();
    let plan = collector.plan(&Host::this());
    let wrong = |notice: &&Notice| notice.weight == Weight::Error || strict && notice.weight == Weight::PassedOver;
    let errors: Vec<String> = collector.notices.iter().filter(wrong).map(ToString::to_string).collect();
    collector.notices.iter().filter(|notice| !wrong(notice)).for_each(|notice| eprintln!("{notice}"));
    if !errors.is_empty() {
        return Err(Failure::Operator(errors.join("\n")));
    }
    let config = plan.config;
    // Only to show it: what a turnserver.conf may say can lie outside of what pointsman.toml may.
    let shown = Config::parse(&file.name, "", config.clone(), &HashMap::new());
    let entries = shown.map(|loaded| loaded.entries).map_err(|problems| Failure::Operator(problems.to_string()))?;
    Ok(Loaded { config, entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_known_by_name_or_by_content() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, is_coturns) in [
            ("turnserver.conf", "", true),
            ("relay.txt", "listening-port=3478\nuse-auth-secret\nrealm=example.org\n", true),
            ("relay.txt", "public_ip = \"auto\"\n[turn]\nrealm = \"example.org\"\n", false),
            ("pointsman.toml", "realm = \"x\"\n", false),
        ] {
            let file = folder.path().join(name);
            fs::write(&file, text).unwrap();
            assert_eq!(coturn_file(&file).is_some(), is_coturns, "{name}: {text}");
        }
        assert!(coturn_file(&folder.path().join("missing.conf")).is_none());
    }
}
