//! What the operating system tells the process.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::tls::Certificate;

/// Signals are caught from when this is made.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// SIGTERM or SIGINT.
    End,
    Hangup,
    User1,
    User2,
}

impl Signals {
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    pub async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Hangup,
            _ = self.user1.recv() => Told::User1,
            _ = self.user2.recv() => Told::User2,
        }
    }

    /// Reads the certificate again on each SIGHUP and SIGUSR2; returns on SIGTERM or SIGINT.
    pub async fn until_end(&mut self, certificate: Option<&Arc<Certificate>>) {
        loop {
            match self.next().await {
                Told::End => return,
                Told::Hangup | Told::User2 => reload(certificate),
                Told::User1 => {}
            }
        }
    }
}

pub fn reload(certificate: Option<&Arc<Certificate>>) {
    match certificate.map(|certificate| certificate.reload()) {
        Some(Ok(true)) => tracing::info!("certificate read again"),
        Some(Ok(false)) | None => tracing::info!("no certificate file to read again"),
        Some(Err(error)) => tracing::error!(%error, "the certificate was not changed; the old one stays in force"),
    }
}
