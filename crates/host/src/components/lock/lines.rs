//! In which line a key stands: readers of JSON and YAML don't tell, and what tools write has a
//! key a line. Only for showing: nothing is decided on it.

use std::collections::HashMap;

/// The first line of each key.
pub struct Keys<'t>(HashMap<&'t str, u32>);

impl<'t> Keys<'t> {
    pub fn of(text: &'t str) -> Self {
        let mut keys = HashMap::new();
        for (number, line) in (1u32..).zip(text.lines()) {
            let line = line.trim_start();
            let key = match line.as_bytes().first() {
                Some(quote @ (b'"' | b'\'')) => {
                    line[1..].split(char::from(*quote)).next().unwrap_or("")
                }
                _ => line
                    .split_once(": ")
                    .map_or_else(|| line.trim_end().trim_end_matches(':'), |(key, _)| key),
            };
            keys.entry(key).or_insert(number);
        }
        Self(keys)
    }

    pub fn line(&self, key: &str) -> Option<u32> {
        self.0.get(key).copied()
    }
}

/// The line of a place in a text, told for growing places in one pass.
pub struct Counter<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
}

impl<'t> Counter<'t> {
    pub const fn of(text: &'t str) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
            line: 1,
        }
    }

    pub fn line(&mut self, place: usize) -> u32 {
        if place < self.at {
            (self.at, self.line) = (0, 1);
        }
        let place = place.min(self.text.len());
        let passed = memchr::memchr_iter(b'\n', &self.text[self.at..place]).count();
        self.line = self
            .line
            .saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        self.at = place;
        self.line
    }
}
