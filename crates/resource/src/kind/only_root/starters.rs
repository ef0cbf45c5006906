//! Programs that start what their arguments name, and how each reads its arguments: which of its
//! options take a value, and what stands before the command.

/// What the value of an option, or an operand before the command, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Says nothing about what is started.
    Value,
    /// The same, where it begins with a digit; else it is the command already.
    Number,
    /// Who runs the command.
    Account,
    /// The root directory of the command.
    Root,
    /// Where the command begins.
    Directory,
    /// A line that a shell reads.
    Line,
    /// Words that stand before the operands.
    Words,
    /// A program that is started.
    Program,
    /// A file that the program itself runs; what follows are its arguments.
    Script,
    /// systemd-run(1): `NAME=VALUE` of a unit.
    Property,
    /// With it nothing is started, or nobody can tell from here what.
    Nothing,
}

use Means::{
    Account, Directory, Line, Nothing, Number, Program, Property, Root, Script, Value, Words,
};

/// How a program reads its arguments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Starter {
    pub names: &'static [&'static str],
    /// As getopt(3) has it: a `:` after an option that takes a value, `::` after one whose value
    /// is in the same word; with a `+` first, options end where the first operand stands.
    pub short: &'static str,
    /// Long options whose value may be the next word.
    pub long: &'static str,
    /// Options, short and long, that say something about what is started.
    pub means: &'static [(&'static str, Means)],
    /// What stands before the command.
    pub operands: &'static [Means],
}

