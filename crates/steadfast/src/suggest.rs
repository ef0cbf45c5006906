//! "Did you mean": the known name that is nearest to a mistyped one.

/// The nearest of `known`, when it is near enough to be what was meant.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // One slip in three characters: beyond that, a suggestion is a guess.
    let enough = (typed.chars().count() / 3).max(1);
    known
        .map(|name| (distance(typed, name), name))
        .min()
        .filter(|(slips, _)| *slips <= enough)
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["ssh-root-login", "ssh-max-tries", "kernel-log"];
        for (typed, wanted) in [
            ("ssh-root-logn", Some("ssh-root-login")),
            ("ssh-rot-login", Some("ssh-root-login")),
            ("kernel-lgo", Some("kernel-log")),
            ("ssh-max-try", Some("ssh-max-tries")),
            ("nginx-tokens", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), wanted, "{typed}");
        }
    }
}
