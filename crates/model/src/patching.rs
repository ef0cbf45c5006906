//! What a policy says of patches: checks of its own, and the backups of data.

use serde::{Deserialize, Serialize};

use crate::HostPath;

/// Below these, programs and people keep what is theirs. Logs and caches are not data.
pub const DATA_TOPS: [&str; 8] = [
    "/home",
    "/opt",
    "/srv",
    "/var/lib",
    "/var/mail",
    "/var/opt",
    "/var/spool",
    "/var/www",
];

/// Where services keep their data: in no write set, since it changes all the time, and putting a
/// part of it back would damage the rest.
pub const DATA_PLACES: [&str; 31] = [
    "/var/lib/cassandra",
    "/var/lib/clickhouse",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/couchdb",
    "/var/lib/docker",
    "/var/lib/elasticsearch",
    "/var/lib/etcd",
    "/var/lib/gitea",
    "/var/lib/grafana",
    "/var/lib/influxdb",
    "/var/lib/ldap",
    "/var/lib/libvirt/images",
    "/var/lib/mongodb",
    "/var/lib/mysql",
    "/var/lib/nextcloud",
    "/var/lib/opensearch",
    "/var/lib/postgresql",
    "/var/lib/prometheus",
    "/var/lib/rabbitmq",
    "/var/lib/redis",
    "/var/lib/samba",
    "/var/lib/slapd",
    "/var/lib/valkey",
    "/var/lib/zookeeper",
    "/var/mail",
    "/var/opt/gitlab",
    "/var/spool/cyrus",
    "/var/spool/mail",
    "/var/spool/postfix",
    "/var/vmail",
];

/// `patches.yaml` of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchPolicy {
    pub checks: Vec<SmokeCheck>,
    pub data: Vec<DataBackup>,
    /// Of the questions that packages ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<DebconfAnswer>,
}

/// The answer to a question of a package (debconf-set-selections(1)). No secret: it is kept in plans and
/// in the journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DebconfAnswer {
    /// The package that asks, without its architecture.
    pub package: String,
    /// `postfix/main_mailer_type`.
    pub question: String,
    /// debconf's: `string`, `boolean`, `select`, `multiselect`.
    pub kind: String,
    pub value: String,
}

impl DebconfAnswer {
    /// A line as debconf-set-selections reads it.
    pub fn line(&self) -> String {
        format!(
            "{} {} {} {}\n",
            self.package, self.question, self.kind, self.value
        )
    }
}

/// A program that passes on a host that is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeCheck {
    /// The first is a program's absolute path.
    pub argv: Vec<String>,
    pub limit_seconds: u64,
}

/// A backup of what a service keeps, with the proof that it can be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataBackup {
    /// Names or patterns of the packages whose services keep it.
    pub packages: Vec<String>,
    /// Where they keep it, beside the places that are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<HostPath>,
    /// A file of root's that whoever tests the restore writes when it succeeded.
    pub restored: HostPath,
    /// How many days a restore proves.
    pub within_days: u16,
}