/// The manual page of each says it; where versions differ, the newest knows all options.
const STARTERS: &[Starter] = &[
    // Their options, where they have any, take no values.
    Starter {
        names: &[
            "busybox",
            "chronic",
            "cronic",
            "eatmydata",
            "keep-one-running",
            "nocache",
            "nohup",
            "run-one",
            "run-one-constantly",
            "run-one-until-failure",
            "run-one-until-success",
            "run-this-one",
            "setsid",
            "unbuffer",
        ],
        short: "+",
        ..NONE
    },
    // The shell's own.
    Starter {
        names: &["command"],
        short: "+pvV",
        means: &[("v V", Nothing)],
        ..NONE
    },
    Starter {
        names: &["exec"],
        short: "+cla:",
        ..NONE
    },
    Starter {
        names: &["time"],
        short: "+apqvf:o:",
        long: "format output",
        ..NONE
    },
    // coreutils and findutils
    Starter {
        names: &["chroot"],
        short: "+",
        long: "groups userspec",
        means: &[("userspec", Account)],
        operands: &[Root],
    },
    Starter {
        names: &["env"],
        short: "+0iva:u:C:S:",
        long: "argv0 chdir split-string unset",
        means: &[("C chdir", Directory), ("S split-string", Words)],
        ..NONE
    },
    Starter {
        names: &["nice"],
        short: "+n:",
        long: "adjustment",
        ..NONE
    },
    Starter {
        names: &["stdbuf"],
        short: "+i:o:e:",
        long: "error input output",
        ..NONE
    },
    Starter {
        names: &["timeout"],
        short: "+fpvk:s:",
        long: "kill-after signal",
        operands: &[Value],
        ..NONE
    },
    Starter {
        names: &["xargs"],
        short: "+0oprtxa:d:E:e::I:i::L:l::n:P:s:",
        long: "arg-file delimiter max-args max-chars max-procs process-slot-var",
        ..NONE
    },
    // util-linux
    Starter {
        names: &["choom"],
        short: "+n:p:",
        long: "adjust pid",
        means: &[("p pid", Nothing)],
        ..NONE
    },
    Starter {
        names: &["chrt"],
        short: "+abdefimoprRvD:P:T:",
        long: "sched-deadline sched-period sched-runtime",
        means: &[("m max p pid", Nothing)],
        operands: &[Number],
    },
    Starter {
        names: &["flock"],
        short: "+eFnosuxE:w:",
        long: "conflict-exit-code length start timeout wait",
        operands: &[Value],
        ..NONE
    },
    Starter {
        names: &["ionice"],
        short: "+tc:n:p:P:u:",
        long: "class classdata pgid pid uid",
        means: &[("p P u pgid pid uid", Nothing)],
        ..NONE
    },
    Starter {
        names: &["nsenter"],
        short: "+aceFZC::G:i::m::n::N:p::r::S:t:T::u::U::w::W:",
        long: "net-socket setgid setuid target wdns",
        // The files are those of another process.
        means: &[
            ("a all m mount r root", Nothing),
            ("S setuid", Account),
            ("w wd W wdns", Directory),
        ],
        ..NONE
    },
    Starter {
        names: &["prlimit"],
        short: "+c::d::e::f::i::l::m::n::q::r::s::t::u::v::x::y::o:p:",
        long: "output pid",
        means: &[("p pid", Nothing)],
        ..NONE
    },
    Starter {
        names: &["runuser"],
        short: "flmpPTc:g:G:s:u:w:",
        long: "command group session-command shell supp-group user whitelist-environment",
        means: SU,
        operands: &[Account],
    },
    Starter {
        names: &["script"],
        short: "aefqB:c:E:I:m:o:O:t::T:",
        long: "command echo log-in log-io log-out log-timing logging-format output-limit",
        means: &[("c command", Line)],
        operands: &[Nothing],
    },
    Starter {
        names: &["setpriv"],
        short: "+d",
        long: "ambient-caps apparmor-profile bounding-set egid euid groups inh-caps \
               landlock-access landlock-rule pdeathsig ptracer regid reuid rgid ruid \
               seccomp-filter securebits selinux-label",
        means: &[("d dump", Nothing), ("euid reuid ruid", Account)],
        ..NONE
    },
    Starter {
        names: &["su"],
        short: "flmpPTc:g:G:s:w:",
        long: "command group session-command shell supp-group whitelist-environment",
        means: SU,
        operands: &[Account],
    },
    Starter {
        names: &["taskset"],
        short: "+acp",
        means: &[("p pid", Nothing)],
        operands: &[Value],
        ..NONE
    },
    Starter {
        names: &["unshare"],
        short: "+cfrC::G:i::l:m::n::p::R:S:T::u::U::w:",
        long: "boottime load-interp map-group map-groups map-user map-users monotonic \
               propagation root setgid setgroups setuid wd",
        means: &[("R root", Root), ("S setuid", Account), ("w wd", Directory)],
        ..NONE
    },
    // systemd
    Starter {
        names: &["systemd-cat"],
        short: "+p:t:",
        long: "identifier level-prefix namespace priority stderr-priority",
        ..NONE
    },
    Starter {
        names: &["systemd-inhibit"],
        short: "+",
        long: "mode what who why",
        means: &[("list", Nothing)],
        ..NONE
    },
    Starter {
        names: &["systemd-run"],
        short: "+dGPqrStE:H:M:p:u:C:",
        long: "background capsule description gid host job-mode json machine nice on-active \
               on-boot on-calendar on-startup on-unit-active on-unit-inactive path-property \
               property service-type setenv slice socket-property timer-property uid unit \
               working-directory",
        means: &[
            ("H host M machine C capsule", Nothing),
            ("p property", Property),
            ("uid", Account),
            ("working-directory", Directory),
        ],
        ..NONE
    },
    // Those that change the account.
    Starter {
        names: &["doas"],
        short: "+Lnsa:C:u:",
        means: &[("C L", Nothing), ("u", Account)],
        ..NONE
    },
    Starter {
        names: &["gosu", "setuidgid", "su-exec"],
        short: "+",
        operands: &[Account],
        ..NONE
    },
    Starter {
        names: &["pkexec"],
        short: "+",
        long: "user",
        means: &[("user", Account)],
        ..NONE
    },
    Starter {
        names: &["sudo"],
        short: "+AbBEeHiKklNnPSsvVa:C:c:D:g:h::p:R:r:t:T:u:U:",
        long: "auth-type chdir chroot close-from command-timeout group host login-class \
               other-user prompt role type user",
        means: &[
            ("e edit l list v validate V version", Nothing),
            ("D chdir", Directory),
            ("R chroot", Root),
            ("u user", Account),
        ],
        ..NONE
    },
    // Others.
    Starter {
        names: &["setlock", "with-lock-ex"],
        short: "+",
        operands: &[Value],
        ..NONE
    },
    Starter {
        names: &["start-stop-daemon"],
        short: "bCHKmoqStTvVa:c:d:g:I:k:n:N:O:p:P:r:R:s:u:x:",
        long: "chdir chroot chuid exec group iosched name nicelevel notify-timeout output pid \
               pidfile ppid procsched retry signal startas umask user",
        means: &[
            ("K stop t test T status", Nothing),
            ("a startas x exec", Program),
            ("c chuid", Account),
            ("d chdir", Directory),
            ("r chroot", Root),
        ],
        operands: &[Nothing],
    },
    // Programs that run a file that follows them, unless an option brings what is run.
    Starter {
        names: &[".", "source"],
        short: "+",
        operands: &[Script],
        ..NONE
    },
    Starter {
        names: &["expect", "lua", "tclsh"],
        short: "+c:e:l:f:",
        means: &[("c e", Nothing), ("f", Program)],
        operands: &[Script],
        ..NONE
    },
    Starter {
        names: &["node", "nodejs"],
        short: "+ce:ip:r:",
        long: "conditions eval import loader print require",
        means: &[("e eval p print", Nothing)],
        operands: &[Script],
    },
    Starter {
        names: &["perl"],
        short: "+0::acC::D::e:E:F::i::I:l::m::M::nps::StTuUvV::wWxX",
        means: &[("e E", Nothing)],
        operands: &[Script],
        ..NONE
    },
    Starter {
        names: &["php"],
        short: "+aB:c:Cd:E:f:F:hilmnqr:R:S:st:vwz:",
        long: "define file php-ini process-begin process-code process-end process-file run \
               server docroot zend-extension",
        means: &[
            (
                "B E r R S process-begin process-code process-end run server",
                Nothing,
            ),
            ("f file F process-file", Program),
        ],
        operands: &[Script],
    },
    Starter {
        names: &["pypy", "python"],
        short: "+bBc:dEhiIJm:OPqQ:RsStuvVW:xX:",
        long: "check-hash-based-pycs",
        means: &[("c m", Nothing)],
        operands: &[Script],
    },
    Starter {
        names: &["ruby"],
        short: "+0::aC:cdE:e:F::hi::I:K::lnpr:sSvwW::x::",
        long: "encoding external-encoding internal-encoding",
        means: &[("C", Directory), ("e", Nothing)],
        operands: &[Script],
    },
    // Of its directory run-parts(8) runs all.
    Starter {
        names: &["run-parts"],
        short: "a:du:v",
        long: "arg regex umask",
        means: &[("list test", Nothing)],
        ..NONE
    },
];

