//! The system calls that neither the standard library nor socket2 offers, each behind a safe function. The only file of the
//! workspace that may hold `unsafe`.
//!
//! Socket addresses and control messages are read and written as plain bytes in safe code; `unsafe` is left for the calls.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null_mut;
use std::time::Duration;

use libc::{c_int, c_void, iovec, mmsghdr, socklen_t};

/// A socket address in the kernel's layout: `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Name([u8; 32]);

/// Room for every control message that is asked for: PKTINFO (32 or 40 bytes), RXQ_OVFL (24) and UDP_GRO or UDP_SEGMENT (24).
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 128]);

const CONTROL_HEADER_LEN: usize = size_of::<libc::cmsghdr>();
const CONTROL_ALIGN: usize = size_of::<usize>();

/// No datagram is longer.
const DATAGRAM_MAX: usize = 65_536;

/// Space for received datagrams, and the headers that `recvmmsg` fills.
///
/// ```text
/// bytes   | slot 0 | slot 1 | …            what nearly all datagrams fit into
/// large   | ....rest of it | ....rest of it | …   one area for each message of a call, with room for the slot's part in front
/// ```
/// What is longer than a slot runs over into a large area, which the kernel alone touches: memory is taken when such datagrams come.
pub struct ReceiveSlots {
    bytes: Vec<u8>,
    large: Vec<u8>,
    slot_len: usize,
    /// The first slot of the last call: that call's datagrams may lie in large areas.
    call_first: usize,
    names: Vec<Name>,
    controls: Vec<Control>,
    iovecs: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

// SAFETY: the pointers in `iovecs` and `headers` are set anew before each call and followed only within it: between calls, when the
// value may move to another thread, they mean nothing.
unsafe impl Send for ReceiveSlots {}

/// What the kernel says of one slot.
#[derive(Clone, Debug)]
pub struct Received {
    pub remote: SocketAddr,
    /// The address that was hit; only where the socket was asked to tell.
    pub local: Option<IpAddr>,
    /// Where the datagram lies, for [`ReceiveSlots::bytes`].
    pub range: Range<usize>,
    /// Length of each datagram when the kernel joined several into one (UDP_GRO).
    pub segment: Option<usize>,
    /// It was longer than a slot.
    pub truncated: bool,
    /// Datagrams that the kernel dropped on this socket since it was opened.
    pub overflow: Option<u32>,
}

/// What a call brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    pub count: usize,
    /// Some of them lie in large areas, which the next call takes over.
    pub large: bool,
}

impl ReceiveSlots {
    /// `large_areas`: messages of one call that may be longer than a slot; 0 where slots hold every datagram.
    pub fn new(slots: usize, slot_len: usize, large_areas: usize) -> Self {
        Self {
            bytes: vec![0; slots * slot_len],
            large: vec![0; large_areas * DATAGRAM_MAX],
            slot_len,
            call_first: 0,
            names: vec![Name([0; 32]); slots],
            controls: vec![Control([0; 128]); slots],
            iovecs: vec![iovec { iov_base: null_mut(), iov_len: 0 }; 2 * slots],
            headers: vec![empty_header(); slots],
        }
    }

    pub fn slots(&self) -> usize {
        self.names.len()
    }

