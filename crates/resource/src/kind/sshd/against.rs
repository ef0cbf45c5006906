//! Two wants that can't both hold: an option of sshd, and a file whose `Match` block gives it another
//! value. Told from the policy alone, before any host is asked.

use model::HostPath;

use super::{Sshd, in_sshds_words, words};
use crate::Resource;

/// What a file that a policy writes says against an `sshd` want, in words: the criteria and the
/// line of the block, and the value. None where they agree.
pub fn contradiction(want: &Sshd, other: &Resource) -> Option<String> {
    let value = in_sshds_words(want.value.as_ref()?);
    let option = words::option_name(&want.option);
    let (path, content) = match other {
        Resource::File(file) => (&file.path, file.content.as_deref()?),
        Resource::Template(template) => (&template.path, template.rendered.as_deref()?),
        _ => return None,
    };
    let is_read = path.as_bytes() == b"/etc/ssh/sshd_config"
        || path.is_within(&HostPath::literal("/etc/ssh/sshd_config.d"));
    if !is_read {
        return None;
    }
    let mut criteria: Option<&str> = None;
    for (number, line) in (1..).zip(content.lines()) {
        let line = line.trim();
        let (name, rest) = line
            .split_once(|c: char| c.is_whitespace() || c == '=')
            .unwrap_or((line, ""));
        let rest = rest
            .trim_start_matches(|c: char| c.is_whitespace() || c == '=')
            .trim();
        if name.eq_ignore_ascii_case("match") {
            criteria = Some(rest);
        } else if let Some(criteria) = criteria
            && words::option_name(name) == option
            && !value.holds_ignoring_case(rest.trim_matches('"'))
        {
            return Some(format!(
                "`Match {}` in {path} gives `{}` on line {number}",
                model::printable(criteria.as_bytes()),
                model::printable(rest.as_bytes())
            ));
        }
    }
    None
}
