//! Where coturn looks for files that are named without a folder that exists.

use std::path::{Path, PathBuf};

/// Tried in this order. A leading `/` of the name is no hindrance to coturn: the name is tried as it is first.
const FOLDERS: [&str; 15] = [
    "./",
    "./turnserver/",
    "./coturn/",
    "./etc/",
    "./etc/turnserver/",
    "./etc/coturn/",
    "../etc/",
    "../etc/turnserver/",
    "../etc/coturn/",
    "/etc/",
    "/etc/turnserver/",
    "/etc/coturn/",
    "/usr/local/etc/",
    "/usr/local/etc/turnserver/",
    "/usr/local/etc/coturn/",
];

/// The configuration file when none is named.
pub const DEFAULT_FILE: &str = "turnserver.conf";

/// Where coturn's packages keep the SQLite database when none is named.
pub const DEFAULT_DATABASES: [&str; 3] = ["/var/lib/turn/turndb", "/usr/local/var/db/turndb", "/var/db/turndb"];

/// The first file of that name, absolute names as they are.
pub fn find(name: &str) -> Option<PathBuf> {
    find_in(name, Path::new(""), Path::is_file)
}

/// The same from another working directory, and with another way to see whether there is a file.
pub(super) fn find_in(name: &str, working: &Path, exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    if name.is_empty() {
        return None;
    }
    let plain = Path::new(name);
    if plain.is_absolute() {
        return exists(plain).then(|| plain.to_owned());
    }
    FOLDERS.iter().map(|folder| working.join(folder).join(plain)).find(|file| exists(file))
}
