//! The system's log, over its local socket, in the form of RFC 3164 that every syslog daemon and journald take.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::Level;

use super::calendar::Moment;
use super::unix_now;

const SOCKET: &str = "/dev/log";

/// Which part of a system a message is from (RFC 3164 section 4.1.1), as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// What programs have that do not ask for another.
    pub const USER: Self = Self(1);

    /// By the name that C gives it, with or without `LOG_` before, in either case.
    pub fn named(name: &str) -> Option<Self> {
        const NAMES: [&str; 24] = [
            "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP", "", "", "", "", "LOCAL0",
            "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
        ];
        let name = name.trim().to_ascii_uppercase();
        let name = name.strip_prefix("LOG_").unwrap_or(&name);
        let at = NAMES.iter().position(|known| *known == name && !name.is_empty())?;
        u8::try_from(at).ok().map(Self)
    }
}

#[derive(Debug)]
pub struct Syslog {
    /// Unconnected: the daemon may start later than we, and start again.
    socket: UnixDatagram,
    facility: Facility,
    tag: String,
}

impl Syslog {
    /// # Errors
    /// When the system gives no socket.
    pub fn new(facility: Facility, tag: &str) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A daemon that does not read must not stop us.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, facility, tag: tag.to_owned() })
    }

    /// Lines that the daemon does not take are lost.
    pub fn write(&self, level: Level, line: &[u8]) {
        let _ = self.socket.send_to(&self.message(level, line), Path::new(SOCKET));
    }

    pub(super) fn message(&self, level: Level, line: &[u8]) -> Vec<u8> {
        let severity = match level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        let priority = u32::from(self.facility.0) * 8 + severity;
        let head = format!("<{priority}>{} {}[{}]: ", Moment::at(unix_now()).syslog(), self.tag, std::process::id());
        let mut message = head.into_bytes();
        message.extend_from_slice(line.trim_ascii());
        message
    }
}
