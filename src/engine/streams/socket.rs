//! One TCP connection, perhaps with TLS: reads into a buffer that it is lent, writes what was gathered for it.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use rustls::ServerConnection;

use crate::engine::encryption::Encryption;

/// Capacity that an emptied output buffer keeps.
const CAPACITY_KEPT: usize = 64 << 10;
/// The longest TLS record with its header (RFC 8446 section 5.2): what may have been waiting for its end.
pub const RECORD_LEN_MAX: usize = 5 + (1 << 14) + 256;

/// What a look at a connection's input brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// So many bytes stand in the buffer.
    Bytes(usize),
    /// Nothing now: the next bytes announce themselves.
    Nothing,
    /// The other end sends no more.
    End,
}

pub struct Socket {
    tcp: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// What is to be written, from `written` on. With TLS: what has not been encrypted yet.
    out: Vec<u8>,
    written: usize,
    /// The kernel may hold input.
    readable: bool,
    /// The kernel may take output.
    writable: bool,
    /// The other end's last bytes are here: one more read sees the end, and nothing announces it again.
    hung_up: bool,
    /// The end of the input was seen.
    ended: bool,
    /// No output will follow what is gathered.
    finishing: bool,
    finished: bool,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("tls", &self.tls.is_some()).field("backlog", &self.backlog()).finish_non_exhaustive()
    }
}

impl Socket {
    /// Takes over a connection that does not block. What arrived before is looked for.
    pub fn new(tcp: TcpStream, mut tls: Option<Box<ServerConnection>>) -> Self {
        if let Some(tls) = &mut tls {
            // Our own bound is on what waits to be encrypted.
            tls.set_buffer_limit(None);
        }
        Self {
            tcp,
            tls,
            out: Vec::new(),
            written: 0,
            readable: true,
            writable: true,
            hung_up: false,
            ended: false,
            finishing: false,
            finished: false,
        }
    }

    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub fn encryption(&self) -> Option<Encryption> {
        self.tls.as_deref().map(Encryption::of_tls)
    }

    /// Notes what epoll said.
    pub fn notice(&mut self, readable: bool, writable: bool, hung_up: bool) {
        self.readable |= readable || hung_up;
        self.writable |= writable;
        self.hung_up |= hung_up;
    }

    pub fn is_readable(&self) -> bool {
        self.readable && !self.ended
    }

    /// Whether a look at the input may bring something: with TLS also bytes that came with the handshake.
    pub fn is_worth_reading(&self) -> bool {
        self.is_readable() || self.ended || self.tls.is_some()
    }

    /// Whether a flush may get something done.
    pub fn wants_flush(&self) -> bool {
        self.writable && (self.has_output() || self.finishing && !self.finished)
    }

    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Bytes that wait to be written or encrypted.
    pub fn backlog(&self) -> usize {
        self.out.len() - self.written
    }

    fn has_output(&self) -> bool {
        self.backlog() > 0 || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// One read of the kernel's bytes. With TLS they go through `cipher`, and `into` must hold [`RECORD_LEN_MAX`] more bytes than that.
    ///
    /// # Errors
    /// The connection is broken, or what came is not TLS.
    pub fn read(&mut self, into: &mut [u8], cipher: &mut [u8]) -> io::Result<Input> {
        let len = match self.tls {
            None => self.fill(into)?,
            Some(_) => self.decrypt(into, cipher)?,
        };
        Ok(match len {
            0 if self.ended => Input::End,
            0 => Input::Nothing,
            len => Input::Bytes(len),
        })
    }

    fn fill(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended || !self.readable || into.is_empty() {
            return Ok(0);
        }
        loop {
            match self.tcp.read(into) {
                Ok(0) => {
                    (self.ended, self.readable) = (true, false);
                    return Ok(0);
                }
                Ok(len) => {
                    // What a short read leaves behind announces itself; an end that was announced already does not.
                    self.readable = len == into.len() || self.hung_up;
                    return Ok(len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(0);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn decrypt(&mut self, into: &mut [u8], cipher: &mut [u8]) -> io::Result<usize> {
        // What came with the handshake's last bytes.
        let mut len = self.take_plain(into)?;
        let room = into.len().saturating_sub(len + RECORD_LEN_MAX).min(cipher.len());
        let filled = self.fill(cipher.get_mut(..room).unwrap_or_default())?;
        let mut rest = cipher.get(..filled).unwrap_or_default();
        while !rest.is_empty() && !self.ended {
            let Some(tls) = &mut self.tls else { break };
            tls.read_tls(&mut rest)?;
            if let Err(error) = tls.process_new_packets() {
                // The alert that says why is a courtesy.
                let _ = tls.write_tls(&mut self.tcp);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            len += self.take_plain(into.get_mut(len..).unwrap_or_default())?;
        }
        Ok(len)
    }

    fn take_plain(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return Ok(0) };
        let mut len = 0;
        while len < into.len() {
            match tls.reader().read(&mut into[len..]) {
                // The other end's close_notify.
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.ended = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(len)
    }

    /// Gathers output.
    pub fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Gathers zero bytes.
    pub fn pad(&mut self, count: usize) {
        self.out.resize(self.out.len() + count, 0);
    }

    /// After what is gathered the other end shall see the end of our output.
    pub fn finish(&mut self) {
        self.finishing = true;
    }

    /// Writes what is gathered, as far as the kernel takes it. Says how many calls that took.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self) -> io::Result<u64> {
        let mut calls = 0;
        loop {
            calls += self.write_records()?;
            if !self.writable || self.backlog() == 0 {
                break;
            }
            let waiting = self.out.get(self.written..).unwrap_or_default();
            match &mut self.tls {
                Some(tls) => {
                    tls.writer().write_all(waiting)?;
                    self.forget_output();
                }
                None => match self.tcp.write(waiting) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(len) => {
                        calls += 1;
                        self.written += len;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                    Err(error) => return Err(error),
                },
            }
        }
        if self.backlog() == 0 {
            self.forget_output();
        } else if self.written >= CAPACITY_KEPT {
            self.out.drain(..self.written);
            self.written = 0;
        }
        if self.finishing && !self.finished && !self.has_output() {
            self.say_end()?;
        }
        Ok(calls)
    }

    fn write_records(&mut self) -> io::Result<u64> {
        let Some(tls) = &mut self.tls else { return Ok(0) };
        let mut calls = 0;
        while self.writable && tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => calls += 1,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(calls)
    }

    fn say_end(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // A few bytes; where even they find no room, the end of the connection says the same.
            let _ = tls.write_tls(&mut self.tcp);
        }
        self.finished = true;
        match self.tcp.shutdown(Shutdown::Write) {
            // The other end was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            ended => ended,
        }
    }

    fn forget_output(&mut self) {
        self.out.clear();
        self.written = 0;
        self.out.shrink_to(CAPACITY_KEPT);
    }

    /// The connection and everything that was not written yet, to be gone on with elsewhere.
    pub fn into_parts(mut self) -> (TcpStream, Option<Box<ServerConnection>>, Vec<u8>) {
        self.out.drain(..self.written);
        (self.tcp, self.tls, self.out)
    }
}
