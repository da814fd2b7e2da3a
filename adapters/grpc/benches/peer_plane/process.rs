//! Servers in processes of their own: this program again.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ringhold_core::id::{Address, EndpointName};
use ringhold_core::transport::{PeerHandler, PeerRequest};
use ringhold_core::{
    FleetName, Incarnation, NodeId, NodeIncarnation, NodeRecord, Nonce, Result, Revision, Transport,
};
use ringhold_grpc::{GrpcConfig, GrpcLimits, GrpcTransport};

use crate::bare;
use crate::certificates::{Certificates, Files};
use crate::flood;

const ROLES: [&str; 3] = ["serve-node", "serve-bare", "flood"];

/// The role that this process has, where it is a child.
pub(crate) fn role(arguments: &[String]) -> Option<(&str, &[String])> {
    let (first, rest) = arguments.split_first()?;
    ROLES.contains(&first.as_str()).then_some((first, rest))
}

/// Runs a role until standard input ends.
pub(crate) fn run(role: &str, arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    match (role, arguments) {
        ("serve-node", [name, url, per_s]) => {
            let transport = transport(url, per_s.parse().ok());
            let serving = transport.serve(incarnation(name), Arc::new(Echo));
            let guard = runtime.block_on(serving).expect("a node that can serve");
            println!("{}", guard.address().expect("gRPC has an address"));
            wait();
            drop(guard);
        }
        ("serve-bare", [ca, certificate, key]) => {
            let files = Files {
                ca: ca.into(),
                certificate: certificate.into(),
                key: key.into(),
            };
            println!("{}", bare::serve(&files));
            wait();
        }
        ("flood", [name, address, url, per_s]) => {
            let record = record(name, address);
            let per_s = per_s.parse().expect("a number");
            let flooding = runtime.spawn(flood::attack(Arc::new(transport(url, None)), record, per_s));
            println!("floods");
            wait();
            flooding.abort();
        }
        _ => panic!("a child is started with the arguments of its role"),
    }
}

/// The end of standard input means that nobody needs this process any more.
fn wait() {
    let mut rest = Vec::new();
    let _ = std::io::stdin().lock().read_to_end(&mut rest);
}

struct Echo;

#[async_trait]
impl PeerHandler for Echo {
    async fn handle(&self, request: PeerRequest) -> Result<Bytes> {
        Ok(request.body)
    }
}

/// The run of a node that the children and their callers agree upon.
fn incarnation(name: &str) -> NodeIncarnation {
    let incarnation = Incarnation {
        number: 1,
        nonce: Nonce::from_bytes([1; 16]),
    };
    NodeIncarnation::new(NodeId::new(name).expect("a name"), incarnation)
}

fn record(name: &str, address: &str) -> NodeRecord {
    let NodeIncarnation { node, incarnation } = incarnation(name);
    let mut record = NodeRecord::new(node, incarnation);
    let peer = EndpointName::new("peer").expect("a word");
    let address = Address::new(address).expect("an address");
    record.endpoints.insert(peer, address).expect("room for one");
    record
}

/// A transport; a caller may ask it so often a second, where that is given.
pub(crate) fn transport(url: &str, per_s: Option<u32>) -> GrpcTransport {
    let mut limits = GrpcLimits::default();
    limits.requests_per_second = per_s.unwrap_or(limits.requests_per_second);
    limits.requests_burst = per_s.map_or(limits.requests_burst, |per_s| per_s / 10);
    let config = GrpcConfig::parse(url).and_then(|config| config.with_limits(limits));
    GrpcTransport::new(config.expect("a sound URL")).expect("sound certificates")
}

pub(crate) fn request(record: &NodeRecord, body: Bytes) -> PeerRequest {
    let fleet = FleetName::new("bench").expect("a word");
    PeerRequest::new(fleet, record.node(), Revision::new(1, 1), body)
}

/// A server process. Dropping it kills it.
pub(crate) struct Child {
    name: String,
    address: String,
    process: std::process::Child,
    _stdin: Option<ChildStdin>,
}

impl Child {
    /// A node that answers what it was sent, so often a second at most as is given.
    pub(crate) fn node(certificates: &Certificates, name: &str, per_s: Option<u32>) -> Self {
        let url = certificates.node(name).url("127.0.0.1:0");
        let per_s = per_s.map_or_else(String::new, |per_s| per_s.to_string());
        Self::start(name, &["serve-node", name, &url, &per_s])
    }

    /// The bare echo.
    pub(crate) fn bare(certificates: &Certificates, name: &str) -> Self {
        let Files { ca, certificate, key } = certificates.node(name);
        let [ca, certificate, key] = [ca, certificate, key].map(|path| path.display().to_string());
        Self::start(name, &["serve-bare", &ca, &certificate, &key])
    }

    /// Who calls `node` so often a second.
    pub(crate) fn flood(certificates: &Certificates, node: &Self, per_s: u32) -> Self {
        let url = certificates.node("flooder").url("");
        let per_s = per_s.to_string();
        Self::start("flooder", &["flood", &node.name, &node.address, &url, &per_s])
    }

    fn start(name: &str, arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let stdout = process.stdout.take().expect("it is piped");
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address).expect("a line");
        Self {
            name: name.to_owned(),
            address: address.trim().to_owned(),
            _stdin: process.stdin.take(),
            process,
        }
    }

    pub(crate) fn record(&self) -> NodeRecord {
        record(&self.name, &self.address)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
    }

    /// Hundredths of a second that this process, and the child, have computed so far.
    pub(crate) fn computed(&self) -> [u64; 2] {
        let of = |process: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a running process");
            // Behind the name, which may hold anything: user and system time are the 12th and 13th.
            let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
            let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
            let number = |index: usize| -> u64 { fields[index].parse().expect("a number") };
            number(11) + number(12)
        };
        [of("self"), of(&self.process.id().to_string())]
    }

    /// The most memory that it has had resident so far, and what it has now, in KiB.
    pub(crate) fn memory_kib(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("a running process");
        let field = |name: &str| {
            let line = status
                .lines()
                .find(|line| line.starts_with(name))
                .expect("Linux has it");
            let number = line
                .split_ascii_whitespace()
                .nth(1)
                .expect("a number stands there");
            number.parse().expect("a number")
        };
        (field("VmHWM:"), field("VmRSS:"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How long callers wait in the parts where something is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(1);
