//! What tracing is told of requests that come in.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ringhold::{CallOptions, TraceContext};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::line::hearing;
use crate::support::{here, login, memory, player};

/// Remembers the spans of peer calls, as lines of their fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>, Arc<AtomicU64>);

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
    fn event(&self, _: &Event<'_>) {}
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
