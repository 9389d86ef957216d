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
}

impl Signals {
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Reads the certificate again on each SIGHUP; returns on SIGTERM or SIGINT.
    pub async fn until_end(&mut self, certificate: Option<&Arc<Certificate>>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(certificate),
            }
        }
    }
}

fn reload(certificate: Option<&Arc<Certificate>>) {
    match certificate.map(|certificate| certificate.reload()) {
        Some(Ok(true)) => tracing::info!("certificate read again"),
        Some(Ok(false)) | None => tracing::info!("no certificate file to read again"),
        Some(Err(error)) => tracing::error!(%error, "the certificate was not changed; the old one stays in force"),
    }
}
