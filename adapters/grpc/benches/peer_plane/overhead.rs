//! Unary calls of 200 bytes, 64 in flight: ours beside the bare echo.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringhold_core::Transport;
use ringhold_core::transport::TraceContext;

use crate::Effort;
use crate::bare;
use crate::certificates::Certificates;
use crate::load::{Seen, callers, float, median, verdict};
use crate::process::{self, Child};

const IN_FLIGHT: usize = 64;
const BODY_BYTES: usize = 200;
/// Far above what a call takes on a machine whose cores other programs use, too.
const TIME_LEFT: Duration = Duration::from_secs(30);
/// What is promised.
const OVERHEAD_MAX: f64 = 1.15;

pub(crate) async fn run(certificates: &Certificates, effort: Effort) {
    let caller = certificates.node("caller");
    let ours = Child::node(certificates, "ours", Some(1_000_000));
    let other = Child::bare(certificates, "bare");
    let transport = Arc::new(process::transport(&caller.url(""), None));
    let record = Arc::new(ours.record());
    let client = async || bare::Client::new(&caller, "bare", other.address()).await;
    // The same calls over two connections as well, since ours takes a second one when there are many.
    let (one, two) = ([client().await], [client().await, client().await]);
    let body = Bytes::from(vec![0x5a; BODY_BYTES]);
    let trace = TraceContext::new([7; 16], [9; 8]);

    let ours_once = |period| {
        callers(IN_FLIGHT, period, None, |_| {
            let (transport, record) = (Arc::clone(&transport), Arc::clone(&record));
            let request = process::request(&record, body.clone())
                .within(TIME_LEFT)
                .traced(trace.clone());
            move || {
                let (transport, record, request) =
                    (Arc::clone(&transport), Arc::clone(&record), request.clone());
                async move {
                    transport
                        .call(&record, request)
                        .await
                        .map(drop)
                        .map_err(|error| error.kind())
                }
            }
        })
    };
    let bare_once = async |clients: &[bare::Client], period| {
        callers(IN_FLIGHT, period, None, |index| {
            let client = clients[index % clients.len()].clone();
            let (body, trace) = (body.clone(), trace.to_string());
            move || {
                let (mut client, body, trace) = (client.clone(), body.clone(), trace.clone());
                async move {
                    let answered = client.call(body, &trace, TIME_LEFT).await;
                    answered
                        .then_some(())
                        .ok_or(ringhold_core::ErrorKind::Unavailable)
                }
            }
        })
        .await
    };

    let measure = async |who: usize, period| {
        if who == 2 {
            let before = ours.computed();
            let seen = ours_once(period).await;
            return Figures::of(seen, before, ours.computed());
        }
        let before = other.computed();
        let seen = bare_once([&one[..], &two[..]][who], period).await;
        Figures::of(seen, before, other.computed())
    };

    // All are warm before anything counts.
    for who in 0..3 {
        measure(who, effort.period / 4).await;
    }
    let mut rounds: Vec<[Figures; 3]> = Vec::new();
    for round in 0..effort.rounds {
        let mut figures = [Figures::default(); 3];
        // Who comes first changes, so that what the machine does meanwhile favours nobody.
        for turn in 0..3 {
            let who = (round + turn) % 3;
            figures[who] = measure(who, effort.period).await;
        }
        rounds.push(figures);
    }
    report(&rounds);
}

#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    per_s: f64,
    p50: f64,
    p99: f64,
    /// Microseconds that the caller computes for one call.
    caller: f64,
    /// And the server.
    server: f64,
}

impl Figures {
    fn of(mut seen: Seen, before: [u64; 2], after: [u64; 2]) -> Self {
        assert!(
            seen.failed.is_empty(),
            "every call is answered: {:?}",
            seen.failed
        );
        let hundredths =
            |side: usize| u32::try_from(after[side] - before[side]).map_or(f64::INFINITY, f64::from);
        let answers = float(seen.answers());
        let per_call = |side| hundredths(side) * 10_000.0 / answers;
        Self {
            per_s: seen.per_s(),
            p50: seen.quantile_us(50),
            p99: seen.quantile_us(99),
            caller: per_call(0),
            server: per_call(1),
        }
    }
}

fn report(rounds: &[[Figures; 3]]) {
    println!(
        "unary, {BODY_BYTES} bytes, {IN_FLIGHT} in flight, mutual TLS, medians of {} rounds in turns",
        rounds.len()
    );
    println!(
        "{:24} {:>12} {:>12} {:>12} {:>8} {:>8}",
        "", "bare tonic", "two of them", "ringhold", "to one", "to two"
    );
    let row = |name: &str, figure: fn(&Figures) -> f64, cost: fn(f64, f64) -> f64| {
        let [one, two, ours] =
            [0, 1, 2].map(|who| median(rounds.iter().map(|figures| figure(&figures[who])).collect()));
        let [to_one, to_two] = [0, 1].map(|who| {
            let costs = rounds.iter();
            median(
                costs
                    .map(|figures| cost(figure(&figures[who]), figure(&figures[2])))
                    .collect(),
            )
        });
        println!("{name:24} {one:12.1} {two:12.1} {ours:12.1} {to_one:8.3} {to_two:8.3}");
        to_one
    };
    let calls = row("calls/s", |figures| figures.per_s, |bare, ours| bare / ours);
    let p50 = row("p50, µs", |figures| figures.p50, |bare, ours| ours / bare);
    row("p99, µs", |figures| figures.p99, |bare, ours| ours / bare);
    row(
        "CPU of the caller, µs",
        |figures| figures.caller,
        |bare, ours| ours / bare,
    );
    row(
        "CPU of the server, µs",
        |figures| figures.server,
        |bare, ours| ours / bare,
    );
    println!(
        "promised: calls/s and p50 cost at most {OVERHEAD_MAX} of the bare echo: {}\n",
        verdict(calls.max(p50) <= OVERHEAD_MAX)
    );
}
