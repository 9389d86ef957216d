//! `pointsman turnadmin`: coturn's administration of users, on the same databases.

use std::fs;
use std::io::Write;
use std::path::Path;

use aws_lc_rs::{digest, rand};

use crate::config::Secret;
use crate::coturn::value::{Number, number};
use crate::failure::Failure;
use crate::users::{AdminUser, Database, RealmOptionKind, SQLITE_PATH_DEFAULT, Store, UserKey, sealed};

const USAGE: &str = "Usage: turnadmin COMMAND [options]

Commands:
  -a, --add                            add a user, or change the password       -u -r -p
  -d, --delete                         delete a user                            -u -r
  -l, --list                           list users                               [-r]
  -k, --key                            print a user's key                       -u -r -p
  -A, --add-admin                      add an administrator                     -u -p [-r]
  -D, --delete-admin                   delete an administrator                  -u
  -L, --list-admin                     list administrators                      [-r]
  -s, --set-secret SECRET              add a shared secret                      -r
  -S, --show-secret                    list shared secrets                      [-r]
  -X, --delete-secret SECRET           delete a shared secret                   -r
      --delete-all-secrets             delete all shared secrets of a realm     -r
  -O, --add-origin                     give a web origin a realm                -o -r
  -R, --del-origin                     forget a web origin                      -o
  -I, --list-origins                   list web origins                         [-r]
  -g, --set-realm-option               set limits of a realm, 0 removes one     -r [--max-bps N] [--total-quota N] [--user-quota N]
  -G, --list-realm-options             list limits of realms                    [-r]
  -P, --generate-encrypted-password    print an administrator's password as it is stored    -p
  -E, --generate-encrypted-password-aes  print a MySQL password as secret-key-file has it   -f -p
  -v, --verify TEXT                    the reverse                              -f
  -x, --key-path FILE                  make a key for that

Options:
  -b, --userdb, --db FILE              SQLite; /var/lib/turn/turndb
  -e, --psql-userdb, --sql-userdb TEXT PostgreSQL
  -M, --mysql-userdb TEXT              MySQL or MariaDB
  -N, --redis-userdb TEXT              Redis
  -u, --user NAME   -r, --realm REALM   -p, --password PASSWORD   -o, --origin ORIGIN   -f, --file-key-path FILE   -h, --help
";

/// Length of a salt, in bytes.
const SALT_LEN: usize = 8;

/// Long name, letter, and whether a value follows.
const OPTIONS: [(&str, char, bool); 34] = [
    ("add", 'a', false),
    ("delete", 'd', false),
    ("list", 'l', false),
    ("key", 'k', false),
    ("add-admin", 'A', false),
    ("delete-admin", 'D', false),
    ("list-admin", 'L', false),
    ("set-secret", 's', true),
    ("show-secret", 'S', false),
    ("delete-secret", 'X', true),
    ("delete-all-secrets", '0', false),
    ("add-origin", 'O', false),
    ("del-origin", 'R', false),
    ("list-origins", 'I', false),
    ("set-realm-option", 'g', false),
    ("list-realm-options", 'G', false),
    ("list-realm-option", 'G', false),
    ("generate-encrypted-password", 'P', false),
    ("generate-encrypted-password-aes", 'E', false),
    ("verify", 'v', true),
    ("key-path", 'x', true),
    ("userdb", 'b', true),
    ("db", 'b', true),
    ("psql-userdb", 'e', true),
    ("sql-userdb", 'e', true),
    ("mysql-userdb", 'M', true),
    ("mongo-userdb", 'J', true),
    ("redis-userdb", 'N', true),
    ("user", 'u', true),
    ("realm", 'r', true),
    ("password", 'p', true),
    ("origin", 'o', true),
    ("file-key-path", 'f', true),
    ("help", 'h', false),
];
/// Limits, whose letters nobody can type.
const LIMITS: [(&str, char, RealmOptionKind); 3] = [
    ("max-bps", '1', RealmOptionKind::MaxBps),
    ("total-quota", '2', RealmOptionKind::TotalQuota),
    ("user-quota", '3', RealmOptionKind::UserQuota),
];

