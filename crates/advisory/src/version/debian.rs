//! Debian's order (deb-version(7), Debian Policy 5.6.12), after dpkg's own `verrevcmp`.
//!
//! Written here since it is asked tens of thousands of times in a query: it allocates nothing.
//! And it follows dpkg where the crate of that name doesn't: `1.` and `1.0` are equal.

use std::cmp::Ordering;

/// `[epoch:]upstream[-revision]`, taken apart.
struct Parts<'a> {
    epoch: u64,
    upstream: &'a str,
    revision: &'a str,
}

/// None for what dpkg would refuse.
fn parts(version: &str) -> Option<Parts<'_>> {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => {
            let digits = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
            // dpkg keeps it in an `int`.
            let epoch = epoch.parse().ok().filter(|epoch| *epoch <= 0x7fff_ffff);
            (epoch.filter(|_| digits)?, rest)
        }
        None => (0, version),
    };
    // "If there is no debian_revision then hyphens are not allowed": so the last one counts.
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    let fits = |text: &str, more: &[u8]| {
        text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || b".+~".contains(&byte) || more.contains(&byte)
        })
    };
    let good = !upstream.is_empty() && fits(upstream, b"-:_") && fits(revision, b"_");
    good.then_some(Parts {
        epoch,
        upstream,
        revision,
    })
}

/// None when one of them is no version.
pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (parts(a)?, parts(b)?);
    let order = a.epoch.cmp(&b.epoch);
    let order = order.then_with(|| part(a.upstream.as_bytes(), b.upstream.as_bytes()));
    Some(order.then_with(|| part(a.revision.as_bytes(), b.revision.as_bytes())))
}

/// "All the letters sort earlier than all the non-letters and … a tilde sorts before anything,
/// even the end of a part."
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let starts_with_digit = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
    while !a.is_empty() || !b.is_empty() {
        while (!a.is_empty() && !starts_with_digit(a)) || (!b.is_empty() && !starts_with_digit(b)) {
            let order = weight(a.first()).cmp(&weight(b.first()));
            if order.is_ne() {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let (number_a, rest_a) = number(a);
        let (number_b, rest_b) = number(b);
        // Without leading zeros, the longer number is the greater one.
        let order = number_a.len().cmp(&number_b.len());
        let order = order.then_with(|| number_a.cmp(number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// The digits at the beginning without their leading zeros, and what follows.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    (&digits[zeros..], rest)
}
