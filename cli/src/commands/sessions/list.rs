//! `ringhold sessions list`.

use clap::Args;
use ringhold::core::session::{Cursor, ListSessions, UnreadableSession};
use ringhold::{NodeId, Observer, SessionId};
use serde_json::json;

use super::{SessionRow, print};
use crate::exit::Failure;
use crate::output::{Output, grouped, shown};

/// Which sessions.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those that this node holds
    #[arg(long, value_name = "NODE")]
    pub node: Option<NodeId>,
    /// Go on after this session
    #[arg(long, value_name = "ID")]
    pub after: Option<SessionId>,
    /// The most sessions; 0 for all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: usize,
}

/// The most sessions that are asked for at once.
const PAGE: u16 = 500;

pub(super) async fn run(
    observer: &Observer,
    args: &ListArgs,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let most = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut request = ListSessions::all(PAGE);
    request.after = args.after.map(Cursor);
    if let Some(node) = &args.node {
        let view = observer.view();
        let member = view.node(node).ok_or_else(|| {
            Failure::not_found(format!(
                "no node {node} in the fleet {}",
                observer.backend().fleet
            ))
        })?;
        request.owner = Some(member.record.node());
    }
    let (mut rows, mut printed, mut unreadable) = (Vec::new(), 0, 0);
    let next = loop {
        let left = most - printed - rows.len();
        request.limit = u16::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = observer.backend().sessions.list(request.clone()).await?;
        rows.extend(
            page.sessions
                .iter()
                .map(|record| SessionRow::seen_by(observer, record)),
        );
        unreadable += page.unreadable.len();
        warn(&page.unreadable, output)?;
        if output.is_json() {
            // Page by page, so that a listing of any length takes no more memory than one.
            print(&rows, output)?;
            printed += rows.len();
            rows.clear();
        }
        let Some(next) = page.next else { break None };
        if printed + rows.len() >= most {
            break Some(next);
        }
        request.after = Some(next);
    };
    if output.is_json() {
        return Ok(());
    }
    if !rows.is_empty() {
        print(&rows, output)?;
        output.line("")?;
    }
    let not_readable = if unreadable == 0 {
        String::new()
    } else {
        format!(", not readable: {unreadable}")
    };
    output.line(format!("sessions: {}{not_readable}", grouped(rows.len() as u64)))?;
    match next {
        Some(Cursor(id)) => output.line(format!("there are more: --after {id}, or --limit 0 for all")),
        None => Ok(()),
    }
}

/// Shows sessions that cannot be read here; they never stop a listing.
fn warn(unreadable: &[UnreadableSession], output: &mut Output<'_>) -> Result<(), Failure> {
    for UnreadableSession {
        id, kind, context, ..
    } in unreadable
    {
        if output.is_json() {
            let error = json!({ "kind": kind.as_str(), "message": context });
            output.value(&json!({ "session": id.to_string(), "unreadable": error }))?;
        } else {
            output.line(format!("{id}: {kind}: {}", shown(context)))?;
        }
    }
    Ok(())
}
