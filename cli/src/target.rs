//! Which backend and which fleet a command is about, and whether it can serve the command.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use ringhold::{Backend, FleetName};
use url::Url;

use crate::exit::Failure;

/// The URL of a backend, as it was given. It may hold a password, so nothing shows it.
#[derive(Clone)]
pub struct BackendUrl(String);

impl FromStr for BackendUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl From<String> for BackendUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once(':').map_or("", |(scheme, _)| scheme);
        write!(f, "BackendUrl({scheme}:..)")
    }
}

impl BackendUrl {
    /// What stands before the first colon, as it is compared.
    fn scheme(&self) -> String {
        let scheme = self.0.split_once(':').map_or("", |(scheme, _)| scheme);
        scheme.trim().to_ascii_lowercase()
    }

    /// Whether the URL itself names a fleet.
    pub fn names_fleet(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| url.query_pairs().any(|(key, _)| key == "fleet"))
    }

    /// The URL with another fleet, where one is given. What is not a URL stays as it is, for
    /// [`ringhold::open`] to say what is wrong with it.
    #[must_use]
    pub fn with_fleet(&self, fleet: Option<&FleetName>) -> Self {
        let (Some(fleet), Ok(mut url)) = (fleet, Url::parse(&self.0)) else {
            return self.clone();
        };
        if url.query().is_some_and(|query| query.contains('@')) {
            // Encoded, a part of a password would look like a parameter.
            return self.clone();
        }
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(key, _)| key != "fleet")
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        url.query_pairs_mut()
            .clear()
            .extend_pairs(others)
            .append_pair("fleet", fleet.as_str());
        Self(url.into())
    }

    /// Whether both lead to one fleet of one backend, as far as URLs tell: they have a server or a path in
    /// common. Names that lead to one address are not looked up.
    pub fn same_fleet(&self, other: &Self) -> bool {
        let (Ok(one), Ok(other)) = (Url::parse(&self.0), Url::parse(&other.0)) else {
            return self.0 == other.0;
        };
        let others = places(&other);
        fleet(&one) == fleet(&other) && places(&one).iter().any(|place| others.contains(place))
    }

    /// The text itself, for a process that is to open the same. It is a secret.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Opens the backend.
    ///
    /// # Errors
    /// Those of [`ringhold::open`], which say what to do.
    pub async fn open(&self) -> Result<Backend, Failure> {
        Ok(ringhold::open(&self.0).await?)
    }
}

fn fleet(url: &Url) -> String {
    let named = url.query_pairs().find(|(key, _)| key == "fleet");
    named.map_or_else(|| "default".to_owned(), |(_, name)| name.into_owned())
}

/// The servers that a URL names, or the path where it names none.
fn places(url: &Url) -> Vec<String> {
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return vec![format!("{}:{}", url.scheme(), url.path())];
    };
    let standard = if url.scheme().starts_with("etcd") {
        2379
    } else {
        6379
    };
    let port = url.port().unwrap_or(standard);
    let mut places = vec![format!("{}:{port}", host.to_ascii_lowercase())];
    let nodes = url.query_pairs().filter(|(key, _)| key == "node");
    places.extend(nodes.map(|(_, node)| {
        let node = node.to_ascii_lowercase();
        let has_port = node
            .rsplit_once(':')
            .is_some_and(|(host, _)| !host.is_empty() && !node.ends_with(']'));
        if has_port {
            node
        } else {
            format!("{node}:{standard}")
        }
    }));
    places
}

/// Opens the backend of a command that looks at what other processes run. An embedded one is refused before it
/// is opened: whoever asks in vain leaves no file behind.
///
/// # Errors
/// `Unsupported` on an embedded one, with the reason and what would do; those of opening.
pub async fn open_shared(command: &str, url: &BackendUrl) -> Result<Backend, Failure> {
    let purpose = "looks at a fleet that other processes run";
    let instead = "`ringhold demo` runs a whole fleet in one process";
    refuse_embedded(command, purpose, instead, url)?;
    url.open().await
}

/// Whether the demo can run its nodes as processes on this backend.
///
/// # Errors
/// `Unsupported` on an embedded one, with the reason and what would do.
pub fn needs_shared_for_processes(url: &BackendUrl) -> Result<(), Failure> {
    let purpose = "runs each node as a process of its own";
    let instead = "without --processes the demo runs a whole fleet in one process";
    refuse_embedded("demo --processes", purpose, instead, url)
}

/// What is no URL, or of no known scheme, is left to whoever opens it.
fn refuse_embedded(command: &str, purpose: &str, instead: &str, url: &BackendUrl) -> Result<(), Failure> {
    let name = url.scheme();
    let embedded = ringhold::schemes()
        .iter()
        .any(|scheme| scheme.name() == name && !scheme.is_shared());
    if !embedded {
        return Ok(());
    }
    Err(Failure::unsupported(format!(
        "`ringhold {command}` {purpose}, and {name}: is embedded: what is in it stays inside the one process \
         that opened it, and no other can look at it meanwhile. Name a shared backend with \
         --backend URL or RINGHOLD_BACKEND; shared are {}. {instead}",
        shared()
    )))
}

