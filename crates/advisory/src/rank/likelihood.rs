//! How likely a vulnerability is to be exploited, where EPSS does not say: as often as others of its
//! kind were. The kind is what its vector says, and whether those who choose what they fix fixed it.

use super::input::has;

/// Who of those that choose has published an advisory of their own. Red Hat and Debian's security team
/// fix what they hold to be important at once and leave the rest to a later release; an advisory of
/// Red Hat's for five and more of its products was important in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChosenBy {
    #[default]
    Nobody,
    Some,
    Many,
}

/// Advisories of Red Hat's for one vulnerability: one for each product.
const MANY: usize = 5;

impl ChosenBy {
    /// By the names of the advisories that a record is related to.
    pub fn of<'a>(related: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut debian, mut red_hat) = (0, 0);
        for name in related {
            debian += usize::from(name.starts_with("DSA-"));
            red_hat += usize::from(name.starts_with("RHSA-"));
        }
        match (red_hat, debian) {
            (MANY.., _) => Self::Many,
            (0, 0) => Self::Nobody,
            _ => Self::Some,
        }
    }
}

/// The share of Debian's records of 2025-02-12 that CISA's catalogue of 2025-08-25 names, by how it is
/// reached and what an exploit gives: 177 of 33,844 in all. Each for nobody, some and many of
/// [`ChosenBy`]. Where a column is thin (fewer than five of the catalogue's), it is that of the one
/// before it. Those without a vector are of 2016 and later: before that there was no version 3.
const REMOTE_TOTAL: [f32; 3] = [0.0082, 0.026, 0.033];
const REMOTE_PARTIAL: [f32; 3] = [0.0015, 0.0039, 0.0039];
const LOCAL_TOTAL: [f32; 3] = [0.0023, 0.0071, 0.055];
const LOCAL_PARTIAL: [f32; 3] = [0.0003, 0.0016, 0.0016];
const NO_VECTOR: [f32; 3] = [0.0019, 0.0019, 0.0019];

/// EPSS is about the next thirty days, and the catalogue about all days. What is exploited at some time
/// is so for about a year.
const OF_THIRTY_DAYS: f32 = 0.1;

/// A probability as EPSS gives one.
pub(super) fn usual(cvss: Option<&str>, is_total: bool, chosen: ChosenBy) -> f32 {
    let is_local = has(cvss, "AV:L") || has(cvss, "AV:P");
    let shares = match (cvss, is_local, is_total) {
        (None, _, _) => NO_VECTOR,
        (_, false, true) => REMOTE_TOTAL,
        (_, false, false) => REMOTE_PARTIAL,
        (_, true, true) => LOCAL_TOTAL,
        (_, true, false) => LOCAL_PARTIAL,
    };
    shares[chosen as usize] * OF_THIRTY_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_chose_it() {
        let of = |names: &[&str]| ChosenBy::of(names.iter().copied());
        assert_eq!(
            of(&["SUSE-SU-2024:1", "USN-1-1", "GHSA-x"]),
            ChosenBy::Nobody
        );
        assert_eq!(of(&["DSA-1-1"]), ChosenBy::Some);
        assert_eq!(of(&["RHSA-2024:1"; 4]), ChosenBy::Some);
        assert_eq!(of(&["RHSA-2024:1"; 5]), ChosenBy::Many);
    }

    #[test]
    fn more_is_never_less_likely() {
        let (local, remote) = (Some("CVSS:3.1/AV:L"), Some("CVSS:3.1/AV:N"));
        let all = [ChosenBy::Nobody, ChosenBy::Some, ChosenBy::Many];
        for chosen in all {
            let of = |cvss, is_total| usual(cvss, is_total, chosen);
            assert!(of(local, true) > of(local, false));
            assert!(of(remote, true) > of(remote, false));
            // Who takes all of a host from within it was exploited more often than what slows a
            // service down from without.
            assert!(of(local, true) > of(remote, false));
        }
        for cvss in [None, local, remote] {
            for is_total in [false, true] {
                let of = |chosen| usual(cvss, is_total, chosen);
                assert!(of(all[0]) <= of(all[1]) && of(all[1]) <= of(all[2]));
            }
        }
    }
}