/// What a command line asks for.
#[derive(Debug, Default)]
struct Wish {
    command: Option<char>,
    /// The command's own.
    value: String,
    database: Option<(char, String)>,
    user: String,
    realm: String,
    password: Option<Secret>,
    origin: String,
    key_file: Option<String>,
    limits: Vec<(RealmOptionKind, u64)>,
}

/// Runs a command with coturn's arguments, the program's name left out.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let wish = Wish::read(arguments)?;
    let text = match wish.command {
        Some('h') => USAGE.to_owned(),
        Some('k') => format!("0x{}\n", UserKey::derive(wish.user()?, &wish.realm, wish.password()?.expose()).to_hex()),
        Some('P') => format!("{}\n", stored_password(wish.password()?)?),
        Some('E') => format!("{}\n", sealed::seal(&wish.key()?, wish.password()?).map_err(unsealed)?),
        Some('v') => format!("{}\n", sealed::open(&wish.key()?, &wish.value).map_err(unsealed)?.expose()),
        Some('x') => {
            fs::write(&wish.value, new_key()?).map_err(|error| Failure::Other(format!("{}: {error}", wish.value)))?;
            String::new()
        }
        Some(command) => on_database(command, &wish)?,
        None => return Err(Failure::Other(USAGE.to_owned())),
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn on_database(command: char, wish: &Wish) -> Result<String, Failure> {
    let database = wish.database()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start: {error}")))?;
    let told = |error: crate::users::Error| Failure::Other(error.to_string());
    runtime.block_on(async {
        let store = Store::open(&database).await.map_err(told)?;
        change_or_list(command, wish, &store).await
    })
}

/// What the command prints.
async fn change_or_list(command: char, wish: &Wish, store: &Store) -> Result<String, Failure> {
    let told = |error: crate::users::Error| Failure::Other(error.to_string());
    let realm = Some(wish.realm.as_str()).filter(|realm| !realm.is_empty());
    let mut out = String::new();
    match command {
        'a' => {
            let key = UserKey::derive(wish.user()?, &wish.realm, wish.password()?.expose());
            store.set_user(&wish.realm, wish.user()?, key).await.map_err(told)?;
        }
        'd' => store.delete_user(&wish.realm, wish.user()?).await.map_err(told)?,
        'l' => store.users(realm).await.map_err(told)?.iter().for_each(|user| line(&mut out, &user.name, &user.realm)),
        'A' => {
            let password = Secret::new(stored_password(wish.password()?)?);
            let admin = AdminUser { name: wish.user()?.to_owned(), realm: wish.realm.clone(), password };
            store.set_admin_user(&admin).await.map_err(told)?;
        }
        'D' => store.delete_admin_user(wish.user()?).await.map_err(told)?,
        'L' => {
            let all = store.admin_users().await.map_err(told)?;
            all.iter()
                .filter(|admin| realm.is_none_or(|realm| admin.realm == realm))
                .for_each(|admin| line(&mut out, &admin.name, &admin.realm));
        }
        's' => store.add_secret(wish.realm()?, &Secret::new(wish.value.as_str())).await.map_err(told)?,
        'S' => store.secrets(realm).await.map_err(told)?.iter().for_each(|secret| line(&mut out, secret.secret.expose(), &secret.realm)),
        'X' => store.delete_secret(wish.realm()?, Some(&Secret::new(wish.value.as_str()))).await.map_err(told)?,
        '0' => store.delete_secret(wish.realm()?, None).await.map_err(told)?,
        'O' => store.add_origin(wish.origin()?, wish.realm()?).await.map_err(told)?,
        'R' => store.delete_origin(wish.origin()?).await.map_err(told)?,
        'I' => {
            let all = store.origins(realm).await.map_err(told)?;
            all.iter().for_each(|origin| out.push_str(&format!("{} ==>> {}\n", origin.origin, origin.realm)));
        }
        'g' => {
            if wish.limits.is_empty() {
                return Err(missing("a realm option"));
            }
            for (kind, value) in &wish.limits {
                store.set_realm_option(wish.realm()?, *kind, *value).await.map_err(told)?;
            }
        }
        'G' => {
            let all = store.realm_options(realm).await.map_err(told)?;
            all.iter().for_each(|option| out.push_str(&format!("{}[{}]={}\n", option.kind.name(), option.realm, option.value)));
        }
        _ => return Err(Failure::Other(USAGE.to_owned())),
    }
    Ok(out)
}

/// As coturn prints what belongs to a realm.
fn line(out: &mut String, name: &str, realm: &str) {
    match realm {
        "" => out.push_str(&format!("{name}\n")),
        realm => out.push_str(&format!("{name}[{realm}]\n")),
    }
}

fn missing(what: &str) -> Failure {
    Failure::Other(format!("The operation cannot be completed: {what} must be set."))
}

impl Wish {
    fn read(arguments: &[String]) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::Other(format!("turnadmin: {what}\n\n{USAGE}"));
        let mut wish = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let next = |rest: &mut std::slice::Iter<'_, String>, option: &str| {
                rest.next().cloned().ok_or_else(|| wrong(format!("{option} needs a value")))
            };
            if let Some(long) = argument.strip_prefix("--") {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_owned())));
                let (letter, takes) = find(name).ok_or_else(|| wrong(format!("there is no option --{name}")))?;
                let value = match (takes, value) {
                    (true, None) => next(&mut rest, argument)?,
                    (_, value) => value.unwrap_or_default(),
                };
                wish.take(letter, value);
                continue;
            }
            let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                return Err(wrong(format!("{argument} is no option")));
            };
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                let known = OPTIONS.iter().find(|option| option.1 == letter && !letter.is_ascii_digit());
                let (_, _, takes) = known.ok_or_else(|| wrong(format!("there is no option -{letter}")))?;
                let joined = letters.as_str();
                match (takes, joined) {
                    (false, _) => wish.take(letter, String::new()),
                    (true, "") => wish.take(letter, next(&mut rest, argument)?),
                    (true, joined) => {
                        wish.take(letter, joined.to_owned());
                        break;
                    }
                }
            }
        }
        Ok(wish)
    }

    fn take(&mut self, letter: char, value: String) {
        if let Some((_, _, kind)) = LIMITS.iter().find(|limit| limit.1 == letter) {
            let value = match number(&value) {
                Number::Whole(number) | Number::Beginning(number) => number,
                Number::None => 0,
            };
            self.limits.push((*kind, value));
            return;
        }
        match letter {
            'b' | 'e' | 'M' | 'J' | 'N' => self.database = Some((letter, value)),
            'u' => self.user = value,
            'r' => self.realm = value,
            'p' => self.password = Some(Secret::new(value)),
            'o' => self.origin = value,
            'f' => self.key_file = Some(value),
            command => {
                self.command = Some(command);
                self.value = value;
            }
        }
    }

    fn user(&self) -> Result<&str, Failure> {
        if self.user.is_empty() { Err(missing("the user")) } else { Ok(&self.user) }
    }

    fn realm(&self) -> Result<&str, Failure> {
        if self.realm.is_empty() { Err(missing("the realm")) } else { Ok(&self.realm) }
    }

    fn origin(&self) -> Result<&str, Failure> {
        if self.origin.is_empty() { Err(missing("the origin")) } else { Ok(&self.origin) }
    }

    fn password(&self) -> Result<&Secret, Failure> {
        self.password.as_ref().filter(|password| !password.expose().is_empty()).ok_or_else(|| missing("the password"))
    }

    fn key(&self) -> Result<[u8; sealed::KEY_LEN], Failure> {
        let file = self.key_file.as_deref().ok_or_else(|| missing("the key file"))?;
        sealed::read_key(Path::new(file)).map_err(unsealed)
    }

    fn database(&self) -> Result<Database, Failure> {
        let read = match &self.database {
            None => return Ok(Database::sqlite(SQLITE_PATH_DEFAULT)),
            Some(('b', path)) => return Ok(Database::sqlite(path)),
            Some(('e', text)) => Database::postgres(text),
            Some(('M', text)) => Database::mysql(text),
            Some(('N', text)) => Database::redis(text),
            Some(_) => Err(Database::mongo()),
        };
        read.map_err(|error| Failure::Other(error.to_string()))
    }
}

