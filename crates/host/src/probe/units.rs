//! One systemd unit: asked of the manager over D-Bus where one runs, otherwise read from
//! its files, and then whether it runs is not known.

use std::sync::Arc;

use model::Value;
use model::value::Reason;

use crate::local::Inner;
use crate::probe::bus::{self, Bus};
use crate::probe::unit_files::unit_name;
use crate::tree::Trouble;

pub fn unit(host: &Arc<Inner>, name: &str) -> Result<Value, Trouble> {
    // "The maximum length is 255 characters" and a set of characters (systemd.unit(5)).
    let plausible = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let name = unit_name(name);
    if name.len() > 255 || !name.bytes().all(plausible) {
        return Err(Reason::Malformed {
            why: format!("`{}` is not a unit name", model::printable(name.as_bytes())),
        }
        .into());
    }
    if has_manager(host) {
        match host.bus.get_or_init(Bus::start).unit(&name) {
            bus::Answer::Seen(Some(seen)) => return Ok(Value::Unit(seen)),
            bus::Answer::Seen(None) => return Err(Trouble::Absent),
            bus::Answer::Trouble(reason) => return Err(reason.into()),
            bus::Answer::NoBus => {}
        }
    }
    let units = host.unit_files();
    match (units.seen(host, &name)?, &units.trouble) {
        (Some(seen), _) => Ok(Value::Unit(seen)),
        (None, Some(trouble)) => Err(trouble.clone()),
        (None, None) => Err(Trouble::Absent),
    }
}

/// "Checks if the system was booted with systemd" (sd_booted(3)).
pub fn has_manager(host: &Arc<Inner>) -> bool {
    host.tree.is_live()
        && host
            .tree
            .exists(&model::HostPath::literal("/run/systemd/system"))
}
