//! Configuration, and its parser for URLs.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use ringhold_access::UrlReader;
use ringhold_core::{Clock, Error, ErrorKind, FleetName, Limits, Result};
use url::Url;

use super::time::{SteadyClock, WallClock, time_of_day};

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EmbeddedDurability {
    /// Once it is on the disk.
    #[default]
    Durable,
    /// At once. A kill may cost the newest writes, those that were acknowledged in the last
    /// [`EmbeddedDurability::FAST_WINDOW`] in which any were.
    Fast,
}

impl EmbeddedDurability {
    /// How much a kill may cost with [`Fast`](Self::Fast): the writes of the last 100 ms. They are brought to
    /// the disk 25 ms after the first of them, and while that lasts nothing is acknowledged, so a slow disk makes
    /// writers wait and the loss no larger. The rest is for the requests that are under way by then.
    pub const FAST_WINDOW: Duration = Duration::from_millis(100);

    /// When what was written is brought to the disk at the latest.
    pub(super) fn sync_within(self) -> Duration {
        match self {
            Self::Durable => Duration::ZERO,
            Self::Fast => Self::FAST_WINDOW / 4,
        }
    }
}

/// The settings of an embedded backend.
///
/// | URL | |
/// |---|---|
/// | `SCHEME:///var/lib/arena` | an absolute path |
/// | `SCHEME:arena` | a path from the working directory on |
///
/// Whatever a URL gives a meaning of its own (`%`, `#`, `?`, `@`) is written as `%25`, `%23`, `%3F`, `%40`.
///
/// | parameter | is | unless given |
/// |---|---|---|
/// | `fleet` | the fleet's name; several fleets can be in one place | `default` |
/// | `durability` | `durable`, or `fast`: see [`EmbeddedDurability`] | `durable` |
/// | `data_bytes_max` | the most bytes of data of one session, at most 1 MiB | 65,536 |
#[derive(Clone)]
#[must_use = "it opens nothing by itself"]
pub struct EmbeddedConfig {
    pub(super) path: PathBuf,
    pub(super) fleet: FleetName,
    pub(super) limits: Limits,
    pub(super) durability: EmbeddedDurability,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) wall: WallClock,
}

const CONFIG: &str = "embedded url";

impl EmbeddedConfig {
    /// The fleet `fleet` in the file or folder `path`, with default settings.
    pub fn new(path: impl Into<PathBuf>, fleet: FleetName) -> Self {
        Self {
            path: path.into(),
            fleet,
            limits: Limits::default(),
            durability: EmbeddedDurability::default(),
            clock: Arc::new(SteadyClock::new()),
            wall: Arc::new(time_of_day),
        }
    }

    /// Reads a URL of the scheme `scheme`.
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, a path that is missing, could be read in two ways or has an `@`, and
    /// a parameter that is unknown, duplicate or out of range.
    pub fn from_url(scheme: &str, url: &Url) -> Result<Self> {
        let reader = UrlReader::new(CONFIG, url)?;
        if url.scheme() != scheme {
            return Err(bad(format!("the scheme is not {scheme}")));
        }
        let mut config = Self::new(path(scheme, url)?, FleetName::new("default")?);
        for (key, value) in reader.parameters(&[])? {
            config.set(&reader, &key, &value)?;
        }
        Ok(config)
    }

    fn set(&mut self, reader: &UrlReader<'_>, key: &str, value: &str) -> Result<()> {
        match (key, value) {
            ("fleet", _) => self.fleet = FleetName::new(value)?,
            ("durability", "durable") => self.durability = EmbeddedDurability::Durable,
            ("durability", "fast") => self.durability = EmbeddedDurability::Fast,
            ("durability", _) => {
                return Err(bad(format!("durability={value:?} is neither durable nor fast")));
            }
            ("data_bytes_max", _) => {
                let bytes = reader.number(key, value, 0..=Limits::DATA_BYTES_CEILING as u64)?;
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                self.limits = self.limits.with_data_bytes_max(bytes)?;
            }
            _ => return Err(reader.unknown(key, "data_bytes_max, durability, fleet")),
        }
        Ok(())
    }

