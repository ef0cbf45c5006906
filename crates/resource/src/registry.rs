//! The one place where a kind is registered.

use model::plan::Risk;
use model::{HostPath, Probe, ResourceKey};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kind::accounts_where::AccountsWhere;
use crate::kind::admin_login::AdminLogin;
use crate::kind::apt_setting::AptSetting;
use crate::kind::apt_source::AptSource;
use crate::kind::apt_sources::AptSources;
use crate::kind::audit_rule::AuditRule;
use crate::kind::authorized_key::AuthorizedKey;
use crate::kind::command::Command;
use crate::kind::directory::Directory;
use crate::kind::file::File;
use crate::kind::files_where::FilesWhere;
use crate::kind::group::Group;
use crate::kind::ini::Ini;
use crate::kind::kernel_module::KernelModule;
use crate::kind::key_value::KeyValue;
use crate::kind::link::Link;
use crate::kind::login_setting::LoginSetting;
use crate::kind::mount_option::MountOption;
use crate::kind::mount_point::MountPoint;
use crate::kind::name_list::NameList;
use crate::kind::only_root::OnlyRoot;
use crate::kind::package::Package;
use crate::kind::pam::Pam;
use crate::kind::password_accepted::PasswordAccepted;
use crate::kind::resource_limit::ResourceLimit;
use crate::kind::rsyslog::RsyslogFiles;
use crate::kind::service::Service;
use crate::kind::sshd::Sshd;
use crate::kind::sudo_defaults::SudoDefaults;
use crate::kind::sudo_limit::SudoLimit;
use crate::kind::sudo_rule::SudoRule;
use crate::kind::sysctl::Sysctl;
use crate::kind::template::Template;
use crate::kind::timer::Timer;
use crate::kind::unattended_upgrades::UnattendedUpgrades;
use crate::kind::unit_option::UnitOption;
use crate::kind::user::User;
use crate::{Answers, Judgement, Kind, Phase, parents};

macro_rules! kinds {
    ($($variant:ident($type:ty)),* $(,)?) => {
        /// A declared resource of any kind, as it stands in a `want:` list: `{sysctl: {…}}`.
        #[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Resource {
            $($variant($type),)*
        }

        impl Resource {
            /// The names of all kinds, as written in a policy.
            pub const KINDS: &'static [&'static str] = &[$(<$type as Kind>::NAME,)*];

            pub fn key(&self) -> ResourceKey {
                match self { $(Self::$variant(kind) => kind.key(),)* }
            }

            pub fn probes(&self, seen: &Answers) -> Vec<Probe> {
                let mut probes = match self { $(Self::$variant(kind) => kind.probes(seen),)* };
                probes.extend(self.makes().into_iter().flat_map(|path| parents::probes(path, seen)));
                probes
            }

            pub fn makes(&self) -> Option<&HostPath> {
                match self { $(Self::$variant(kind) => kind.makes(),)* }
            }

            /// Is it about a place that its policy names?
            pub fn is_of_a_file(&self) -> bool {
                match self {
                    Self::File(_) | Self::Directory(_) | Self::Link(_) => true,
                    _ => self.makes().is_some(),
                }
            }

            pub fn judge(&self, seen: &Answers) -> Judgement {
                match self { $(Self::$variant(kind) => kind.judge(seen),)* }
            }

            pub fn is_secret(&self) -> bool {
                match self { $(Self::$variant(kind) => kind.is_secret(),)* }
            }

            pub fn risk(&self) -> Risk {
                match self { $(Self::$variant(kind) => kind.risk(),)* }
            }

            pub fn risk_why(&self) -> Option<&'static str> {
                match self { $(Self::$variant(kind) => kind.risk_why(),)* }
            }

            pub fn phase(&self) -> Phase {
                match self { $(Self::$variant(_) => <$type as Kind>::PHASE,)* }
            }

            pub fn check(&self) -> Result<(), String> {
                match self { $(Self::$variant(kind) => kind.check(),)* }
            }
        }
    };
}

kinds! {
    AptSetting(AptSetting),
    AptSource(AptSource),
    AptSources(AptSources),
    AuditRule(AuditRule),
    FilesWhere(FilesWhere),
    AccountsWhere(AccountsWhere),
    AdminLogin(AdminLogin),
    AuthorizedKey(AuthorizedKey),
    LoginSetting(LoginSetting),
    Pam(Pam),
    Group(Group),
    Sshd(Sshd),
    SudoDefaults(SudoDefaults),
    SudoLimit(SudoLimit),
    SudoRule(SudoRule),
    Sysctl(Sysctl),
    Command(Command),
    Directory(Directory),
    File(File),
    Ini(Ini),
    KernelModule(KernelModule),
    KeyValue(KeyValue),
    Link(Link),
    MountOption(MountOption),
    MountPoint(MountPoint),
    NameList(NameList),
    OnlyRoot(OnlyRoot),
    Package(Package),
    PasswordAccepted(PasswordAccepted),
    ResourceLimit(ResourceLimit),
    RsyslogFiles(RsyslogFiles),
    Service(Service),
    Template(Template),
    Timer(Timer),
    UnattendedUpgrades(UnattendedUpgrades),
    UnitOption(UnitOption),
    User(User),
}
