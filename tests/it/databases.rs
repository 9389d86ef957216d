//! Real database servers, each with a folder and a port of its own, ended when dropped. `tests/run` installs them.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub const PASSWORD: &str = "sesame";
/// coturn's own tables.
const SCHEMA: &str = "/usr/share/coturn/schema.sql";
const START_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
    MariaDb,
    Redis,
}

/// A database that has coturn's tables and nothing in them.
pub struct Server {
    kind: Kind,
    pub port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Server {
    pub fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { kind, port: free_port(), folder, child: None };
        match kind {
            Kind::Sqlite => {}
            Kind::Postgres => server.make_postgres(),
            Kind::MariaDb => server.make_mariadb(),
            Kind::Redis => server.restart(),
        }
        server
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The option of coturn's programs, and its value.
    pub fn option(&self) -> (&'static str, String) {
        let port = self.port;
        match self.kind {
            Kind::Sqlite => ("-b", self.path().join("turndb").display().to_string()),
            Kind::Postgres => ("-e", format!("host=127.0.0.1 port={port} dbname=postgres user=turn password={PASSWORD} connect_timeout=5")),
            Kind::MariaDb => {
                ("-M", format!("host=127.0.0.1 port={port} dbname=turn user=turn password={PASSWORD} connect_timeout=5 read_timeout=5"))
            }
            Kind::Redis => ("-N", format!("ip=127.0.0.1 port={port} dbname=2 password={PASSWORD} connect_timeout=5")),
        }
    }

    /// As `pointsman.toml` has it.
    pub fn address(&self) -> String {
        let scheme = match self.kind {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgresql",
            Kind::MariaDb => "mysql",
            Kind::Redis => "redis",
        };
        format!("{scheme}:{}", self.option().1)
    }

    /// No warning, as when the power fails.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // PostgreSQL's other processes leave by themselves a moment later, and its shared memory with them.
        let until = Instant::now() + START_MAX;
        while self.kind == Kind::Postgres && TcpStream::connect(("127.0.0.1", self.port)).is_ok() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the server on what it holds.
    pub fn restart(&mut self) {
        let (port, data) = (self.port.to_string(), self.path().join("data"));
        let mut command = match self.kind {
            Kind::Sqlite => return,
            Kind::Postgres => {
                let mut command = as_postgres(&postgres_program("postgres"));
                command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port, "-F", "-k"]).arg(self.path());
                command
            }
            Kind::MariaDb => {
                let mut command = Command::new("mariadbd");
                command.args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=8M"]);
                command.arg(format!("--datadir={}", data.display())).arg(format!("--port={port}"));
                command.arg(format!("--socket={}", self.path().join("socket").display()));
                command
            }
            Kind::Redis => {
                let mut command = Command::new("redis-server");
                command.args(["--bind", "127.0.0.1", "--port", &port, "--requirepass", PASSWORD, "--save", "", "--dir"]).arg(self.path());
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(self.path().join("log")).unwrap());
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it")));
        let until = Instant::now() + START_MAX;
        while !self.answers() {
            assert!(Instant::now() < until, "{:?} does not start: {}", self.kind, fs::read_to_string(self.path().join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn answers(&self) -> bool {
        let asked = match self.kind {
            Kind::Sqlite => return true,
            Kind::Postgres => self.psql().args(["-c", "select 1"]).output(),
            Kind::MariaDb => self.mariadb().args(["-e", "select 1"]).output(),
            Kind::Redis => return TcpStream::connect(("127.0.0.1", self.port)).is_ok(),
        };
        asked.is_ok_and(|output| output.status.success())
    }

    fn make_postgres(&mut self) {
        let data = self.path().join("data");
        let password = self.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        if let Some((user, group)) = postgres_ids() {
            chown(self.path(), Some(user), Some(group)).unwrap();
            chown(&password, Some(user), Some(group)).unwrap();
        }
        let mut make = as_postgres(&postgres_program("initdb"));
        make.args([
            "--auth=scram-sha-256",
            "--username=turn",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
            "--pgdata",
        ]);
        run(make.arg(&data).arg("--pwfile").arg(&password));
        self.restart();
        run(self.psql().args(["-v", "ON_ERROR_STOP=1", "-f", SCHEMA]));
    }

    fn make_mariadb(&mut self) {
        let mut make = Command::new("mariadb-install-db");
        make.args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        // Not in /tmp: others that make theirs at the same time use the same names there.
        make.arg(format!("--tmpdir={}", self.path().display()));
        run(make.arg(format!("--datadir={}", self.path().join("data").display())));
        self.restart();
        let user = format!("create database turn; grant all on turn.* to turn@'127.0.0.1' identified by '{PASSWORD}'");
        run(self.mariadb().args(["-e", &user]));
        run(self.mariadb().args(["turn", "-e", &fs::read_to_string(SCHEMA).unwrap()]));
    }

    fn psql(&self) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-h", "127.0.0.1", "-U", "turn", "-p", &self.port.to_string(), "postgres"]).env("PGPASSWORD", PASSWORD);
        command
    }

    fn mariadb(&self) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--user=root"]).arg(format!("--socket={}", self.path().join("socket").display()));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it"));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {told}");
    output
}

/// Debian keeps them beside other versions'.
fn postgres_program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| name.into())
}

/// PostgreSQL refuses to run as root: then it runs as the user of its package.
fn postgres_ids() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> Option<u32> {
        String::from_utf8(Command::new("id").args(arguments).output().ok()?.stdout).ok()?.trim().parse().ok()
    };
    (id(&["-u"])? == 0).then(|| Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?)))?
}

fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some((user, group)) = postgres_ids() {
        command.uid(user).gid(group);
    }
    command
}
