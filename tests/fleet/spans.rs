//! The spans of incoming requests, and warnings.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use std::time::Duration;

use ringhold::{CallOptions, LoginOptions, TraceContext};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::hooks::Hooks;
use crate::line::hearing;
use crate::support::{here, join, login, memory, player};

/// Remembers the spans of peer calls, as lines of their fields, and as the third what was logged as a warning or an
/// error.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>, Arc<AtomicU64>, Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Spans {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        if span.metadata().name() == "peer call" {
            let mut line = Line(String::new());
            span.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
        Id::from_u64(self.1.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() <= Level::WARN {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.2.lock().unwrap().push(line.0);
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn each_request_that_comes_in_is_a_span() {
    let spans = Spans::default();
    let _here = tracing::subscriber::set_default(spans.clone());
    let (nodes, _) = hearing(&memory().await, 2).await;
    let _ada = here(login(&nodes[1], "ada").await);
    let trace = CallOptions::new().trace(TraceContext::new([0xab; 16], [1; 8]));
    nodes[0].call(&nodes[1].node(), "secret", trace).await.unwrap();
    nodes[0].send_to_player(&player("ada"), "secret").await.unwrap();
    let spans = spans.0.lock().unwrap();
    assert_eq!(spans.len(), 2);
    assert_eq!(
        spans[0],
        format!("trace_id={} from=n0#1 kind=\"call\" ", "ab".repeat(16))
    );
    assert!(
        spans[1].contains("kind=\"message\"") && !spans[1].contains("secret"),
        "{spans:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_player_who_moves_while_a_save_is_under_way_is_not_a_warning() {
    let spans = Spans::default();
    let _here = tracing::subscriber::set_default(spans.clone());
    let (backend, hooks) = (memory().await, Hooks::default());
    let nodes = [join(&hooks.wrap(&backend), "a").await, join(&backend, "b").await];
    hooks.delay("save", Duration::from_secs(2));
    let mut old = here(login(&nodes[0], "ada").await);
    old.save_every(Duration::from_millis(10));
    *old.value_mut() = 1;
    // sleep: simulated time until the save is under way
    tokio::time::sleep(Duration::from_secs(1)).await;
    let displace = LoginOptions::new().displace();
    let _new = here(nodes[1].login::<u64>(&player("ada"), displace).await);
    // sleep: simulated time until it is answered
    tokio::time::sleep(Duration::from_secs(5)).await;
    let error = old.take_save_error().expect("the save is refused");
    assert_eq!(error.kind(), ringhold::ErrorKind::Fenced);
    assert_eq!(*spans.2.lock().unwrap(), Vec::<String>::new());
}
