//! The PROXY protocol, versions 1 and 2: one header at the beginning of a connection, in which a load balancer says whose it is
//! (HAProxy's `proxy-protocol.txt`).
//!
//! ```text
//! v1   PROXY TCP4 192.0.2.1 198.51.100.7 56324 3478\r\n
//! v2   | signature (12) | version, command | family, transport | length (16) | addresses | more … |
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, line end included (section 2.1).
const V1_LEN_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";
/// Section 2.2: chosen so that no other protocol begins like it.
const SIGNATURE: [u8; 12] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A];
const V2_HEADER_LEN: usize = 16;

/// The most bytes that a header may take here. Balancers add a few hundred bytes to version 2 (a certificate's name, a region);
/// more is refused.
pub const HEADER_LEN_MAX: usize = 2048;

/// Why the bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Neither version begins like this.
    NotProxy,
    /// It begins well, and goes on wrongly.
    Malformed,
    /// Longer than [`HEADER_LEN_MAX`].
    TooLong,
}

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `None`: the balancer's own connection (a health check), or one whose addresses it does not know. The connection's own count then.
    pub addresses: Option<Addresses>,
    /// Bytes that the header took.
    pub len: usize,
}

/// Both ends of the connection that the balancer accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub client: SocketAddr,
    /// The address that the client connected to.
    pub server: SocketAddr,
}

/// Reads the header at the beginning of a connection. `Ok(None)`: more bytes are needed.
///
/// # Errors
/// When the bytes are no header, or none that is taken: the connection must be closed.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, Error> {
    if begins(bytes, &SIGNATURE) {
        read_v2(bytes)
    } else if begins(bytes, V1_START) {
        read_v1(bytes)
    } else {
        Err(Error::NotProxy)
    }
}

/// Whether `bytes` begin with `start`, as far as they go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn read_v1(bytes: &[u8]) -> Result<Option<Header>, Error> {
    let line = bytes.get(..bytes.len().min(V1_LEN_MAX)).unwrap_or_default();
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_LEN_MAX { Ok(None) } else { Err(Error::Malformed) };
    };
    let len = end + 2;
    let line = line.get(V1_START.len()..end).and_then(|line| std::str::from_utf8(line).ok()).ok_or(Error::Malformed)?;
    let mut words = line.split(' ');
    let addresses = match words.next() {
        // Whatever follows is to be passed over.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(v1_addresses::<Ipv4Addr>(words)?),
        Some("TCP6") => Some(v1_addresses::<Ipv6Addr>(words)?),
        _ => return Err(Error::Malformed),
    };
    Ok(Some(Header { addresses, len }))
}

fn v1_addresses<'a, A: std::str::FromStr + Into<IpAddr>>(mut words: impl Iterator<Item = &'a str>) -> Result<Addresses, Error> {
    let mut next = || words.next().ok_or(Error::Malformed);
    let [client, server] = [next()?, next()?].map(|word| word.parse::<A>().map(Into::into).map_err(|_| Error::Malformed));
    let [client_port, server_port] = [next()?, next()?].map(v1_port);
    let addresses = Addresses { client: SocketAddr::new(client?, client_port?), server: SocketAddr::new(server?, server_port?) };
    if words.next().is_some() { Err(Error::Malformed) } else { Ok(addresses) }
}

/// A decimal number without a sign or leading zeros.
fn v1_port(word: &str) -> Result<u16, Error> {
    if word.starts_with('+') || word.len() > 1 && word.starts_with('0') {
        return Err(Error::Malformed);
    }
    word.parse().map_err(|_| Error::Malformed)
}

fn read_v2(bytes: &[u8]) -> Result<Option<Header>, Error> {
    let Some(head) = bytes.first_chunk::<V2_HEADER_LEN>() else { return Ok(None) };
    let [.., version_command, family, l0, l1] = *head;
    let len = V2_HEADER_LEN + usize::from(u16::from_be_bytes([l0, l1]));
    if version_command >> 4 != 2 {
        return Err(Error::Malformed);
    }
    if len > HEADER_LEN_MAX {
        return Err(Error::TooLong);
    }
    let Some(body) = bytes.get(V2_HEADER_LEN..len) else { return Ok(None) };
    let addresses = match version_command & 0x0F {
        // LOCAL: whatever the addresses say is to be passed over.
        0 => None,
        1 => v2_addresses(family, body)?,
        _ => return Err(Error::Malformed),
    };
    Ok(Some(Header { addresses, len }))
}

fn v2_addresses(family: u8, body: &[u8]) -> Result<Option<Addresses>, Error> {
    match family {
        // TCP over IPv4; what follows the addresses are extensions.
        0x11 => {
            let fields = body.first_chunk::<12>().ok_or(Error::Malformed)?;
            let [a, b, c, d, e, f, g, h, p0, p1, q0, q1] = *fields;
            let client = SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([p0, p1])));
            let server = SocketAddr::from((Ipv4Addr::new(e, f, g, h), u16::from_be_bytes([q0, q1])));
            Ok(Some(Addresses { client, server }))
        }
        // TCP over IPv6.
        0x21 => {
            let fields = body.first_chunk::<36>().ok_or(Error::Malformed)?;
            let (client, rest) = fields.split_first_chunk::<16>().ok_or(Error::Malformed)?;
            let (server, ports) = rest.split_first_chunk::<16>().ok_or(Error::Malformed)?;
            let [p0, p1, q0, q1] = *ports else { return Err(Error::Malformed) };
            let client = SocketAddr::from((Ipv6Addr::from(*client), u16::from_be_bytes([p0, p1])));
            let server = SocketAddr::from((Ipv6Addr::from(*server), u16::from_be_bytes([q0, q1])));
            Ok(Some(Addresses { client, server }))
        }
        // Unspecified, Unix sockets, datagrams: nothing that a TCP client has.
        _ => Ok(None),
    }
}

