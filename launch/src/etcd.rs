//! An etcd of one or several members, and what can happen to them.

mod options;

use std::fmt::{self, Write as _};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use self::options::EtcdOptions;

use crate::certificates::Certificates;
use crate::cluster::start::random_hex;
use crate::daemon::{Daemon, Program, StartError, start_anew};
use crate::keeper::Keeper;
use crate::options::url_encoded;
use crate::{Error, ErrorKind, Result, http, ports, wait};

const ETCD: Program = Program {
    name: "etcd",
    package: "etcd-server",
    variable: None,
};

/// How long members may take to have a leader.
const LEADER_MAX: Duration = Duration::from_secs(30);

/// How long one look at a member may take.
const LOOK_MAX: Duration = Duration::from_millis(500);

/// How much of each log a failing test is shown.
const LAST_LINES: usize = 15;

/// A running etcd on loopback, whose members are named by their index from 0 on. Dropping it kills them;
/// where a test fails, it shows the ends of their logs first.
///
/// # Panics
/// All methods that take an index panic where there is no such member.
pub struct EtcdCluster {
    members: Vec<Member>,
    certificates: Option<Certificates>,
    options: EtcdOptions,
}

struct Member {
    daemon: Daemon,
    name: String,
    /// Where clients connect.
    client: SocketAddr,
    /// Where this crate asks, in the clear: the same, unless clients have TLS.
    plain: SocketAddr,
    arguments: Vec<String>,
}

impl EtcdCluster {
    /// Starts all members, and returns when each of them knows a leader.
    ///
    /// # Errors
    /// `Missing` without `etcd`; `Invalid` options; `Start` with a member's last words; `Timeout`; `Io`.
    pub fn start(options: &EtcdOptions) -> Result<Self> {
        options.check()?;
        ETCD.file()?;
        let keeper = Arc::new(Keeper::new()?);
        let cluster = start_anew(|attempt| Self::attempt(options, &keeper, attempt))?;
        if let Some(password) = &options.password {
            cluster.ask_for_password(password)?;
        }
        Ok(cluster)
    }

    fn attempt(options: &EtcdOptions, keeper: &Arc<Keeper>, attempt: usize) -> Result<Self, StartError> {
        let folder = keeper.folder().join(format!("etcd-{attempt}"));
        fs::create_dir(&folder).map_err(Error::io("making a folder for etcd"))?;
        let token = random_hex(8)?;
        let local = IpAddr::from(Ipv4Addr::LOCALHOST);
        let ports = ports::free(&vec![local; options.members], 3)?;
        let peers: Vec<String> = (0..options.members)
            .map(|index| format!("ringhold-{token}-{index}=http://{local}:{}", ports[index][1]))
            .collect();
        let certificates = Certificates::of(options.tls, &folder, &[local], None)?;
        let mut members = Vec::new();
        for (index, ports) in ports.iter().enumerate() {
            let own = folder.join(format!("member-{index}"));
            let doing = "making a member's folder";
            fs::create_dir(&own).map_err(Error::io(doing))?;
            let client = SocketAddr::new(local, ports[0]);
            let mut member = Member {
                daemon: Daemon::new(keeper, ETCD, own.clone(), client),
                name: format!("ringhold-{token}-{index}"),
                client,
                plain: client,
                arguments: Vec::new(),
            };
            let mut listen = format!("http://{client}");
            if let Some(certificates) = &certificates {
                member.plain.set_port(ports[2]);
                listen = format!("https://{client},http://{}", member.plain);
                member.arguments.extend(certificates.arguments());
            }
            let peer = format!("http://{local}:{}", ports[1]);
            member.arguments.extend([
                format!("--name={}", member.name),
                "--data-dir=data".to_owned(),
                format!("--advertise-client-urls={listen}"),
                format!("--listen-client-urls={listen}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster={}", peers.join(",")),
                format!("--initial-cluster-token={token}"),
                format!("--heartbeat-interval={}", options.heartbeat.as_millis()),
                format!("--election-timeout={}", options.election.as_millis()),
                "--logger=zap".to_owned(),
                "--log-outputs=stderr".to_owned(),
                "--log-level=warn".to_owned(),
            ]);
            member.arguments.extend(options.arguments.iter().cloned());
            members.push(member);
        }
        let cluster = Self {
            members,
            certificates,
            options: options.clone(),
        };
        for member in &cluster.members {
            member.spawn()?;
        }
        for member in &cluster.members {
            member.daemon.ready(|_| {
                // Somebody else's server may sit on the port; ours is about to notice, and to end.
                let list = http::post(member.plain, "/v3/cluster/member/list", "{}");
                let list = list.map_err(|error| error.to_string())?;
                if !list.contains(&member.name) {
                    return Err("another cluster answers".to_owned());
                }
                member.knows_a_leader()
            })?;
        }
        Ok(cluster)
    }

