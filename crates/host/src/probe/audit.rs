//! The audit rules that the kernel has loaded.

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
    Ok(Value::AuditRules(
        output
            .stdout
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && *line != "No rules")
            .map(str::to_owned)
            .collect(),
    ))
}