const NONE: Starter = Starter {
    names: &[],
    short: "",
    long: "",
    means: &[],
    operands: &[],
};

const SU: &[(&str, Means)] = &[
    ("c command session-command", Line),
    ("s shell", Program),
    ("u user", Account),
];

/// Shells, which read a line after `-c`, and else the file that follows. `-o` and `-O` name a
/// setting.
const SHELLS: Starter = Starter {
    names: &["ash", "bash", "dash", "ksh", "mksh", "rbash", "sh", "zsh"],
    short: "+o:O:",
    long: "init-file rcfile",
    means: &[("init-file rcfile", Program)],
    operands: &[],
};

impl Starter {
    /// The one of this name, which may end with a version: `python3.11`.
    pub fn of(name: &str) -> Option<&'static Self> {
        let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let of = |name: &str| STARTERS.iter().find(|one| one.names.contains(&name));
        of(name).or_else(|| of(bare).filter(|one| one.operands == [Script]))
    }

    /// Where the name is a shell's, how it reads its arguments.
    pub fn of_shell(name: &str) -> Option<&'static Self> {
        SHELLS.names.contains(&name).then_some(&SHELLS)
    }

    pub fn meaning(&self, option: &str) -> Means {
        let mut means = self.means.iter();
        let found = means.find(|(names, _)| names.split(' ').any(|name| name == option));
        found.map_or(Value, |(_, means)| *means)
    }

    /// Does a short option take a value: none, one in the same word, or also the next word?
    fn takes(&self, option: char) -> Takes {
        let mut after = self.short.chars().skip_while(|known| *known != option);
        after.next();
        match (after.next(), after.next()) {
            (Some(':'), Some(':')) => Takes::InTheWord,
            (Some(':'), _) => Takes::Value,
            _ => Takes::None,
        }
    }

    /// Divides arguments into options and operands as getopt_long(3) does. An option that is not
    /// known takes no value.
    pub fn read<'a>(&self, arguments: &'a [String]) -> Arguments<'a> {
        let mut read = Arguments::default();
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(word) = arguments.next() {
            if word == "--" {
                read.operands.extend(arguments.by_ref());
            } else if let Some(long) = word.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None if self.long.split_whitespace().any(|known| known == long) => {
                        (long, arguments.next())
                    }
                    None => (long, None),
                };
                read.options.push((name, value));
            } else if let Some(cluster) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                let mut letters = cluster.char_indices();
                while let Some((at, letter)) = letters.next() {
                    let name = &cluster[at..at + letter.len_utf8()];
                    let rest = letters.as_str();
                    let value = match self.takes(letter) {
                        Takes::None => None,
                        Takes::InTheWord => Some(rest),
                        Takes::Value if rest.is_empty() => arguments.next(),
                        Takes::Value => Some(rest),
                    };
                    read.options.push((name, value));
                    if self.takes(letter) != Takes::None {
                        break;
                    }
                }
            } else {
                read.operands.push(word);
                if self.short.starts_with('+') {
                    read.operands.extend(arguments.by_ref());
                }
            }
        }
        read
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    None,
    InTheWord,
    Value,
}

