//! `ringhold watch`: what happens in the fleet, as it happens.

use std::time::Instant;

use ringhold::{FleetEvent, NodeIncarnation, Observer};
use serde_json::{Map, Value, json};

use crate::exit::Failure;
use crate::output::{Output, millis};

/// Prints who is there, and then each event, until `stop` resolves.
///
/// # Errors
/// Of the writer; `Failed` when the observer has ended.
pub async fn run(
    observer: &Observer,
    output: &mut Output<'_>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let started = Instant::now();
    // Subscribed before the view is read: a node that joins in between is told, if need be twice.
    let mut events = observer.events();
    let present: Vec<NodeIncarnation> = observer
        .view()
        .nodes()
        .iter()
        .map(|node| node.record.node())
        .collect();
    for node in &present {
        print(&Line::of("present", node), started, output)?;
    }
    tokio::pin!(stop);
    loop {
        let event = tokio::select! {
            biased;
            // First, so that what has happened before the stop is printed.
            event = events.next() => event,
            () = &mut stop => return Ok(()),
        };
        match event {
            Some(FleetEvent::Joined(node)) if present.contains(&node.node()) => {}
            Some(event) => print(&describe(&event), started, output)?,
            None => return Err(Failure::failed("the watch has ended; start it again")),
        }
    }
}

/// One event, in words and in fields.
struct Line {
    event: &'static str,
    words: String,
    fields: Map<String, Value>,
}

impl Line {
    fn new(event: &'static str, words: impl Into<String>) -> Self {
        Self {
            event,
            words: words.into(),
            fields: Map::new(),
        }
    }

    fn of(event: &'static str, node: &NodeIncarnation) -> Self {
        Self::new(event, node.to_string())
            .with("node", node.node.as_str())
            .with("incarnation", node.incarnation.number)
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(key.to_owned(), value.into());
        self
    }
}

fn describe(event: &FleetEvent) -> Line {
    match event {
        FleetEvent::Joined(node) => with_address(Line::of("joined", &node.node()), node),
        FleetEvent::Changed(node) => with_address(
            Line::of("changed", &node.node()).with("state", node.state.as_str()),
            node,
        ),
        FleetEvent::Left { node, reason } => {
            let reason = reason.map_or("unknown", |reason| reason.as_str());
            let mut line = Line::of("left", node).with("reason", reason);
            line.words = format!("{node} ({reason})");
            line
        }
        FleetEvent::Suspect(node) => Line::of("suspect", node),
        FleetEvent::Missed(missed) => Line::new(
            "missed",
            format!("{missed} events, since this reader was too slow"),
        )
        .with("events", *missed),
        other => Line::new("other", format!("{other:?}")).with("detail", format!("{other:?}")),
    }
}

fn with_address(mut line: Line, node: &ringhold::NodeRecord) -> Line {
    let Some(address) = node.endpoint("player") else {
        return line;
    };
    line.words = format!("{} at {address}", line.words);
    line.with("address", address.as_str())
}

fn print(line: &Line, started: Instant, output: &mut Output<'_>) -> Result<(), Failure> {
    let at = started.elapsed();
    if output.is_json() {
        let mut value = Map::new();
        value.insert("at_ms".to_owned(), json!(millis(at)));
        value.insert("event".to_owned(), json!(line.event));
        value.extend(line.fields.clone());
        return output.value(&value);
    }
    output.line(format!(
        "{:>9.3} s  {:<8} {}",
        at.as_secs_f64(),
        line.event,
        line.words
    ))
}
