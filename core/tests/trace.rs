//! Trace contexts from outside: whatever comes is a trace or an error.

use proptest::array::{uniform8, uniform16};
use proptest::option;
use proptest::prelude::*;
use ringhold_core::ErrorKind;
use ringhold_core::transport::TraceContext;

/// Texts that are nearly a `traceparent`: one with a few characters changed, cut or added to.
fn nearly() -> impl Strategy<Value = String> {
    let parent = "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,8})?";
    let change = (0..60_usize, any::<char>());
    (parent, option::of(change), option::of(0..60_usize)).prop_map(|(parent, change, cut)| {
        let mut text: Vec<char> = parent.chars().collect();
        if let Some((place, other)) = change
            && let Some(character) = text.get_mut(place)
        {
            *character = other;
        }
        text.truncate(cut.unwrap_or(usize::MAX));
        text.into_iter().collect()
    })
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[0-9a-fA-F-]{50,60}", nearly()]
}

proptest! {
    #[test]
    fn any_text_is_a_trace_or_an_error(parent in any_text(), state in option::of(any::<String>())) {
        match TraceContext::parse(&parent, state.as_deref()) {
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument);
                prop_assert!(!error.context().is_empty());
            }
            Ok(trace) => {
                prop_assert_ne!(trace.trace_id(), [0; 16]);
                prop_assert_ne!(trace.span_id(), [0; 8]);
                // All but the version and the flags is passed on as it came.
                let written = trace.to_string();
                prop_assert_eq!(&written[2..53], &parent[2..53]);
                if let Some(carried) = trace.state() {
                    prop_assert_eq!(Some(carried), state.as_deref());
                    prop_assert!(carried.len() <= 512 && carried.is_ascii());
                    prop_assert!(!carried.contains(|c: char| c.is_ascii_control() && c != '\t'));
                }
                let again = TraceContext::parse(&written, trace.state());
                prop_assert_eq!(again.ok(), Some(trace));
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again(
        trace_id in uniform16(any::<u8>()),
        span_id in uniform8(any::<u8>()),
        sampled: bool,
        state in option::of("[a-z0-9=]{1,40}(,[ -+\\--~]{1,20}){0,6}"),
    ) {
        let trace = TraceContext::new(trace_id, span_id)
            .sampled(sampled)
            .with_state(state.as_deref().unwrap_or_default());
        prop_assert_eq!(trace.state(), state.as_deref());
        let header = trace.to_string();
        prop_assert_eq!(header.len(), 55);
        let read = TraceContext::parse(&header, trace.state());
        prop_assert_eq!(read.ok(), Some(trace));
    }
}