    /// Other limits than [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// When writes are acknowledged.
    pub fn durability(mut self, durability: EmbeddedDurability) -> Self {
        self.durability = durability;
        self
    }

    /// Another clock than a [`SteadyClock`], such as one that a test moves by hand. It counts for the first
    /// handle of a fleet in this process; later ones share it.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another time of day than this machine's, since the beginning of 1970. It counts for the first handle
    /// of a fleet in this process.
    pub fn time_of_day(mut self, time_of_day: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.wall = Arc::new(time_of_day);
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for EmbeddedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedConfig")
            .field("path", &self.path)
            .field("fleet", &self.fleet)
            .field("limits", &self.limits)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

fn path(scheme: &str, url: &Url) -> Result<PathBuf> {
    if url.has_host() || !url.username().is_empty() || url.port().is_some() {
        // What stands where a host does may be meant as the beginning of the path, or not.
        let context = format!(
            "what stands between // and the next / is a host, and there is none; write {scheme}:///absolute/path, \
             or {scheme}:relative/path"
        );
        return Err(bad(context));
    }
    if url.fragment().is_some() {
        return Err(bad(
            "there is no fragment; a # in a path is written %23".to_owned()
        ));
    }
    let path: Cow<'_, str> = percent_decode_str(url.path())
        .decode_utf8()
        .map_err(|_| bad("the path is not UTF-8".to_owned()))?;
    if path.trim_matches('/').is_empty() {
        let context = format!("no path; write {scheme}:///absolute/path, or {scheme}:relative/path");
        return Err(bad(context));
    }
    if path.contains('\0') {
        return Err(bad("there is a NUL in the path".to_owned()));
    }
    Ok(PathBuf::from(&*path))
}

fn bad(context: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, CONFIG, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<EmbeddedConfig> {
        EmbeddedConfig::from_url("redb", &Url::parse(url).unwrap())
    }

    #[test]
    fn a_url_says_everything() {
        let config = read("redb:///var/lib/a%20b.redb?fleet=eu&durability=fast&data_bytes_max=9").unwrap();
        assert_eq!(config.path(), Path::new("/var/lib/a b.redb"));
        assert_eq!(config.fleet.as_str(), "eu");
        assert_eq!(config.durability, EmbeddedDurability::Fast);
        assert_eq!(config.limits.data_bytes_max(), 9);
        let config = read("redb:data/arena.redb").unwrap();
        assert_eq!(config.path(), Path::new("data/arena.redb"));
        assert_eq!(config.fleet.as_str(), "default");
        assert_eq!(config.durability, EmbeddedDurability::Durable);
        for (url, path) in [
            ("redb:/x", "/x"),
            ("redb:./x?fleet=a", "./x"),
            ("redb:../x", "../x"),
            ("redb:///a%23b%3Fc%25%40", "/a#b?c%@"),
        ] {
            assert_eq!(read(url).unwrap().path(), Path::new(path), "{url}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in [
            "redb:",
            "redb:///",
            "redb://./data",
            "redb://data/x",
            "redb://user@/x",
            "redb://localhost/x",
            "redb:///x#fleet=a",
            "redb:///x%00y",
            "redb:///x%ff",
            "redb:///x?fleet=",
            "redb:///x?fleet=a/b",
            "redb:///x?fleet=a&fleet=b",
            "redb:///x?durability=",
            "redb:///x?durability=slow",
            "redb:///x?data_bytes_max=-1",
            "redb:///x?data_bytes_max=99999999",
            "redb:///x?flet=a",
            "redb:///a@b",
            "sled:///x",
        ] {
            let Ok(url) = Url::parse(bad) else { continue };
            let error = EmbeddedConfig::from_url("redb", &url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
        }
    }
}
