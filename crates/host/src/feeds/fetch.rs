//! Fetches a feed from its address, with a program of the host: apt's own fetcher, or curl.
//!
//! Steadfast has no TLS of its own here. The program talks to strangers, so it is no root's: it
//! runs as apt's sandbox user with no way to more rights, in a folder of its own, with limits on
//! time and size. What it leaves there is opened without following a link, and read like any
//! file that somebody hands in.

use model::count::size;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};

use super::FeedError;
use crate::act::names::Names;
use crate::act::place::Root;
use crate::act::program::Program;
use crate::state;

const APT_HELPER: &str = "/usr/lib/apt/apt-helper";
const CURL: &str = "/usr/bin/curl";
/// "nobody" and "nogroup" wherever there are accounts: the kernel's overflow ids.
const NOBODY: (u32, u32) = (65534, 65534);
/// Longer ones are no addresses of feeds.
const URL_BYTES: usize = 2048;
/// What a program says of its failure, for a person.
const SAID_BYTES: usize = 300;
const TARGET: &str = "feed";

/// How much a fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    pub size_bytes: u64,
}

impl Default for Limits {
    /// All of OSV, packed, is about a gigabyte, and takes a slow line a quarter of an hour.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(15 * 60),
            size_bytes: 2 << 30,
        }
    }
}

/// Where a feed is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    url: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Https,
    /// With its host, when that is this machine.
    Http(Option<String>),
    File(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Address {
    /// Reads an address: `https:`, an absolute `file:`, or, where a person accepts what that
    /// means, `http:`. To this machine itself, `http:` is as good as any.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(url: &str, insecure_http: bool) -> Result<Self, FeedError> {
        let bad = |why| FeedError::BadAddress {
            url: url.to_owned(),
            why,
        };
        if url.len() > URL_BYTES {
            return Err(bad("it is too long"));
        }
        // RFC 3986, section 2: what else there is has to be percent-encoded.
        let fits =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?@!$&()*+,;=%[]".contains(&byte);
        if !url.bytes().all(fits) {
            return Err(bad("it holds what an address can't (percent-encode it)"));
        }
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| bad("it has no scheme, as https:// is one"))?;
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let place = match scheme {
            "file" if authority.is_empty() && !rest.contains(['%', '?']) => {
                Place::File(PathBuf::from(rest))
            }
            "file" => return Err(bad("a file: address is file:///PATH, without escapes")),
            "https" | "http" => {
                if authority.contains('@') {
                    // It would stand in the list of processes and in every message.
                    return Err(bad("it holds a user's name or password"));
                }
                let host = host_of(authority).ok_or_else(|| bad("it names no host"))?;
                match (scheme, is_loopback(host)) {
                    ("https", _) => Place::Https,
                    (_, true) => Place::Http(Some(host.to_owned())),
                    (_, false) if insecure_http => Place::Http(None),
                    _ => return Err(bad("over http: anybody on the way can change what comes")),
                }
            }
            _ => return Err(bad("only https:, http: and file: are fetched")),
        };
        Ok(Self {
            url: url.to_owned(),
            place,
        })
    }
}

/// `example.org`, `[::1]`: without a port, which is a number.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            authority.split_at(end)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_fits = match port.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    (!host.is_empty() && port_fits).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    host == "localhost"
        || inner
            .unwrap_or(host)
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The program that fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetcher {
    /// apt's: it knows the proxies that the host's administrator set for apt.
    AptHelper,
    Curl,
}

impl Fetcher {
    /// The first that is on this host.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Self, FeedError> {
        [Self::AptHelper, Self::Curl]
            .into_iter()
            .find(|fetcher| fetcher.path().is_file())
            .ok_or_else(|| FeedError::NoFetcher(format!("neither {APT_HELPER} nor {CURL}")))
    }

    pub fn path(self) -> &'static Path {
        Path::new(match self {
            Self::AptHelper => APT_HELPER,
            Self::Curl => CURL,
        })
    }

    /// Checked here again, whatever the program's own configuration says: certificates, no way
    /// from https to http, no second try behind our back.
    fn arguments(self, address: &Address, target: &Path, limits: Limits) -> Vec<String> {
        let seconds = limits.time.as_secs().max(1);
        let target = target.display().to_string();
        match self {
            Self::AptHelper => {
                let mut arguments = vec![
                    "-q".to_owned(),
                    "-oAcquire::Retries=0".to_owned(),
                    format!("-oAcquire::http::Timeout={seconds}"),
                    format!("-oAcquire::https::Timeout={seconds}"),
                    "-oAcquire::https::Verify-Peer=true".to_owned(),
                    "-oAcquire::https::Verify-Host=true".to_owned(),
                ];
                match &address.place {
                    // It refuses to go from https to http itself; this leaves it no way.
                    Place::Https => arguments.push("-oDir::Bin::Methods::http=false".to_owned()),
                    // A proxy has another idea of what this machine is.
                    Place::Http(Some(host)) => {
                        arguments.push(format!("-oAcquire::http::Proxy::{host}=DIRECT"));
                    }
                    Place::Http(None) | Place::File(_) => {}
                }
                arguments.extend(["download-file".to_owned(), address.url.clone(), target]);
                arguments
            }
            Self::Curl => {
                let allowed = match address.place {
                    Place::Https => "=https",
                    _ => "=http,https",
                };
                // `--disable` has to come first: nobody's .curlrc.
                let mut arguments = vec!["--disable".to_owned()];
                arguments.extend(
                    ["--proto", allowed, "--proto-redir", allowed, "--globoff"].map(str::to_owned),
                );
                arguments.extend(
                    ["--fail", "--silent", "--show-error", "--location"].map(str::to_owned),
                );
                arguments.extend(["--max-redirs", "5", "--max-time"].map(str::to_owned));
                arguments.push(seconds.to_string());
                arguments.push("--max-filesize".to_owned());
                arguments.push(limits.size_bytes.to_string());
                if matches!(address.place, Place::Http(Some(_))) {
                    arguments.extend(["--noproxy", "*"].map(str::to_owned));
                }
                arguments.extend(["--output".to_owned(), target]);
                arguments.extend(["--url".to_owned(), address.url.clone()]);
                arguments
            }
        }
    }
}