    /// Receives into the slots `slots` without waiting.
    pub fn receive(&mut self, fd: BorrowedFd<'_>, slots: Range<usize>) -> io::Result<Filled> {
        self.call_first = slots.start;
        let slot_len = self.slot_len;
        let count = slots.len();
        let bytes = &mut self.bytes[slots.start * slot_len..slots.end * slot_len];
        let names = &mut self.names[slots.clone()];
        let controls = &mut self.controls[slots.clone()];
        let iovecs = &mut self.iovecs[2 * slots.start..2 * slots.end];
        let headers = &mut self.headers[slots];
        let mut areas = self.large.chunks_exact_mut(DATAGRAM_MAX);
        for (at, space) in bytes.chunks_exact_mut(slot_len).enumerate() {
            let iovecs = &mut iovecs[2 * at..2 * at + 2];
            iovecs[0] = iovec { iov_base: space.as_mut_ptr().cast::<c_void>(), iov_len: slot_len };
            let area = areas.next().and_then(|area| area.get_mut(slot_len..));
            let iovecs_used = 1 + usize::from(area.is_some());
            if let Some(area) = area {
                iovecs[1] = iovec { iov_base: area.as_mut_ptr().cast::<c_void>(), iov_len: area.len() };
            }
            let header = &mut headers[at].msg_hdr;
            header.msg_name = (&raw mut names[at]).cast::<c_void>();
            header.msg_namelen = size_of::<Name>() as socklen_t;
            header.msg_iov = iovecs.as_mut_ptr();
            header.msg_iovlen = iovecs_used as _;
            header.msg_control = (&raw mut controls[at]).cast::<c_void>();
            header.msg_controllen = size_of::<Control>() as _;
            header.msg_flags = 0;
        }
        // SAFETY: `headers` has `count` entries, and every pointer in them was just set to memory of `self` that is exclusively
        // borrowed, lives past the call and is as long as the length beside the pointer says.
        let received =
            retry(|| unsafe { libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count as _, libc::MSG_DONTWAIT as _, null_mut()) })?;
        let mut large = false;
        for (at, area) in self.large.chunks_exact_mut(DATAGRAM_MAX).enumerate().take(received) {
            if headers[at].msg_len as usize > slot_len {
                area[..slot_len].copy_from_slice(&bytes[at * slot_len..(at + 1) * slot_len]);
                large = true;
            }
        }
        Ok(Filled { count: received, large })
    }

    /// Reads what the kernel wrote for a slot that [`Self::receive`] filled. `None` for an address that is neither IPv4 nor IPv6.
    pub fn received(&self, slot: usize) -> Option<Received> {
        let header = &self.headers[slot];
        let remote = read_name(&self.names[slot])?;
        let len = header.msg_len as usize;
        let area = slot.wrapping_sub(self.call_first);
        let is_large = len > self.slot_len && area < self.large.len() / DATAGRAM_MAX;
        let (start, len_max) =
            if is_large { (self.bytes.len() + area * DATAGRAM_MAX, DATAGRAM_MAX) } else { (slot * self.slot_len, self.slot_len) };
        let mut received = Received {
            remote,
            local: None,
            range: start..start + len.min(len_max),
            segment: None,
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            overflow: None,
        };
        #[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
        let control_len = (header.msg_hdr.msg_controllen as usize).min(size_of::<Control>());
        read_control(&self.controls[slot].0[..control_len], &mut received);
        Some(received)
    }

    /// All slots, in which the ranges of datagrams that fit into one lie.
    pub fn all(&self) -> &[u8] {
        &self.bytes
    }

    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        match range.start.checked_sub(self.bytes.len()) {
            Some(start) => &self.large[start..range.end - self.bytes.len()],
            None => &self.bytes[range],
        }
    }
}

/// Headers for `sendmmsg`. Messages are described by where their bytes lie in an arena, which is lent only for the call.
pub struct SendSlots {
    messages_max: usize,
    messages: Vec<MessageSlot>,
    parts: Vec<Range<usize>>,
    iovecs: Vec<iovec>,
    headers: Vec<mmsghdr>,
}

// SAFETY: as for `ReceiveSlots`.
unsafe impl Send for SendSlots {}

struct MessageSlot {
    name: Name,
    name_len: usize,
    control: Control,
    control_len: usize,
    parts: Range<usize>,
}

impl SendSlots {
    /// `messages_max` at most 1,024 (the kernel's own bound), `parts_max` in all of them together.
    pub fn new(messages_max: usize, parts_max: usize) -> Self {
        Self {
            messages_max,
            messages: Vec::with_capacity(messages_max),
            parts: Vec::with_capacity(parts_max),
            iovecs: vec![iovec { iov_base: null_mut(), iov_len: 0 }; parts_max],
            headers: vec![empty_header(); messages_max],
        }
    }