/// The letter of a long name, and whether it takes a value. Names may be cut short as long as they are clear.
fn find(name: &str) -> Option<(char, bool)> {
    let all = || {
        OPTIONS
            .iter()
            .map(|(long, letter, takes)| (*long, *letter, *takes))
            .chain(LIMITS.iter().map(|(long, letter, _)| (*long, *letter, true)))
    };
    if let Some((_, letter, takes)) = all().find(|option| option.0 == name) {
        return Some((letter, takes));
    }
    let mut matching: Vec<(char, bool)> = all().filter(|option| option.0.starts_with(name)).map(|option| (option.1, option.2)).collect();
    matching.dedup();
    match matching[..] {
        [only] if !name.is_empty() => Some(only),
        _ => None,
    }
}

/// As the table of administrators has it: `$5$`, the salt, and SHA-256 of salt and password.
fn stored_password(password: &Secret) -> Result<String, Failure> {
    let mut salt = [0; SALT_LEN];
    rand::fill(&mut salt).map_err(|_| Failure::Other("the system gives no random bytes".to_owned()))?;
    Ok(salted(&salt, password))
}

fn salted(salt: &[u8; SALT_LEN], password: &Secret) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(salt);
    hash.update(password.expose().as_bytes());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("$5${}${}", hex(salt), hex(hash.finish().as_ref()))
}

