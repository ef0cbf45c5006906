//! The grammar of system crontabs, `/etc/crontab` and `/etc/cron.d` (crontab(5)): cron has no
//! program that checks one, and skips a whole file where it can't read a line.

/// What cron would not take, with its line.
///
/// # Errors
/// The first mistake. `is_account` says whether there is such an account.
pub fn check(text: &str, is_account: &dyn Fn(&str) -> bool) -> Result<(), (usize, String)> {
    let mut count = 0;
    for (number, line) in (1..).zip(text.lines()) {
        count = number;
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') || is_setting(line) {
            continue;
        }
        entry(line, is_account).map_err(|why| (number, why))?;
    }
    match text.is_empty() || text.ends_with('\n') {
        true => Ok(()),
        // "cron requires that each entry in a crontab end in a newline character" (crontab(5)).
        false => Err((
            count,
            "the last line has no newline, and cron skips the file".to_owned(),
        )),
    }
}

/// `NAME = value`; an entry has no `=` in its first word, or white space before one.
fn is_setting(line: &str) -> bool {
    let Some((name, _)) = line.split_once('=') else {
        return false;
    };
    let name = name.trim().trim_matches(['"', '\'']);
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

const WORDS: [&str; 8] = [
    "@reboot",
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

fn entry(line: &str, is_account: &dyn Fn(&str) -> bool) -> Result<(), String> {
    let mut rest = line;
    let mut next = |what: &str| {
        let text = rest.trim_start();
        let (word, after) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        rest = after;
        match word.is_empty() {
            true => Err(format!("there is no {what}")),
            false => Ok(word),
        }
    };
    let first = next("minute")?;
    if first.starts_with('@') {
        if !WORDS.contains(&first) {
            return Err(format!("`{}` is no time", shown(first)));
        }
    } else {
        field(first, &FIELDS[0])?;
        for of in &FIELDS[1..] {
            field(next(of.name)?, of)?;
        }
    }
    let account = next("account")?;
    // FreeBSD's login class; Debian's cron takes the name alone.
    if !is_account(account) {
        return Err(format!("there is no account `{}`", shown(account)));
    }
    match rest.trim().is_empty() {
        true => Err("there is no command".to_owned()),
        false => Ok(()),
    }
}

struct Field {
    name: &'static str,
    from: u32,
    to: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        from: 0,
        to: 59,
        names: &[],
    },
    Field {
        name: "hour",
        from: 0,
        to: 23,
        names: &[],
    },
    Field {
        name: "day of the month",
        from: 1,
        to: 31,
        names: &[],
    },
    Field {
        name: "month",
        from: 1,
        to: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of the week",
        from: 0,
        to: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// A list of numbers, names, ranges and steps.
fn field(text: &str, of: &Field) -> Result<(), String> {
    let wrong = || format!("`{}` is no {}", shown(text), of.name);
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        if let Some(step) = step
            && !step
                .parse()
                .is_ok_and(|step: u32| (1..=of.to).contains(&step))
        {
            return Err(wrong());
        }
        if range == "*" {
            continue;
        }
        let ends: Vec<u32> = range
            .splitn(2, '-')
            .map(|end| number(end, of))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        if let [from, to] = ends[..]
            && from > to
        {
            return Err(wrong());
        }
    }
    Ok(())
}

fn number(text: &str, of: &Field) -> Option<u32> {
    let named = of
        .names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    let number = match named {
        Some(place) => u32::try_from(place).ok()? + of.from,
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
        None => return None,
    };
    (of.from..=of.to).contains(&number).then_some(number)
}

fn shown(text: &str) -> String {
    model::printable(text.as_bytes())
}