    fn ask_for_password(&self, password: &str) -> Result<()> {
        let plain = self.members[0].plain;
        let password = json(password);
        http::post(plain, "/v3/auth/role/add", r#"{"name":"root"}"#)?;
        let user = format!(r#"{{"name":"root","password":{password}}}"#);
        http::post(plain, "/v3/auth/user/add", &user)?;
        http::post(plain, "/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#)?;
        http::post(plain, "/v3/auth/enable", "{}")?;
        Ok(())
    }

    /// The URL of a fleet, with all members. Holds the password where there is one.
    pub fn url(&self, fleet: &str) -> String {
        let (scheme, files) = match &self.certificates {
            Some(certificates) => ("etcds", certificates.url()),
            None => ("etcd", String::new()),
        };
        let login = self
            .options
            .password
            .as_ref()
            .map_or_else(String::new, |password| format!("root:{}@", url_encoded(password)));
        let mut url = format!("{scheme}://{login}{}?", self.address(0));
        for index in 1..self.len() {
            // Writing to a string cannot fail.
            let _ = write!(url, "node={}&", self.address(index));
        }
        url + "fleet=" + &url_encoded(fleet) + &files
    }

    /// How many members there are, dead or alive.
    #[expect(clippy::len_without_is_empty, reason = "an etcd has at least one member")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Where clients reach a member.
    pub fn address(&self, index: usize) -> SocketAddr {
        self.members[index].client
    }

    /// Where a member answers in the clear, to whoever is on this machine: its metrics, and its JSON.
    pub fn plain_address(&self, index: usize) -> SocketAddr {
        self.members[index].plain
    }

    /// The process of a member, while there is one.
    pub fn pid(&self, index: usize) -> Option<u32> {
        self.members[index].daemon.pid()
    }

    /// SIGKILL; returns when the process is gone. Nothing happens to one that is killed already.
    pub fn kill(&self, index: usize) {
        self.members[index].daemon.kill();
    }

    /// SIGSTOP: the member is silent, and its connections stay open.
    ///
    /// # Errors
    /// `Invalid` for one that is killed; `Io`.
    pub fn stop(&self, index: usize) -> Result<()> {
        self.members[index].daemon.stop()
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// `Invalid` for one that is killed; `Io`.
    pub fn resume(&self, index: usize) -> Result<()> {
        self.members[index].daemon.resume()
    }

    /// Starts a member again on its port with its data, after a SIGKILL where it still runs; returns when
    /// it answers, for which it needs a majority.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&self, index: usize) -> Result<()> {
        let member = &self.members[index];
        member.daemon.restart(|| {
            member.spawn()?;
            member.ready()
        })
    }

    /// Kills all members at once, starts all of them again with their data, and returns when each knows a
    /// leader.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart_all(&self) -> Result<()> {
        for member in &self.members {
            member.daemon.kill();
        }
        for member in &self.members {
            member.spawn()?;
        }
        for member in &self.members {
            match member.ready() {
                // Somebody's outgoing connection has borrowed its port: the others are enough to begin with.
                Err(StartError::Taken(_)) => member.daemon.restart(|| {
                    member.spawn()?;
                    member.ready()
                })?,
                outcome => outcome.map_err(StartError::into_error)?,
            }
        }
        self.wait_for_leader(LEADER_MAX).map(drop)
    }

    /// The member that leads: the one that runs, says so itself, and is the only one that does.
    ///
    /// # Errors
    /// `Timeout` when there is none after `limit`.
    pub fn wait_for_leader(&self, limit: Duration) -> Result<usize> {
        wait::until("a leader of etcd", limit, || {
            let leads = |index: &usize| {
                let member = &self.members[*index];
                member.daemon.is_running() && member.metric("etcd_server_is_leader") == Ok(1.0)
            };
            let leaders: Vec<usize> = (0..self.len()).filter(leads).collect();
            match leaders[..] {
                [leader] => Ok(leader),
                _ => Err(format!("leaders: {leaders:?}")),
            }
        })
    }

    /// Waits until every member runs and knows a leader.
    ///
    /// # Errors
    /// `Timeout`.
    pub fn wait_until_ok(&self, limit: Duration) -> Result<()> {
        wait::until("all members of etcd to know a leader", limit, || {
            self.members.iter().try_for_each(Member::knows_a_leader)
        })?;
        self.wait_for_leader(limit).map(drop)
    }

    /// The value of one of a member's metrics, the sum where it has several: `etcd_server_is_leader`.
    ///
    /// # Errors
    /// `Unreachable`; `Answer` where there is no such metric.
    pub fn metric(&self, index: usize, name: &str) -> Result<f64> {
        let text = http::get(self.members[index].plain, "/metrics")?;
        metric(&text, name).ok_or_else(|| Error::new(ErrorKind::Answer, format!("etcd has no metric {name}")))
    }

    /// One request to a member's JSON gateway, such as `/v3/kv/compaction` with `{"revision":"7"}`.
    ///
    /// # Errors
    /// `Unreachable`; `Answer` with what it refuses.
    pub fn post(&self, index: usize, path: &str, json: &str) -> Result<String> {
        http::post(self.members[index].plain, path, json)
    }

    fn last_words(&self) -> String {
        let mut words = String::new();
        for (index, member) in self.members.iter().enumerate() {
            let log = fs::read_to_string(member.daemon.log_path()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
            let _ = writeln!(
                words,
                "etcd member {index} at {} said last:\n{}",
                member.client,
                last.join("\n")
            );
        }
        words
    }
}

impl Member {
    fn spawn(&self) -> Result<()> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.daemon.spawn(&arguments, &[])
    }

    /// Waits until it serves, which it does once it has found its cluster.
    fn ready(&self) -> Result<(), StartError> {
        self.daemon.ready(|_| self.knows_a_leader())
    }

    fn knows_a_leader(&self) -> Result<(), String> {
        match self.metric("etcd_server_has_leader")? {
            1.0 => Ok(()),
            _ => Err(format!("{} knows no leader", self.name)),
        }
    }

    fn metric(&self, name: &str) -> Result<f64, String> {
        let text = http::get_within(self.plain, "/metrics", LOOK_MAX).map_err(|error| error.to_string())?;
        metric(&text, name).ok_or_else(|| format!("{} has no metric {name}", self.name))
    }
}

impl Drop for EtcdCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.last_words());
        }
    }
}

impl fmt::Debug for EtcdCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.members.iter().map(|member| member.client);
        f.debug_struct("EtcdCluster")
            .field("members", &addresses.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The value of a metric in the text form of Prometheus, summed over its labels.
fn metric(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = rest
            .strip_prefix(' ')
            .or_else(|| rest.strip_prefix('{')?.split_once("} ").map(|(_, value)| value))?;
        value.trim().parse::<f64>().ok()
    });
    values.reduce(|sum, value| sum + value)
}

/// A text as JSON takes any text.
fn json(text: &str) -> String {
    let mut quoted = String::from("\"");
    for unit in text.encode_utf16() {
        let _ = write!(quoted, "\\u{unit:04x}");
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let text = "# HELP a b\na 1\nab 7\na{x=\"1\"} 2\na{x=\"} 9\"} 3e+00\n";
        assert_eq!(metric(text, "ab"), Some(7.0));
        assert_eq!(metric(text, "b"), None);
        assert_eq!(metric("a{x=\"1\"} 2\na{x=\"2\"} 3e+00\n", "a"), Some(5.0));
    }

    #[test]
    fn json_takes_any_password() {
        assert_eq!(json("a\"é"), "\"\\u0061\\u0022\\u00e9\"");
    }
}
