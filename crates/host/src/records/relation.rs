//! Relations between packages as dpkg's database has them (deb-control(5), `Depends`, `Breaks`,
//! `Provides`): no architecture lists and no build profiles stand there.

use debversion::Version;

/// `libc6:any (>= 2.36)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    pub name: String,
    /// `any`, an architecture, or nothing.
    pub architecture: Option<String>,
    pub version: Option<(Operator, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Earlier,
    AtMost,
    Exactly,
    AtLeast,
    Later,
}

impl Relation {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), Some(rest.trim_end().strip_suffix(')')?.trim())),
            None => (text.trim(), None),
        };
        let version = match rest {
            Some(rest) => {
                let (sign, version) = [
                    ("<<", Operator::Earlier),
                    ("<=", Operator::AtMost),
                    (">=", Operator::AtLeast),
                    (">>", Operator::Later),
                    ("=", Operator::Exactly),
                    // As dpkg still reads them.
                    ("<", Operator::AtMost),
                    (">", Operator::AtLeast),
                ]
                .into_iter()
                .find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?)))?;
                Some((sign, version.trim().to_owned()))
            }
            None => None,
        };
        let (name, architecture) = match name.split_once(':') {
            Some((name, architecture)) => (name, Some(architecture.to_owned())),
            None => (name, None),
        };
        (!name.is_empty()).then(|| Self {
            name: name.to_owned(),
            architecture,
            version,
        })
    }

    /// Is this version meant? One that is none is compared by its letters alone.
    pub fn takes(&self, version: &str) -> bool {
        let Some((operator, wanted)) = &self.version else {
            return true;
        };
        let order = match (version.parse::<Version>(), wanted.parse::<Version>()) {
            (Ok(version), Ok(wanted)) => version.cmp(&wanted),
            _ => return version == wanted,
        };
        match operator {
            Operator::Earlier => order.is_lt(),
            Operator::AtMost => order.is_le(),
            Operator::Exactly => order.is_eq(),
            Operator::AtLeast => order.is_ge(),
            Operator::Later => order.is_gt(),
        }
    }
}

/// A field's clauses, each of alternatives of which one is enough. What can't be read is left out.
pub fn clauses(field: &str) -> Vec<Vec<Relation>> {
    let clauses = field.split(',').map(str::trim);
    clauses
        .filter(|clause| !clause.is_empty())
        .map(|clause| clause.split('|').filter_map(Relation::parse).collect())
        .collect()
}
