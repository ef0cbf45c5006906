//! The audit rules that the kernel has loaded, and whether they are off or locked.

use std::sync::Arc;

use model::Value;
use model::value::Reason;

use crate::local::Inner;
use crate::tool;
use crate::tree::Trouble;

pub fn rules(host: &Arc<Inner>) -> Result<Value, Trouble> {
    host.refuse_offline()?;
    let output = tool::audit_rules(host)?;
    if output.status != Some(0) {
        let first = output.stderr.lines().find(|line| !line.trim().is_empty());
        return Err(Reason::Failed {
            why: format!(
                "auditctl failed: {}",
                first.unwrap_or("it did not say why").trim()
            ),
        }
        .into());
    }
    let mut rules: Vec<String> = output
        .stdout
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && *line != "No rules")
        .map(str::to_owned)
        .collect();
    // Whether these rules are in force, and may be changed, stands apart from them: 0 is off,
    // and 2 is locked until the next boot (auditctl(8), -e).
    let status = tool::audit_status(host)?;
    let level = status
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("enabled "))
        .map(str::trim);
    if let Some(level @ ("0" | "2")) = level {
        rules.push(format!("-e {level}"));
    }
    Ok(Value::AuditRules(rules))
}
