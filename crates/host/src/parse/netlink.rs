//! The kernel's answer to "which addresses are there" (rtnetlink(7), `RTM_GETADDR`).

use std::net::{Ipv4Addr, Ipv6Addr};

/// An address and the index of its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub interface: u32,
    /// `10.0.4.7/24`
    pub text: String,
}

/// What one datagram of the dump held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dump {
    pub addresses: Vec<Address>,
    /// The last message was there, or the kernel reported an error.
    pub ended: bool,
}

// linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWADDR: u16 = 20;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// "Netlink messages consist of a byte stream with one or multiple nlmsghdr headers and
/// associated payload", each aligned to four bytes (netlink(7)).
pub fn parse_addresses(bytes: &[u8]) -> Dump {
    let mut dump = Dump {
        addresses: Vec::new(),
        ended: false,
    };
    let mut rest = bytes;
    while let Some((header, _)) = rest.split_at_checked(HEADER) {
        let length = usize::try_from(word(header, 0)).unwrap_or(0);
        let kind = half(header, 4);
        let Some(message) = rest.get(HEADER..length) else {
            break;
        };
        match kind {
            NLMSG_DONE | NLMSG_ERROR => dump.ended = true,
            RTM_NEWADDR => dump.addresses.extend(address(message)),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    dump
}

fn address(message: &[u8]) -> Option<Address> {
    let (header, mut attributes) = message.split_at_checked(ADDRESS_HEADER)?;
    let (family, prefix) = (header[0], header[1]);
    let interface = word(header, 4);
    let (mut local, mut other) = (None, None);
    while attributes.len() >= 4 {
        let length = usize::from(half(attributes, 0));
        let value = attributes.get(4..length)?;
        match half(attributes, 2) {
            // On a point-to-point link, IFA_ADDRESS is the other end.
            IFA_LOCAL => local = Some(value),
            IFA_ADDRESS => other = Some(value),
            _ => {}
        }
        attributes = attributes
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    let bytes = local.or(other)?;
    let text = match family {
        2 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string(),
        10 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
        _ => return None,
    };
    Some(Address {
        interface,
        text: format!("{text}/{prefix}"),
    })
}

/// Callers have checked that the bytes are there; what is not reads as zero.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..at + 4)
        .and_then(|four| four.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .and_then(|two| two.try_into().ok())
        .map_or(0, u16::from_ne_bytes)
}
