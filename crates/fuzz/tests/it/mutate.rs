//! Inputs made of seeds by chance: the same ones each time.

/// As libFuzzer's, where no seed is longer.
const LONGEST: usize = 4096;
/// Changes to one input at most.
const CHANGES: usize = 6;
/// Bytes at which parsers look twice.
const BYTES: &[u8] = b"\0\n\r\t \"'#$%&()*+,-./09:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xc3\xff";

/// What makes the next input.
pub struct Mutations<'a> {
    seeds: &'a [Vec<u8>],
    longest: usize,
    state: u64,
}

impl<'a> Mutations<'a> {
    pub fn of(seeds: &'a [Vec<u8>]) -> Self {
        let longest = seeds.iter().map(Vec::len).max().unwrap_or(0);
        Self {
            seeds,
            longest: longest.max(LONGEST),
            state: 1,
        }
    }

    /// A seed with some changes.
    pub fn next(&mut self) -> Vec<u8> {
        let mut input = self.seed().to_vec();
        for _ in 0..=self.below(CHANGES) {
            self.change(&mut input);
        }
        input.truncate(self.longest);
        input
    }

    fn seed(&mut self) -> &'a [u8] {
        let place = self.below(self.seeds.len());
        &self.seeds[place]
    }

    /// A random part of a text, of at most so many bytes.
    fn part<'b>(&mut self, text: &'b [u8], longest: usize) -> &'b [u8] {
        let from = self.below(text.len() + 1);
        let length = self.below(longest.min(text.len() - from) + 1);
        &text[from..from + length]
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let place = self.below(input.len() + 1);
        let byte = BYTES[self.below(BYTES.len())];
        match self.below(8) {
            0 if place < input.len() => input[place] ^= 1 << self.below(8),
            1 if place < input.len() => input[place] = byte,
            2 => input.insert(place, byte),
            3 => {
                let end = place + self.below(input.len() - place + 1).min(64);
                input.drain(place..end);
            }
            4 => input.truncate(place),
            // The same once more, and again: what is nested or counted grows.
            5 => {
                let copy = input.clone();
                let part = self.part(&copy, 64).to_vec();
                let times = 1 << self.below(8);
                input.splice(place..place, part.repeat(times));
            }
            // A part of another seed, or of a whole line of it.
            6 => {
                let seed = self.seed();
                let part = self.part(seed, 256);
                input.splice(place..place, part.iter().copied());
            }
            _ => {
                let lines: Vec<&[u8]> =
                    self.seed().split_inclusive(|byte| *byte == b'\n').collect();
                let at = self.below(lines.len().max(1));
                let line = lines.get(at).copied().unwrap_or_default();
                input.splice(place..place, line.iter().copied());
            }
        }
        input.truncate(2 * self.longest);
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        usize::try_from(mixed % end.max(1) as u64).unwrap_or(0)
    }
}