    pub fn clear(&mut self) {
        self.messages.clear();
        self.parts.clear();
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether a message of `parts` parts finds room.
    pub fn has_room(&self, parts: usize) -> bool {
        self.messages.len() < self.messages_max && self.parts.len() + parts <= self.iovecs.len()
    }

    /// Adds a message to `to`, from the local address `from` (else the socket's), cut by the kernel into datagrams of `segment`
    /// bytes. The caller has asked [`Self::has_room`].
    pub fn push(&mut self, to: &SocketAddr, from: Option<IpAddr>, segment: Option<u16>, parts: impl Iterator<Item = Range<usize>>) {
        let first = self.parts.len();
        self.parts.extend(parts);
        let mut slot =
            MessageSlot { name: Name([0; 32]), name_len: 0, control: Control([0; 128]), control_len: 0, parts: first..self.parts.len() };
        slot.name_len = write_name(&mut slot.name, to);
        if let Some(from) = from {
            slot.control_len += write_source(&mut slot.control.0[slot.control_len..], from);
        }
        if let Some(segment) = segment {
            let at = &mut slot.control.0[slot.control_len..];
            slot.control_len += write_control(at, libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
        }
        self.messages.push(slot);
    }

    /// Hands the messages from number `skip` on to the kernel, without waiting, and says how many it took. An error concerns the
    /// first of them.
    pub fn send(&mut self, fd: BorrowedFd<'_>, bytes: &[u8], skip: usize) -> io::Result<usize> {
        for (iovec, part) in self.iovecs.iter_mut().zip(&self.parts) {
            let part = &bytes[part.clone()];
            // The kernel only reads from it.
            iovec.iov_base = part.as_ptr().cast_mut().cast::<c_void>();
            iovec.iov_len = part.len();
        }
        for (header, message) in self.headers.iter_mut().zip(&mut self.messages) {
            let iovecs = &mut self.iovecs[message.parts.clone()];
            let header = &mut header.msg_hdr;
            header.msg_name = (&raw mut message.name).cast::<c_void>();
            header.msg_namelen = message.name_len as socklen_t;
            header.msg_iov = iovecs.as_mut_ptr();
            header.msg_iovlen = iovecs.len() as _;
            header.msg_control = if message.control_len == 0 { null_mut() } else { (&raw mut message.control).cast::<c_void>() };
            header.msg_controllen = message.control_len as _;
            header.msg_flags = 0;
        }
        let headers = &mut self.headers[skip..self.messages.len()];
        // SAFETY: every header of the slice was just set: its pointers lead to `self` or to `bytes`, both borrowed past the call,
        // with the lengths of the slices they were taken from. The kernel writes nothing but `msg_len`.
        retry(|| unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), headers.len() as _, libc::MSG_DONTWAIT as _) })
    }
}

/// Sets an integer option of a socket.
pub fn set_option(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which the kernel only reads.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast::<c_void>(), size_of::<c_int>() as socklen_t) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether datagrams that leave through a socket may be cut on the way. If not, they leave with the DF bit and those longer than the
/// path's known MTU are refused (EMSGSIZE).
pub fn set_dont_fragment(fd: BorrowedFd<'_>, ipv4: bool, dont_fragment: bool) -> io::Result<()> {
    if ipv4 {
        let value = if dont_fragment { libc::IP_PMTUDISC_DO } else { libc::IP_PMTUDISC_DONT };
        set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
    } else {
        let value = if dont_fragment { libc::IPV6_PMTUDISC_DO } else { libc::IPV6_PMTUDISC_DONT };
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)
    }
}

/// Has a socket keep what ICMP says of datagrams that left through it, for [`receive_error`].
pub fn keep_errors(fd: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    if ipv4 { set_option(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1) } else { set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1) }
}

/// What became of a datagram that left earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendError {
    /// Where it was to go.
    pub to: SocketAddr,
    pub whence: Whence,
    /// The MTU, where it was too long.
    pub mtu: u32,
}

