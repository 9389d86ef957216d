//! The peer behind the allocations: one socket and one thread, which wakes seldom and takes many datagrams at a time.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::engine::sys::{ReceiveSlots, SendSlots};

const SLOT_LEN: usize = 10_240;
/// Datagrams of one call.
const CALL_MAX: usize = 256;
/// What arrives while the thread pauses waits here.
const BUFFER: usize = 16 << 20;
/// Longer than it takes to fill the buffer at a million packets a second.
const PAUSE: Duration = Duration::from_millis(1);

pub struct Echo {
    address: SocketAddr,
    socket: UdpSocket,
    arrived: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// With `answering` what comes goes back.
    pub fn start(ip: IpAddr, answering: bool) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the peer's socket: {error}");
        let socket = UdpSocket::bind((ip, 0)).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let reference = socket2::SockRef::from(&socket);
        // Best effort: with a smaller buffer the report shows the loss.
        let _ = reference.set_recv_buffer_size(BUFFER);
        let _ = reference.set_send_buffer_size(BUFFER);
        let address = socket.local_addr().map_err(failed)?;
        let (arrived, ending) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let own = socket.try_clone().map_err(failed)?;
        let (count, told) = (Arc::clone(&arrived), Arc::clone(&ending));
        let thread = thread::Builder::new()
            .name("peer".to_owned())
            .spawn(move || serve(&own, answering, &count, &told))
            .map_err(|error| format!("the peer's thread: {error}"))?;
        Ok(Self { address, socket, arrived, ending, thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Datagrams that came.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Sends `rate` datagrams per second to these addresses in turn. Gives how many were sent.
    pub fn send_to(&self, relayed: Vec<SocketAddr>, rate: u32, size: usize, time: Duration) -> JoinHandle<u64> {
        let socket = self.socket.try_clone();
        thread::spawn(move || {
            let Ok(socket) = socket else { return 0 };
            let payload = vec![7; size];
            let mut pace = super::fleet::Pacer::new(rate);
            let end = Instant::now() + time;
            let mut sent = 0;
            while Instant::now() < end && !relayed.is_empty() {
                for _ in 0..pace.due(Instant::now()) {
                    sent += u64::from(socket.send_to(&payload, relayed[sent as usize % relayed.len()]).is_ok());
                }
                thread::sleep(PAUSE);
            }
            sent
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, answering: bool, arrived: &AtomicU64, ending: &AtomicBool) {
    let mut slots = ReceiveSlots::new(CALL_MAX, SLOT_LEN, 0);
    let mut out = SendSlots::new(CALL_MAX, CALL_MAX);
    while !ending.load(Ordering::Relaxed) {
        let Ok(filled) = slots.receive(socket.as_fd(), 0..CALL_MAX) else {
            thread::sleep(PAUSE);
            continue;
        };
        arrived.fetch_add(filled.count as u64, Ordering::Relaxed);
        if answering {
            out.clear();
            for received in (0..filled.count).filter_map(|slot| slots.received(slot)) {
                out.push(&received.remote, None, None, std::iter::once(received.range));
            }
            send(socket, &mut out, &slots);
        }
        if filled.count < CALL_MAX / 4 {
            thread::sleep(PAUSE);
        }
    }
}

fn send(socket: &UdpSocket, out: &mut SendSlots, slots: &ReceiveSlots) {
    let mut sent = 0;
    while sent < out.len() {
        match out.send(socket.as_fd(), slots.all(), sent) {
            Ok(count) => sent += count.max(1),
            // A full buffer loses what a network would lose; an ICMP error concerns one of them.
            Err(_) => sent += 1,
        }
    }
}
