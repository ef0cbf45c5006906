//! Says how old apt's lists are, and what can't be told for that.

use std::io;

use host::packages::lists::says_any_security;
use host::packages::{Caches, Lists};
use jiff::Timestamp;
use model::count::plural;
use serde::Serialize;

use crate::layout::{Paper, Text};
use crate::style::Role;

/// The command that brings new ones. It is the administrator's to run, or their timer's.
const REFRESH: &str = "apt-get update";

/// What is known of them, for programs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AptLists {
    /// When the last new list was fetched, where there are any.
    pub fetched: Option<Timestamp>,
    pub age_days: Option<i64>,
    /// Why they don't tell what is pending now.
    pub unknown: Option<String>,
}

impl AptLists {
    /// Looks at those of this host.
    pub fn of_host(caches: &Caches, now: Timestamp) -> Self {
        match Lists::of_host(caches, now) {
            Ok(lists) => Self::of(lists, now),
            Err(error) => Self {
                unknown: Some(format!("how old apt's lists are can't be told: {error}")),
                ..Self::default()
            },
        }
    }

    pub fn of(lists: Lists, now: Timestamp) -> Self {
        let unknown = match lists {
            _ if lists.are_fresh(now) => None,
            Lists::Missing => Some("apt has no lists of packages".to_owned()),
            Lists::Expired { since } => Some(format!(
                "apt's lists are out of date: one was valid until {}",
                since.strftime("%Y-%m-%d")
            )),
            Lists::Of { .. } => Some(age(lists.days(now).unwrap_or_default())),
        };
        Self {
            fetched: match lists {
                Lists::Of { fetched } => Some(fetched),
                Lists::Missing | Lists::Expired { .. } => None,
            },
            age_days: lists.days(now),
            unknown,
        }
    }

    /// What is not known for that.
    pub fn unknown_text(&self) -> Option<String> {
        let why = self.unknown.as_ref()?;
        Some(format!("what is pending: {why} ({REFRESH})"))
    }

    /// Why it can't be told which upgrades are for security; none where it can.
    pub fn without_security(caches: &Caches) -> Option<String> {
        match says_any_security(caches) {
            Ok(true) => None,
            Ok(false) => Some(
                "which upgrades are for security: none of apt's sources says so of itself (`Label` and \
                 `Suite` of its Release file)"
                    .to_owned(),
            ),
            Err(error) => Some(format!("which upgrades are for security: {error}")),
        }
    }

    /// How old they are, where they tell what is pending.
    pub(super) fn write_age(&self, paper: &mut Paper<'_>) -> io::Result<()> {
        match (self.age_days, &self.unknown) {
            (Some(days), None) => paper.row(Role::Dim, "lists", &Text::new().plain(&age(days))),
            _ => Ok(()),
        }
    }
}

/// `apt's lists are 9 days old`.
fn age(days: i64) -> String {
    match usize::try_from(days).unwrap_or_default() {
        0 => "apt's lists are less than a day old".to_owned(),
        days => format!("apt's lists are {} old", plural(days, "day")),
    }
}