/// Who found the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// This host: the datagram is longer than the path's known MTU.
    TooLong,
    /// An ICMP message of this type and code.
    Icmp {
        kind: u8,
        code: u8,
    },
    Other,
}

/// Takes the next error from a socket's queue. `None` when there is none. `Err`: there was one, of a datagram that cannot be told.
pub fn receive_error(fd: BorrowedFd<'_>) -> io::Result<Option<SendError>> {
    let mut name = Name([0; 32]);
    let mut control = Control([0; 128]);
    // SAFETY: `msghdr` is made of integers and raw pointers, for which all zeros is a value: no buffers.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_name = (&raw mut name).cast::<c_void>();
    header.msg_namelen = size_of::<Name>() as socklen_t;
    header.msg_control = (&raw mut control).cast::<c_void>();
    header.msg_controllen = size_of::<Control>() as _;
    // SAFETY: both pointers lead to locals that live past the call and are as long as the lengths beside them say.
    let result = retry(|| unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) as c_int });
    match result {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    }
    #[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
    let control_len = (header.msg_controllen as usize).min(size_of::<Control>());
    let untold = || io::Error::from(io::ErrorKind::InvalidData);
    let to = read_name(&name).ok_or_else(untold)?;
    let (whence, mtu) = read_error(&control.0[..control_len]).ok_or_else(untold)?;
    Ok(Some(SendError { to, whence, mtu }))
}

/// The CPUs on which this thread may run.
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: `cpu_set_t` is an array of integers, for which all zeros is a value.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: the pointer and the length describe `set`.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: reads a bit of `set`; the number is below the number of its bits.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// How much later than asked this thread may be woken.
pub fn set_timer_slack(slack: Duration) -> io::Result<()> {
    let nanoseconds = libc::c_ulong::try_from(slack.as_nanos()).unwrap_or(libc::c_ulong::MAX).max(1);
    // SAFETY: this option takes a number and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Keeps this thread on one CPU.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: as in `allowed_cpus`.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: writes a bit of `set`; the number was checked above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the pointer and the length describe `set`, which the kernel only reads.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn retry(mut call: impl FnMut() -> c_int) -> io::Result<usize> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn empty_header() -> mmsghdr {
    // SAFETY: `mmsghdr` is made of integers and raw pointers, for which all zeros is a value.
    unsafe { zeroed() }
}

fn write_name(name: &mut Name, address: &SocketAddr) -> usize {
    let bytes = &mut name.0;
    match address {
        SocketAddr::V4(address) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
            bytes[4..8].copy_from_slice(&address.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
            bytes[8..24].copy_from_slice(&address.ip().octets());
            bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
            size_of::<libc::sockaddr_in6>()
        }
    }
}

/// The flow label is left out: it would make two addresses of one.
fn read_name(name: &Name) -> Option<SocketAddr> {
    let (family, rest) = name.0.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    match c_int::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            let octets = rest.first_chunk::<4>()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(*octets), port).into())
        }
        libc::AF_INET6 => {
            let (octets, rest) = rest.get(4..)?.split_first_chunk::<16>()?;
            let scope = rest.first_chunk::<4>()?;
            Some(SocketAddrV6::new(Ipv6Addr::from(*octets), port, 0, u32::from_ne_bytes(*scope)).into())
        }
        _ => None,
    }
}

fn write_source(at: &mut [u8], from: IpAddr) -> usize {
    match from {
        IpAddr::V4(from) => {
            // in_pktinfo: interface, source address, destination (unused on the way out).
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&from.octets());
            write_control(at, libc::IPPROTO_IP, libc::IP_PKTINFO, &info)
        }
        IpAddr::V6(from) => {
            // in6_pktinfo: source address, interface.
            let mut info = [0; 20];
            info[..16].copy_from_slice(&from.octets());
            write_control(at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info)
        }
    }
}

