//! Which sockets of a network listen, and whether only on the loopback.
//!
//! The kernel is asked for those alone where it can be (sock_diag(7)): to write proc_net(5), it
//! walks its whole table of connections, which takes longer than everything else that is asked
//! about processes. It answers for our own network only.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use crate::act::place::read_bounded;

/// A host with more sockets than this fills the file.
const LIMIT_BYTES: u64 = 64 << 20;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// The listening sockets of a network by their inodes, and whether each listens on the loopback
/// only.
pub(super) type Listening = BTreeMap<u64, bool>;

/// Those of the network that the process of this folder of `/proc` is in.
pub(super) fn listening(folder: &Path) -> Listening {
    let network = |folder: &Path| std::fs::metadata(folder.join("ns/net")).map(|it| it.ino());
    let is_own = match (network(folder), network(Path::new("/proc/self"))) {
        (Ok(its), Ok(own)) => its == own,
        _ => false,
    };
    let mut found = match is_own {
        true => ask(),
        false => None,
    }
    .unwrap_or_else(|| {
        let mut found = read(folder, "tcp", "0A");
        found.extend(read(folder, "tcp6", "0A"));
        found
    });
    found.extend(read(folder, "udp", "07"));
    found.extend(read(folder, "udp6", "07"));
    found
}

fn read(folder: &Path, name: &str, state: &str) -> Listening {
    let file = std::fs::File::open(folder.join("net").join(name));
    let bytes = file.and_then(|file| read_bounded(file, LIMIT_BYTES));
    parse_sockets(&bytes.unwrap_or_default(), state)
}

/// What listens by TCP in our own network; none where the kernel doesn't say.
fn ask() -> Option<Listening> {
    let protocol = Some(netlink::SOCK_DIAG);
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol).ok()?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).ok()?;
    let mut found = Listening::new();
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        let family = u8::try_from(family.as_raw()).ok()?;
        send(&socket, &request(family), SendFlags::empty()).ok()?;
        let mut answer = vec![0; 64 << 10];
        loop {
            let (size, _) = recv(&socket, &mut answer[..], RecvFlags::empty()).ok()?;
            let is_last = take(answer.get(..size)?, &mut found)?;
            if is_last {
                break;
            }
        }
    }
    Some(found)
}

const HEADER_BYTES: usize = 16;
/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// `nlmsghdr` (netlink(7)) and `inet_diag_req_v2` (sock_diag(7)): all TCP sockets that listen.
fn request(family: u8) -> [u8; HEADER_BYTES + 56] {
    const TCP: u8 = 6;
    const LISTEN: u32 = 1 << 10;
    // NLM_F_REQUEST and NLM_F_DUMP
    const FLAGS: u16 = 0x1 | 0x300;
    let mut message = [0; HEADER_BYTES + 56];
    let size = u32::try_from(message.len()).unwrap_or(0);
    message[0..4].copy_from_slice(&size.to_ne_bytes());
    message[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    message[6..8].copy_from_slice(&FLAGS.to_ne_bytes());
    message[16] = family;
    message[17] = TCP;
    message[20..24].copy_from_slice(&LISTEN.to_ne_bytes());
    message
}

/// Takes the sockets of an answer, and says whether it is the last one; none when it is not one.
fn take(mut answer: &[u8], found: &mut Listening) -> Option<bool> {
    while !answer.is_empty() {
        let size = u32::from_ne_bytes(answer.get(0..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
        match kind {
            NLMSG_DONE => return Some(true),
            NLMSG_ERROR => return None,
            _ => {}
        }
        // `inet_diag_msg`: the address at 8, in the network's order, and the inode at 68.
        let message = answer.get(HEADER_BYTES..size)?;
        let inode = u32::from_ne_bytes(message.get(68..72)?.try_into().ok()?);
        let address: [u8; 16] = message.get(8..24)?.try_into().ok()?;
        let address = match i32::from(*message.first()?) == libc::AF_INET {
            true => {
                let [a, b, c, d, ..] = address;
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            false => IpAddr::V6(Ipv6Addr::from(address)).to_canonical(),
        };
        found.insert(u64::from(inode), address.is_loopback());
        // "NLMSG_ALIGN": to four bytes.
        answer = answer.get(size.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(false)
}

/// Reads proc_net(5): the inode of each socket in `state`, and whether its own address is one of
/// the loopback.
pub fn parse_sockets(bytes: &[u8], state: &str) -> BTreeMap<u64, bool> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (own, now, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
            let (address, _) = own.split_once(':')?;
            (*now == state).then(|| Some((inode.parse().ok()?, is_loopback(address))))?
        })
        .collect()
}

/// Addresses are in hex, each 32 bits in the machine's own order.
fn is_loopback(hex: &str) -> bool {
    // ::1, and 127.0.0.0/8, also within IPv6.
    let one = match cfg!(target_endian = "little") {
        true => "00000000000000000000000001000000",
        false => "00000000000000000000000000000001",
    };
    let last_word = hex.get(hex.len().saturating_sub(8)..).unwrap_or(hex);
    let is_mapped = hex.len() == 32 && hex.starts_with("0000000000000000FFFF0000");
    let is_v4 = hex.len() == 8 || is_mapped;
    let first_byte = match cfg!(target_endian = "little") {
        true => last_word.get(6..8),
        false => last_word.get(0..2),
    };
    hex == one || is_v4 && first_byte == Some("7F")
}
