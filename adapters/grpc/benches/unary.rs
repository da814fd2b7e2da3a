//! What a call costs beside the same call of a bare tonic server and channel: 200 bytes, 64 under way, the same
//! message, headers and kind of connection. The two take turns, so that a busy machine hits both.
//!
//! `cargo bench -p ringhold-grpc --bench unary`

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringhold_core::id::{Address, EndpointName, Nonce};
use ringhold_core::transport::{PeerHandler, PeerRequest, TraceContext};
use ringhold_core::{
    FleetName, Incarnation, NodeId, NodeIncarnation, NodeRecord, Result, Revision, Transport as _,
};
use ringhold_grpc::{GrpcConfig, GrpcLimits, GrpcTransport};
use ringhold_testkit::async_trait;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use self::v1::peer_client::PeerClient;
use self::v1::peer_server::{Peer, PeerServer};

#[expect(unreachable_pub, clippy::pedantic, reason = "made by a generator")]
mod v1 {
    include!("../src/generated/ringhold.v1.rs");
}

const UNDER_WAY: usize = 64;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_secs(1);

struct Echo;

#[async_trait]
impl PeerHandler for Echo {
    async fn handle(&self, request: PeerRequest) -> Result<bytes::Bytes> {
        Ok(request.body)
    }
}

#[tonic::async_trait]
impl Peer for Echo {
    async fn call(&self, request: Request<v1::CallRequest>) -> Result<Response<v1::CallReply>, Status> {
        let body = request.into_inner().body;
        Ok(Response::new(v1::CallReply { body }))
    }

    type OpenStream = tokio_stream::Empty<Result<v1::StreamFrame, Status>>;

    async fn open(
        &self,
        _: Request<Streaming<v1::StreamFrame>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

fn node() -> NodeIncarnation {
    let nonce = Nonce::from_bytes([7; 16]);
    NodeIncarnation::new(
        NodeId::new("eu-1").expect("a word"),
        Incarnation { number: 1, nonce },
    )
}

fn request() -> PeerRequest {
    let fleet = FleetName::new("arena").expect("a word");
    PeerRequest::new(fleet, node(), Revision::new(7, 9), vec![b'x'; 200])
        .from(node())
        .traced(TraceContext::new([1; 16], [2; 8]))
}

/// One way to call, and what was measured of it.
struct Way {
    name: &'static str,
    per_second: Vec<f64>,
    micros: Vec<u32>,
    busy: f64,
}

impl Way {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            per_second: Vec::new(),
            micros: Vec::new(),
            busy: 0.0,
        }
    }