/// Writes one control message and says how much space it takes.
fn write_control(at: &mut [u8], level: c_int, kind: c_int, data: &[u8]) -> usize {
    let len = CONTROL_HEADER_LEN + data.len();
    at[..CONTROL_ALIGN].copy_from_slice(&len.to_ne_bytes());
    at[CONTROL_HEADER_LEN - 8..CONTROL_HEADER_LEN - 4].copy_from_slice(&level.to_ne_bytes());
    at[CONTROL_HEADER_LEN - 4..CONTROL_HEADER_LEN].copy_from_slice(&kind.to_ne_bytes());
    at[CONTROL_HEADER_LEN..len].copy_from_slice(data);
    len.next_multiple_of(CONTROL_ALIGN)
}

fn read_control(mut rest: &[u8], received: &mut Received) {
    while rest.len() >= CONTROL_HEADER_LEN {
        let Some(len) = rest.first_chunk().map(|len| usize::from_ne_bytes(*len)) else { return };
        let Some((header, data)) = rest.get(..len).and_then(|message| message.split_at_checked(CONTROL_HEADER_LEN)) else { return };
        let level = read_int(&header[CONTROL_HEADER_LEN - 8..]);
        let kind = read_int(&header[CONTROL_HEADER_LEN - 4..]);
        match (level, kind) {
            // in_pktinfo: interface, the address that replies leave from, the address in the header.
            (Some(libc::IPPROTO_IP), Some(libc::IP_PKTINFO)) => {
                received.local = data.get(4..).and_then(<[u8]>::first_chunk::<4>).map(|octets| Ipv4Addr::from(*octets).into());
            }
            (Some(libc::IPPROTO_IPV6), Some(libc::IPV6_PKTINFO)) => {
                received.local = data.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into());
            }
            (Some(libc::SOL_UDP), Some(libc::UDP_GRO)) => {
                received.segment = read_int(data).and_then(|segment| usize::try_from(segment).ok()).filter(|&segment| segment > 0);
            }
            (Some(libc::SOL_SOCKET), Some(libc::SO_RXQ_OVFL)) => received.overflow = read_int(data).map(|count| count as u32),
            _ => {}
        }
        rest = rest.get(len.next_multiple_of(CONTROL_ALIGN)..).unwrap_or_default();
    }
}

/// sock_extended_err: errno (4 bytes), origin, type, code, padding, info (4 bytes: the MTU where errno is EMSGSIZE), data.
fn read_error(mut rest: &[u8]) -> Option<(Whence, u32)> {
    while rest.len() >= CONTROL_HEADER_LEN {
        let len = rest.first_chunk().map(|len| usize::from_ne_bytes(*len))?;
        let (header, data) = rest.get(..len)?.split_at_checked(CONTROL_HEADER_LEN)?;
        let level = read_int(&header[CONTROL_HEADER_LEN - 8..]);
        let kind = read_int(&header[CONTROL_HEADER_LEN - 4..]);
        if matches!((level, kind), (Some(libc::IPPROTO_IP), Some(libc::IP_RECVERR)) | (Some(libc::IPPROTO_IPV6), Some(libc::IPV6_RECVERR)))
        {
            let (errno, rest) = data.split_first_chunk::<4>()?;
            let ([origin, kind, code, _], rest) = rest.split_first_chunk::<4>()?;
            let errno = c_int::from_ne_bytes(*errno);
            let mtu = if errno == libc::EMSGSIZE { u32::from_ne_bytes(*rest.first_chunk()?) } else { 0 };
            let whence = match *origin {
                libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => Whence::Icmp { kind: *kind, code: *code },
                libc::SO_EE_ORIGIN_LOCAL if errno == libc::EMSGSIZE => Whence::TooLong,
                _ => Whence::Other,
            };
            return Some((whence, mtu));
        }
        rest = rest.get(len.next_multiple_of(CONTROL_ALIGN)..)?;
    }
    None
}

fn read_int(at: &[u8]) -> Option<c_int> {
    at.first_chunk().map(|bytes| c_int::from_ne_bytes(*bytes))
}
