//! Which distributed trace a call belongs to: [W3C Trace Context](https://www.w3.org/TR/trace-context/).

use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// The most bytes of a `tracestate`, as the recommendation asks to be carried on.
const STATE_BYTES_MAX: usize = 512;
const STATE_ENTRIES_MAX: usize = 32;

/// Where in a distributed trace something happens.
///
/// ```
/// use ringhold_core::transport::TraceContext;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace = TraceContext::parse(header, None)?;
/// assert!(trace.is_sampled());
/// assert_eq!(trace.to_string(), header);
/// # Ok::<_, ringhold_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// A new trace that is not sampled. Both are random; zeros alone are no id, so their last bit is set.
    pub const fn new(mut trace_id: [u8; 16], mut span_id: [u8; 8]) -> Self {
        trace_id[15] |= (u128::from_be_bytes(trace_id) == 0) as u8;
        span_id[7] |= (u64::from_be_bytes(span_id) == 0) as u8;
        Self {
            trace_id,
            span_id,
            flags: 0,
            state: None,
        }
    }

    /// Reads the headers `traceparent` and `tracestate`. A `tracestate` that is too long or no text of
    /// visible ASCII is left out, as the recommendation allows.
    ///
    /// # Errors
    /// `InvalidArgument` where `traceparent` is none: then a new trace begins.
    pub fn parse(parent: &str, state: Option<&str>) -> Result<Self> {
        let context = Self::parse_parent(parent.as_bytes()).ok_or_else(|| {
            let context =
                "is no `traceparent`, such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            Error::new(ErrorKind::InvalidArgument, "trace context", context)
        })?;
        Ok(context.with_state(state.unwrap_or_default()))
    }

    fn parse_parent(parent: &[u8]) -> Option<Self> {
        // Later versions may have more behind these 55 bytes, set apart by a dash.
        let (head, rest) = parent.split_at_checked(55)?;
        let [a, b, b'-', ids @ ..] = head else { return None };
        let version = byte(*a, *b)?;
        if version == u8::MAX || !(rest.is_empty() || version > 0 && rest[0] == b'-') {
            return None;
        }
        let (trace_id, ids) = ids.split_at(32);
        let [b'-', ids @ ..] = ids else { return None };
        let (span_id, ids) = ids.split_at(16);
        let [b'-', high, low] = ids else { return None };
        let (trace_id, span_id) = (bytes::<16>(trace_id)?, bytes::<8>(span_id)?);
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self {
            trace_id,
            span_id,
            // Of the flags only the first two have a meaning in the version that is written here.
            flags: byte(*high, *low)? & 0b11,
            state: None,
        })
    }

    /// The same with what tracing systems have added, left out where it cannot be carried.
    #[must_use]
    pub fn with_state(mut self, state: &str) -> Self {
        let carried = !state.is_empty()
            && state.len() <= STATE_BYTES_MAX
            && state.split(',').count() <= STATE_ENTRIES_MAX
            && state
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t');
        self.state = carried.then(|| state.into());
        self
    }

    /// The same, marked as recorded or not.
    #[must_use]
    pub const fn sampled(mut self, sampled: bool) -> Self {
        self.flags = self.flags & 0b10 | sampled as u8;
        self
    }

    /// The next span of the same trace; its id is random.
    #[must_use]
    pub fn child(&self, span_id: [u8; 8]) -> Self {
        Self {
            state: self.state.clone(),
            flags: self.flags,
            ..Self::new(self.trace_id, span_id)
        }
    }

    /// Which trace.
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// Which span in it.
    pub const fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// Whether the caller records it.
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// What tracing systems have added: the header `tracestate`.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// The header `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace_id, span_id) = (
            u128::from_be_bytes(self.trace_id),
            u64::from_be_bytes(self.span_id),
        );
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self})")
    }
}

/// Lower-case hexadecimal, as the recommendation has it.
fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn byte(high: u8, low: u8) -> Option<u8> {
    Some(digit(high)? << 4 | digit(low)?)
}

fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte_of, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte_of = byte(pair[0], pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_recommendation_refuses_is_refused() {
        for bad in [
            "",
            "00",
            &PARENT[..54],
            &PARENT.to_uppercase(),
            &PARENT.replace('-', "_"),
            &PARENT.replacen("00", "ff", 1),
            &format!("{PARENT}-00"),
            &format!("01{}x", &PARENT[2..]),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            let error = TraceContext::parse(bad, None).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        let later = TraceContext::parse(&format!("cc{}-what-comes", &PARENT[2..]), None).unwrap();
        assert_eq!(
            later.to_string(),
            PARENT,
            "and is written in the version known here"
        );
    }

    #[test]
    fn a_state_is_carried_or_left_out() {
        let trace = |state: &str| TraceContext::parse(PARENT, Some(state)).unwrap();
        assert_eq!(trace("a=1,b=2").state(), Some("a=1,b=2"));
        assert_eq!(
            trace("a=1").child([7; 8]).state(),
            Some("a=1"),
            "a child keeps it"
        );
        for bad in ["", "a=\u{1b}", "a=é", &"x".repeat(513), &"a=1,".repeat(32)] {
            assert_eq!(trace(bad).state(), None, "{bad}");
        }
    }

    #[test]
    fn a_child_has_its_own_span_in_the_same_trace() {
        let trace = TraceContext::parse(PARENT, None).unwrap();
        let child = trace.child([0; 8]);
        assert_eq!(child.trace_id(), trace.trace_id());
        assert_ne!(child.span_id(), [0; 8], "zeros are no id");
        assert!(child.is_sampled() && !child.sampled(false).is_sampled());
        assert!(TraceContext::parse(&TraceContext::new([0; 16], [0; 8]).to_string(), None).is_ok());
    }

    #[test]
    fn each_part_is_answered_as_it_was_read() {
        let trace = TraceContext::parse(PARENT, None).unwrap();
        assert_eq!(
            trace.trace_id(),
            0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()
        );
        assert_eq!(trace.span_id(), 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        assert_eq!(format!("{trace:?}"), format!("TraceContext({PARENT})"));
        // Of the flags two are kept, and one of them says whether it is sampled.
        for (flags, kept, sampled) in [("00", "00", false), ("02", "02", false), ("ff", "03", true)] {
            let header = format!("{}{flags}", &PARENT[..53]);
            let trace = TraceContext::parse(&header, None).unwrap();
            assert_eq!(trace.to_string(), format!("{}{kept}", &PARENT[..53]));
            assert_eq!(trace.is_sampled(), sampled);
            // The other flag stays as it is.
            let other = u8::from_str_radix(kept, 16).unwrap() & 2;
            for sampled in [false, true] {
                let marked = trace.clone().sampled(sampled).to_string();
                assert_eq!(marked[53..], format!("{:02x}", other | u8::from(sampled)));
            }
        }
    }

    #[test]
    fn an_id_of_zeros_alone_is_made_one() {
        let zeros = TraceContext::new([0; 16], [0; 8]);
        assert_eq!((zeros.trace_id()[15], zeros.span_id()[7]), (1, 1));
        // And no other is touched.
        let even = TraceContext::new([2; 16], [4; 8]);
        assert_eq!((even.trace_id(), even.span_id()), ([2; 16], [4; 8]));
        assert!(!even.is_sampled());
    }

    #[test]
    fn a_state_may_be_as_long_as_the_recommendation_says() {
        let trace = |state: &str| TraceContext::parse(PARENT, Some(state)).unwrap();
        let entries = |count: usize| vec!["a=1"; count].join(",");
        for good in ["x".repeat(512), entries(32), "a=1,\tb= 2".to_owned()] {
            assert_eq!(trace(&good).state(), Some(&good[..]));
        }
        assert_eq!(trace(&entries(33)).state(), None);
    }
}