    /// Calls for one round.
    async fn round<Call: Future<Output = ()> + Send>(
        &mut self,
        call: impl Fn() -> Call + Clone + Send + Sync + 'static,
    ) {
        let (began, busy_before) = (Instant::now(), busy());
        let mut callers = JoinSet::new();
        for _ in 0..UNDER_WAY {
            let call = call.clone();
            callers.spawn(async move {
                let mut micros = Vec::new();
                while began.elapsed() < ROUND {
                    let sent = Instant::now();
                    call().await;
                    micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                micros
            });
        }
        let micros: Vec<u32> = callers.join_all().await.into_iter().flatten().collect();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        self.per_second
            .push(micros.len() as f64 / began.elapsed().as_secs_f64());
        self.micros.extend(micros);
        self.busy += busy() - busy_before;
    }

    fn figures(&mut self) -> [f64; 4] {
        self.per_second.sort_by(f64::total_cmp);
        self.micros.sort_unstable();
        let at = |percent: usize| f64::from(self.micros[self.micros.len() * percent / 100]);
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let busy = self.busy * 1e6 / self.micros.len() as f64;
        [self.per_second[self.per_second.len() / 2], at(50), at(99), busy]
    }
}

async fn bare() -> PeerClient<Channel> {
    let loopback = "127.0.0.1:0".parse().expect("an address");
    // As `Server::serve` does it.
    let incoming = TcpIncoming::bind(loopback)
        .expect("loopback")
        .with_nodelay(Some(true));
    let address = incoming.local_addr().expect("bound");
    let serving = Server::builder()
        .add_service(PeerServer::new(Echo))
        .serve_with_incoming(incoming);
    tokio::spawn(serving);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    PeerClient::new(endpoint.connect().await.expect("it listens"))
}

/// How long this process has kept processors busy, in seconds: what a machine with other work still tells.
fn busy() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace();
    // Of the user and of the system, in hundredths.
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// The same message and headers as ours.
async fn call_bare(mut client: PeerClient<Channel>, request: &PeerRequest) {
    let run = v1::NodeRun {
        node: request.target.node.as_str().to_owned(),
        number: 1,
        nonce: bytes::Bytes::from_static(&[7; 16]),
    };
    let mut message = Request::new(v1::CallRequest {
        fleet: request.fleet.as_str().to_owned(),
        from: Some(run.clone()),
        target: Some(run),
        revision: Some(v1::Revision { number: 7, tag: 9 }),
        player: None,
        key: None,
        body: request.body.clone(),
    });
    message.set_timeout(request.time_left);
    let trace = request.trace.as_ref().expect("traced").to_string();
    let trace = trace.parse().expect("ASCII");
    message.metadata_mut().insert("traceparent", trace);
    client.call(message).await.expect("an answer");
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` only looks whether it runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") {
        ROUNDS
    } else {
        1
    };
    let mut limits = GrpcLimits::default();
    limits.requests_per_second = 1_000_000;
    limits.requests_burst = 1_000_000;
    let config = GrpcConfig::parse("grpc://127.0.0.1:0").and_then(|config| config.with_limits(limits));
    let transport = Arc::new(GrpcTransport::new(config.expect("settings")).expect("settings"));
    let guard = transport.serve(node(), Arc::new(Echo)).await.expect("it serves");
    let mut record = NodeRecord::new(node().node, node().incarnation);
    let address: Address = guard.address().expect("an address").clone();
    let endpoint = EndpointName::new("peer").expect("a word");
    record.endpoints.insert(endpoint, address).expect("room for one");
    let record = Arc::new(record);
    let request = Arc::new(request());
    let client = bare().await;

    let (mut tonic, mut ours) = (Way::new("bare tonic"), Way::new("ringhold"));
    for _ in 0..rounds {
        let (client, message) = (client.clone(), Arc::clone(&request));
        tonic
            .round(move || {
                let (client, message) = (client.clone(), Arc::clone(&message));
                async move { call_bare(client, &message).await }
            })
            .await;
        let (transport, record, message) =
            (Arc::clone(&transport), Arc::clone(&record), Arc::clone(&request));
        ours.round(move || {
            let (transport, record, message) =
                (Arc::clone(&transport), Arc::clone(&record), Arc::clone(&message));
            async move {
                let answer = transport.call(&record, (*message).clone()).await;
                answer.expect("an answer");
            }
        })
        .await;
    }
    println!(
        "{:12} {:>10} {:>9} {:>9} {:>12}",
        "", "calls/s", "p50 µs", "p99 µs", "CPU µs/call"
    );
    let [bare, with] = [&mut tonic, &mut ours].map(|way| {
        let figures = way.figures();
        let [per_second, half, most, busy] = figures;
        println!(
            "{:12} {per_second:10.0} {half:9.0} {most:9.0} {busy:12.1}",
            way.name
        );
        figures
    });
    let more = [0, 1, 2, 3].map(|figure: usize| (with[figure] / bare[figure] - 1.0) * 100.0);
    println!(
        "{:12} {:9.1}% {:8.1}% {:8.1}% {:11.1}%",
        "difference", more[0], more[1], more[2], more[3]
    );
    drop(guard);
}