/// What a fetch gives.
pub(super) enum Fetched {
    /// On this host anyway.
    Here(PathBuf),
    /// In the file that was handed in.
    Copied,
}

/// Fetches into `into`, which nobody else can write.
pub(super) fn fetch(
    address: &Address,
    fetcher: Option<Fetcher>,
    limits: Limits,
    into: &mut File,
) -> Result<Fetched, FeedError> {
    if let Place::File(path) = &address.place {
        return Ok(Fetched::Here(path.clone()));
    }
    let failed = |why: String| FeedError::Fetch {
        url: address.url.clone(),
        why,
    };
    let fetcher = match fetcher {
        Some(fetcher) => fetcher,
        None => Fetcher::find()?,
    };
    let user = match rustix::process::geteuid().is_root() {
        true => Some(sandbox_user().map_err(&failed)?),
        false => None,
    };
    let room = Room::make(user).map_err(|error| failed(format!("no folder for it: {error}")))?;
    let target = room.path.join(TARGET);
    let ended = Program::at(fetcher.path())
        .args(fetcher.arguments(address, &target, limits))
        // One byte more than is taken tells too much from enough.
        .confined(user, limits.size_bytes + 1)
        .directory(&room.path)
        .limit(limits.time)
        .run()
        .map_err(|error| failed(error.to_string()))?;
    let too_large = || failed(format!("it is larger than {}", size(limits.size_bytes)));
    if !ended.succeeded() {
        let over = |name: &str| {
            room.size_bytes(name)
                .is_some_and(|size| size > limits.size_bytes)
        };
        if over(TARGET) {
            return Err(too_large());
        }
        return Err(failed(said(&ended.said(), &address.url)));
    }
    let fetched = room
        .open(user)
        .map_err(|error| failed(format!("what came can't be read: {error}")))?;
    let copied = io::copy(&mut fetched.take(limits.size_bytes + 1), into)
        .map_err(|error| failed(format!("what came can't be copied: {error}")))?;
    match copied > limits.size_bytes {
        true => Err(too_large()),
        false => Ok(Fetched::Copied),
    }
}

/// apt's sandbox user; where there is no apt, nobody.
fn sandbox_user() -> Result<(u32, u32), String> {
    let names = Root::live()
        .and_then(|root| Names::read(&root))
        .map_err(|error| error.to_string())?;
    Ok((names.uid("_apt").unwrap_or(NOBODY.0), NOBODY.1))
}

/// The first thing that a program complains about, bounded, and without what we say ourselves.
fn said(text: &str, url: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let complaint = lines().find_map(|line| line.strip_prefix("E: "));
    let line = complaint.or_else(|| lines().next()).unwrap_or_default();
    let line = line
        .strip_prefix("Failed to fetch ")
        .and_then(|line| line.strip_prefix(url))
        .map_or(line, str::trim_start);
    let mut end = line.len().min(SAID_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].to_owned()
}

/// A folder that belongs to whoever fetches, and goes in the end.
struct Room {
    path: PathBuf,
    folder: rustix::fd::OwnedFd,
}

impl Room {
    fn make(user: Option<(u32, u32)>) -> io::Result<Self> {
        // On a disk: feeds are large, and `/tmp` may lie in memory.
        let places = [Path::new("/var/tmp"), Path::new("/tmp")];
        let place = places
            .into_iter()
            .find(|place| is_safe(place))
            .ok_or_else(|| io::Error::other("neither /var/tmp nor /tmp is root's, and sticky"))?;
        let mut random = [0; 16];
        state::random(&mut random)?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = place.join(format!("steadfast-fetch-{name}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, &path, flags, Mode::empty())?;
        let room = Self { path, folder };
        if let Some((user, group)) = user {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            rustix::fs::fchown(&room.folder, Some(user), Some(group))?;
        }
        Ok(room)
    }

    fn size_bytes(&self, name: &str) -> Option<u64> {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(&self.folder, name, flags).ok()?;
        u64::try_from(stat.st_size).ok()
    }

    /// What was fetched: a file that whoever fetched it wrote, and no other name of one of
    /// somebody else's.
    fn open(&self, user: Option<(u32, u32)>) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(
            &self.folder,
            TARGET,
            flags,
            Mode::empty(),
        )?);
        let metadata = file.metadata()?;
        let owner = user.map_or_else(|| rustix::process::geteuid().as_raw(), |(user, _)| user);
        match metadata.is_file() && metadata.nlink() == 1 && metadata.uid() == owner {
            true => Ok(file),
            false => Err(io::Error::other("it is not a file of whoever fetched it")),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What stays is a stranger's file in a folder for such; systemd-tmpfiles cleans it.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Nobody but root can give another folder our folder's name.
fn is_safe(place: &Path) -> bool {
    place.symlink_metadata().is_ok_and(|metadata| {
        let mode = metadata.mode();
        metadata.is_dir() && metadata.uid() == 0 && (mode & 0o022 == 0 || mode & 0o1000 != 0)
    })
}
