//! Numbers and what they count, as people write them.

/// `44,181`.
pub fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 advisory`, `2 advisories`, `1,404 packages`.
pub fn plural(count: usize, one: &str) -> String {
    let many = match one.strip_suffix('y') {
        // `day`, `key`: only after a consonant.
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{one}s"),
    };
    match count {
        1 => format!("1 {one}"),
        _ => format!("{} {many}", number(count)),
    }
}

/// What takes room, or is its limit: `512 bytes`, `137.4 kB`, `11.9 MB`, `74.1 GB`, by powers of a thousand
/// (IEC 80000-13), as `df -H` has it. What people are told of sizes comes from here.
pub fn size(bytes: impl TryInto<u64>) -> String {
    let bytes = bytes.try_into().unwrap_or(u64::MAX);
    // Each unit up to where one decimal would make it a thousand.
    match bytes {
        1 => "1 byte".to_owned(),
        0..1_000 => format!("{bytes} bytes"),
        1_000..999_950 => tenths(bytes, 1_000, "kB"),
        999_950..999_950_000 => tenths(bytes, 1_000_000, "MB"),
        _ => tenths(bytes, 1_000_000_000, "GB"),
    }
}

fn tenths(bytes: u64, unit: u64, name: &str) -> String {
    let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// The first of these, and how many more there are: `a`, `a, b`, `a, b and 2 more`.
pub fn first_of(names: &[impl AsRef<str>], shown: usize) -> String {
    let first = names.iter().take(shown).map(AsRef::as_ref);
    let first = first.collect::<Vec<&str>>().join(", ");
    match names.len().saturating_sub(shown) {
        0 => first,
        more => format!("{first} and {} more", number(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::{first_of, plural, size};

    #[test]
    fn sizes_in_the_unit_that_people_read() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (137_449, "137.4 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (11_900_000, "11.9 MB"),
            (999_950_000, "1.0 GB"),
            (74_100_000_000, "74.1 GB"),
            (u64::MAX, "18446744073.7 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(16_usize << 20), "16.8 MB");
    }

    #[test]
    fn some_and_more() {
        let names: Vec<String> = (0..1003).map(|name| name.to_string()).collect();
        for (count, text) in [
            (0, ""),
            (1, "0"),
            (2, "0, 1"),
            (3, "0, 1 and 1 more"),
            (1003, "0, 1 and 1,001 more"),
        ] {
            assert_eq!(first_of(&names[..count], 2), text);
        }
    }

    #[test]
    fn one_and_many() {
        for (count, one, text) in [
            (0, "package", "0 packages"),
            (1, "advisory", "1 advisory"),
            (2, "advisory", "2 advisories"),
            (1, "day", "1 day"),
            (2, "day", "2 days"),
            (44_181, "EPSS score", "44,181 EPSS scores"),
        ] {
            assert_eq!(plural(count, one), text);
        }
    }
}
