//! Data that a patch may change and no undo brings back: what services keep. A patch that
//! touches such a service wants a backup whose restore was proven, or somebody's word.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::count::plural;
use model::patching::DataBackup;
use model::{HostPath, PackageUpgrade};

/// Packages whose services keep data that their own scripts or their next start may convert.
const STATEFUL: [&str; 27] = [
    "cassandra",
    "clickhouse-server*",
    "couchdb",
    "cyrus-imapd",
    "dovecot-core",
    "elasticsearch",
    "etcd-server",
    "gitea",
    "gitlab-*e",
    "grafana*",
    "influxdb*",
    "mariadb-server*",
    "mongodb*-server*",
    "mysql-server*",
    "nextcloud*",
    "openldap-server",
    "opensearch",
    "postgresql-?",
    "postgresql-??",
    "prometheus",
    "rabbitmq-server",
    "redis-server",
    "samba",
    "samba-ad-dc",
    "slapd",
    "valkey-server",
    "zookeeperd",
];

/// Data of one package that a patch touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    pub package: String,
    pub state: DataState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataState {
    /// Its backup was restored, and that was proven, within the time that the policy gives.
    Proven { on: Timestamp },
    /// Why nobody can say that it comes back.
    AtRisk { why: String },
}

impl Data {
    pub fn is_at_risk(&self) -> bool {
        matches!(self.state, DataState::AtRisk { .. })
    }
}

/// When the proof of a restore was written; why it is none.
pub type Proof<'a> = &'a dyn Fn(&HostPath) -> Result<Timestamp, String>;

/// The data that these packages keep.
pub fn data(
    packages: &[PackageUpgrade],
    backups: &[DataBackup],
    proof: Proof<'_>,
    now: Timestamp,
) -> Vec<Data> {
    packages
        .iter()
        // What is new has nothing yet.
        .filter(|package| package.from.is_some())
        .filter_map(|package| {
            let name = package.bare_name();
            let matches = |pattern: &String| model::waiver::matches(pattern, name);
            let backup = backups
                .iter()
                .find(|backup| backup.packages.iter().any(matches));
            let is_stateful = STATEFUL
                .iter()
                .any(|pattern| model::waiver::matches(pattern, name));
            let state = match backup {
                Some(backup) => judge(backup, proof, now),
                None if is_stateful => DataState::AtRisk {
                    why: "no backup is declared whose restore was proven".to_owned(),
                },
                None => return None,
            };
            Some(Data {
                package: name.to_owned(),
                state,
            })
        })
        .collect()
}

fn judge(backup: &DataBackup, proof: Proof<'_>, now: Timestamp) -> DataState {
    let on = match proof(&backup.restored) {
        Ok(on) => on,
        Err(why) => {
            let why = format!("`{}`, the proof of a restore, {why}", backup.restored);
            return DataState::AtRisk { why };
        }
    };
    let within = SignedDuration::from_hours(24 * i64::from(backup.within_days));
    let day = TimeZone::UTC.to_datetime(on).date();
    match now.duration_since(on) {
        // A file from the future proves nothing.
        age if age.is_negative() => DataState::AtRisk {
            why: format!("`{}` is dated {day}, which is to come", backup.restored),
        },
        age if age <= within => DataState::Proven { on },
        _ => DataState::AtRisk {
            why: format!(
                "its restore was last proven on {day}, more than {} ago",
                plural(usize::from(backup.within_days), "day")
            ),
        },
    }
}