fn unsealed(error: sealed::SealError) -> Failure {
    Failure::Other(error.to_string())
}

/// Letters and digits, as coturn makes them: the file can be looked at.
fn new_key() -> Result<[u8; sealed::KEY_LEN], Failure> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AZ";
    let mut key = [0; sealed::KEY_LEN];
    rand::fill(&mut key).map_err(|_| Failure::Other("the system gives no random bytes".to_owned()))?;
    Ok(key.map(|byte| LETTERS[usize::from(byte % 64)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn letters_and_names_mean_the_same() {
        for line in [
            "-a -b /db -u alice -r north.gov -p pw",
            "--add --db=/db --user alice --realm=north.gov --password pw",
            "-ab /db -ualice -r north.gov -ppw",
        ] {
            let wish = Wish::read(&words(line)).unwrap();
            assert_eq!((wish.command, wish.user.as_str(), wish.realm.as_str()), (Some('a'), "alice", "north.gov"), "{line}");
            assert_eq!(wish.password().unwrap().expose(), "pw");
            assert!(matches!(wish.database().unwrap(), Database::Sqlite(path) if path.as_os_str() == "/db"));
        }
        let wish = Wish::read(&words("-g -r x --max-bps=500 --user-quota 3 --total=8x")).unwrap();
        assert_eq!(wish.limits, [(RealmOptionKind::MaxBps, 500), (RealmOptionKind::UserQuota, 3), (RealmOptionKind::TotalQuota, 8)]);
        for wrong in ["--bogus", "-Z", "-u", "stray", "--list=", "--li", "-1"] {
            assert!(Wish::read(&words(wrong)).is_err() || wrong == "--list=", "{wrong}");
        }
    }

    #[test]
    fn what_lacks_a_part_is_refused() {
        for (line, part) in [("-a -u x", "the password"), ("-a -p x", "the user"), ("-P", "the password"), ("-E -p x", "the key file")] {
            let told = run(&words(&format!("{line} -b /nonexistent/turndb"))).unwrap_err().to_string();
            assert!(
                told.contains(&format!("{part} must be set")) || told.contains("turndb") || told.contains("database"),
                "{line}: {told}"
            );
        }
        assert!(run(&[]).is_err());
        assert!(run(&words("-l -J mongodb://x")).unwrap_err().to_string().contains("MongoDB"));
    }

    #[test]
    fn passwords_are_stored_as_coturn_stores_them() {
        // Made by turnadmin 4.6.1.
        let salt = [0x4f, 0xf8, 0x93, 0xf9, 0x06, 0x94, 0xd2, 0x6e];
        let stored = "$5$4ff893f90694d26e$55abaef52c511b9aa7f1a6f7076828566e5a183d80e5882f5298db1339169013";
        assert_eq!(salted(&salt, &Secret::new("secret")), stored);
    }
}