/// The schemes that several processes share, and what builds have them.
fn shared() -> String {
    let mut features: Vec<(&str, Vec<String>)> = Vec::new();
    for scheme in ringhold::schemes().iter().filter(|scheme| scheme.is_shared()) {
        let url = format!("{}://", scheme.name());
        match features
            .iter_mut()
            .find(|(feature, _)| *feature == scheme.feature())
        {
            Some((_, urls)) => urls.push(url),
            None => features.push((scheme.feature(), vec![url])),
        }
    }
    let features: Vec<String> = features
        .iter()
        .map(|(feature, urls)| format!("{} (feature {feature})", urls.join(" and ")))
        .collect();
    features.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(url: &str, fleet: &str) -> String {
        let fleet = FleetName::new(fleet).unwrap();
        url.parse::<BackendUrl>().unwrap().with_fleet(Some(&fleet)).0
    }

    #[test]
    fn a_fleet_takes_the_place_of_the_urls() {
        assert_eq!(with("memory:", "eu"), "memory:?fleet=eu");
        assert_eq!(
            with("memory:?fleet=us&data_bytes_max=9", "eu"),
            "memory:?data_bytes_max=9&fleet=eu"
        );
        assert_eq!(
            with("redis://u:p@h:1?node=a:1&node=b:2", "eu"),
            "redis://u:p@h:1?node=a%3A1&node=b%3A2&fleet=eu"
        );
        assert_eq!(with("no url", "eu"), "no url");
        let url: BackendUrl = "memory:?fleet=us".parse().unwrap();
        assert!(url.names_fleet());
        assert_eq!(url.with_fleet(None).0, "memory:?fleet=us");
        let misplaced = "redis://user:4711?hunter2@h";
        assert_eq!(with(misplaced, "eu"), misplaced, "for `open` to refuse");
    }

    #[test]
    fn one_fleet_is_told_from_two() {
        let same = |one: &str, other: &str| {
            let url = |text: &str| text.parse::<BackendUrl>().unwrap();
            assert_eq!(url(one).same_fleet(&url(other)), url(other).same_fleet(&url(one)));
            url(one).same_fleet(&url(other))
        };
        for (one, other) in [
            ("memory:", "memory:?fleet=default"),
            ("redis://h:1", "redis://u:p@H:1?data_bytes_max=9"),
            ("redis://h", "rediss://h:6379"),
            ("etcd://h", "etcd://h:2379"),
            (
                "redis-cluster://a:1?node=b:2&fleet=eu",
                "redis-cluster://c:3?fleet=eu&node=B:2",
            ),
            ("redis-cluster://a:1?node=b", "redis-cluster://b"),
            ("redb:///x/y.redb", "redb:///x/z/../y.redb"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("redis://h:1?fleet=a", "redis://h:1?fleet=b"),
            ("redis://h:1", "redis://h:2"),
            ("redis-cluster://a:1?node=b:2", "redis-cluster://a:3?node=b:4"),
            ("redb:///x", "redb:///y"),
            ("redb:///x", "sled:///x"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url: BackendUrl = "redis://user:hunter2@host".parse().unwrap();
        assert_eq!(format!("{url:?}"), "BackendUrl(redis:..)");
    }

    #[tokio::test]
    async fn embedded_is_refused_with_the_reason() {
        let url = |text: &str| text.parse::<BackendUrl>().unwrap();
        for scheme in ringhold::schemes() {
            let outcome = needs_shared_for_processes(&url(&format!("{}://h", scheme.name())));
            assert_eq!(outcome.is_ok(), scheme.is_shared(), "{scheme:?}");
        }
        for embedded in ["memory:", "MEMORY:?fleet=a"] {
            let failure = open_shared("nodes", &url(embedded)).await.unwrap_err();
            assert_eq!(failure.exit(), crate::exit::Exit::Unsupported);
            assert!(failure.message().contains("RINGHOLD_BACKEND"), "{failure}");
        }
        let failure = needs_shared_for_processes(&url("memory:")).unwrap_err();
        assert!(
            failure
                .message()
                .contains("`ringhold demo --processes` runs each node"),
            "{failure}"
        );
        assert!(needs_shared_for_processes(&url("no url")).is_ok());
    }

    #[test]
    fn what_would_do_is_what_can_be_opened() {
        let text = shared();
        for scheme in ringhold::schemes() {
            let named = text.contains(&format!("{}://", scheme.name()));
            assert_eq!(named, scheme.is_shared(), "{text}");
        }
        assert!(
            text.contains("and valkeys-cluster:// (feature redis-cluster)"),
            "{text}"
        );
    }
}