/// What must hold for any input: a header is found with all its bytes, and never before the last of them.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(input: &[u8]) {
    match read(input) {
        Ok(Some(header)) => {
            assert!(header.len <= input.len() && header.len <= HEADER_LEN_MAX);
            assert_eq!(read(&input[..header.len]), Ok(Some(header)), "what follows the header does not matter");
            for cut in 0..header.len {
                assert_eq!(read(&input[..cut]), Ok(None), "cut at {cut}");
            }
        }
        Ok(None) => assert!(input.len() < HEADER_LEN_MAX),
        Err(error) => {
            let mut longer = input.to_vec();
            longer.extend(b" 1\r\n");
            assert_eq!(read(&longer), Err(error), "what is wrong stays wrong");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses(client: &str, server: &str) -> Option<Addresses> {
        Some(Addresses { client: client.parse().unwrap(), server: server.parse().unwrap() })
    }

    fn v2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([version_command, family]);
        header.extend((body.len() as u16).to_be_bytes());
        header.extend(body);
        header
    }

    #[test]
    fn version_1_names_both_ends() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 3478\r\n\x00\x01";
        let expected = Header { addresses: addresses("192.0.2.1:56324", "198.51.100.7:3478"), len: line.len() - 2 };
        assert_eq!(read(line), Ok(Some(expected)));
        let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n";
        assert_eq!(read(line).unwrap().unwrap().addresses, addresses("[2001:db8::1]:1", "[2001:db8::2]:65535"));
        assert_eq!(read(b"PROXY UNKNOWN who knows\r\n").unwrap().unwrap().addresses, None);
    }

    #[test]
    fn version_1_is_not_guessed_at() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324 3478 9\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 65536 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 +1 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 01 1\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.7 1 1\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.7 1 1\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(read(line.as_bytes()), Err(Error::Malformed), "{line}");
        }
        let endless = [b"PROXY ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(read(&endless), Err(Error::Malformed));
        assert_eq!(read(&endless[..106]), Ok(None));
    }

    #[test]
    fn version_2_names_both_ends_and_passes_over_extensions() {
        let body = [192, 0, 2, 1, 198, 51, 100, 7, 0xDC, 0x04, 0x0D, 0x96, 0x04, 0, 1, 0xAA];
        let header = v2(0x21, 0x11, &body);
        let expected = Header { addresses: addresses("192.0.2.1:56324", "198.51.100.7:3478"), len: header.len() };
        assert_eq!(read(&header), Ok(Some(expected)));
        let mut body = [0; 36];
        (body[15], body[31], body[33], body[35]) = (1, 2, 3, 4);
        assert_eq!(read(&v2(0x21, 0x21, &body)).unwrap().unwrap().addresses, addresses("[::1]:3", "[::2]:4"));
    }

    #[test]
    fn version_2_without_addresses_is_the_balancers_own() {
        for (command, family, body) in [(0x20, 0x11, [1; 12].as_slice()), (0x20, 0, &[]), (0x21, 0, &[]), (0x21, 0x31, &[0; 216])] {
            assert_eq!(read(&v2(command, family, body)).unwrap().unwrap().addresses, None);
        }
        for (command, family, body) in
            [(0x11, 0x11, [0; 12].as_slice()), (0x22, 0x11, &[0; 12]), (0x21, 0x11, &[0; 11]), (0x21, 0x21, &[0; 12])]
        {
            assert_eq!(read(&v2(command, family, body)), Err(Error::Malformed));
        }
        assert_eq!(read(&v2(0x21, 0x11, &[0; 2040])), Err(Error::TooLong));
    }

    #[test]
    fn other_protocols_are_no_header() {
        for other in [b"GET / HTTP/1.1\r\n".as_slice(), &[0, 1, 0, 0], &[0x16, 3, 1], b"\r\n\r\nQ", b"PROXX"] {
            assert_eq!(read(other), Err(Error::NotProxy));
        }
        assert_eq!(read(b""), Ok(None));
    }

    #[test]
    fn seeds_hold_what_any_input_must() {
        crate::corpus::replay("proxy", fuzz);
    }

    proptest! {
        #[test]
        fn any_input(input in proptest::collection::vec(any::<u8>(), 0..64)) { fuzz(&input); }

        #[test]
        fn any_version_2(command: u8, family: u8, body in proptest::collection::vec(any::<u8>(), 0..64)) {
            fuzz(&v2(command, family, &body));
        }

        #[test]
        fn any_version_1(rest in "[TCPUNKOW46 .:0-9a-f]{0,60}(\r\n)?") {
            fuzz(format!("PROXY {rest}").as_bytes());
        }
    }
}