/// What a program is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments<'a> {
    /// By their names without dashes, with their values.
    pub options: Vec<(&'a str, Option<&'a str>)>,
    pub operands: Vec<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::{STARTERS, Starter};

    /// Options and operands, each option with its value.
    fn read(line: &str) -> (String, String) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let starter = Starter::of_shell(&words[0]).or_else(|| Starter::of(&words[0]));
        let read = starter.expect("it is known").read(&words[1..]);
        let options = read.options.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => (*name).to_owned(),
        });
        (
            options.collect::<Vec<_>>().join(" "),
            read.operands.join(" "),
        )
    }

    #[test]
    fn options_take_their_values() {
        let check = |line: &str, options: &str, operands: &str| {
            assert_eq!(
                read(line),
                (options.to_owned(), operands.to_owned()),
                "{line}"
            );
        };
        check("flock -nw 10 /l /x -v", "n w=10", "/l /x -v");
        check("flock --wait=10 /l /x", "wait=10", "/l /x");
        check(
            "timeout --signal KILL -k5 60 /x",
            "signal=KILL k=5",
            "60 /x",
        );
        check("nice -10 /x", "1 0", "/x");
        check("xargs -r0 -I {} -i /x {}", "r 0 I={} i=", "/x {}");
        check("env -i -u LANG A=1 /x", "i u=LANG", "A=1 /x");
        check("su - li -c x -s /bin/sh", "c=x s=/bin/sh", "- li");
        check("sudo -nu li -- /x -y", "n u=li", "/x -y");
        check("perl -Mstrict -we 1 /x", "M=strict w e=1", "/x");
        check("python3.11 -W ignore -u /x", "W=ignore u", "/x");
        check("sh -euo pipefail -c x", "e u o=pipefail c", "x");
        check("unshare -m -R /r /x", "m= R=/r", "/x");
        check(
            "systemd-run --on-calendar daily -p A=b --scope /x",
            "on-calendar=daily p=A=b scope",
            "/x",
        );
    }

    /// What an option means is said of options that the program has, and of values that it takes.
    #[test]
    fn the_table_agrees_with_itself() {
        use super::{Means, Takes};
        for starter in STARTERS {
            let long: Vec<&str> = starter.long.split_whitespace().collect();
            for (names, means) in starter.means {
                for name in names.split(' ') {
                    let letter = name.chars().next().filter(|_| name.len() == 1);
                    let takes = match letter {
                        Some(letter) => starter.takes(letter) != Takes::None,
                        None => long.contains(&name),
                    };
                    let is_so = takes || *means == Means::Nothing || name == "wd";
                    let is_of_su = starter.names == ["su"] && ["u", "user"].contains(&name);
                    assert!(is_so || is_of_su, "{:?}: {name}", starter.names);
                }
            }
        }
    }
}
