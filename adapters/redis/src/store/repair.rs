//! Checks and repairs of whole partitions.

use futures_util::stream::{self, StreamExt};
use ringhold_core::session::{
    Cursor, ListSessions, RepairCursor, RepairSessions, RepairedSessions, SessionFault, SessionProblem,
};
use ringhold_core::{Error, ErrorKind, Partition, Result, SessionId};

use super::{RedisSessions, about};
use crate::client::{Elements, malformed};
use crate::script::{self, Script};

const REPAIR: &str = "repair";

/// How many partitions one part of a check has.
const PARTITIONS: usize = 16;

/// How many sessions are decoded at once.
const PAGE: u16 = 256;

/// Checks the partitions after the cursor of the request.
pub(super) async fn part(store: &RedisSessions, request: &RepairSessions) -> Result<RepairedSessions> {
    let first = match &request.after {
        None => 0,
        Some(cursor) => read(cursor)?.get(),
    };
    let partitions: Vec<Partition> = Partition::all().skip(usize::from(first)).collect();
    let calls: Vec<_> = partitions
        .iter()
        .take(PARTITIONS)
        .map(|partition| partition_part(store, *partition, request.repair))
        .collect();
    let results: Vec<_> = stream::iter(calls).buffered(PARTITIONS).collect().await;
    let mut part = RepairedSessions::default();
    let mut failed = None;
    for (partition, result) in partitions.iter().zip(results) {
        match result {
            // The next part begins with the partition that failed, so that this one is checked again.
            Ok((_, faults)) if failed.is_some() => {
                part.faults
                    .extend(faults.into_iter().filter(|fault| fault.repaired));
            }
            Ok((entries, faults)) => {
                part.entries += entries;
                part.faults.extend(faults);
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(partition = partition.get(), %error, "a partition cannot be read");
                let entry = format!("partition/{}", partition.get());
                part.faults
                    .push(SessionFault::new(entry, SessionProblem::Unreadable));
            }
            Err(error) => {
                failed.get_or_insert((*partition, error));
            }
        }
    }
    let next = match failed {
        // Otherwise what was repaired is to be reported before the error, which the next part returns.
        Some((_, error)) if part == RepairedSessions::default() => return Err(error),
        Some((partition, _)) => Some(partition),
        None => partitions.get(PARTITIONS).copied(),
    };
    part.next = next.map(|next| RepairCursor::from_bytes(next.get().to_be_bytes().to_vec()));
    Ok(part)
}

fn read(cursor: &RepairCursor) -> Result<Partition> {
    let number = <[u8; 2]>::try_from(cursor.as_bytes()).map(u16::from_be_bytes);
    number
        .ok()
        .and_then(|number| Partition::new(number).ok())
        .ok_or_else(|| {
            let context = "the cursor is not one of this store's repairs";
            Error::new(ErrorKind::InvalidArgument, REPAIR, context)
        })
}

/// How many sessions and tombstones a partition has, and its faults.
async fn partition_part(
    store: &RedisSessions,
    partition: Partition,
    repairs: bool,
) -> Result<(u64, Vec<SessionFault>)> {
    let mut found = lost_keys(store, partition).await?;
    if !repairs && !found.is_empty() {
        return Ok((0, found));
    }
    // The scripts of a repair have a lost key rebuilt first.
    let (list, script) = if repairs {
        (&script::LIST, &script::REPAIR)
    } else {
        (&script::LIST_CHECK, &script::CHECK)
    };
    let undecodable = undecodable(store, partition, list).await?;
    let mut words = store.keys.sessions(script, partition);
    words
        .word(if repairs { b"1" } else { b"" as &[u8] })
        .word(&partition.get().to_be_bytes());
    for (id, seen) in undecodable {
        words.word(&id.to_bytes()).word(seen.as_bytes());
    }
    let name = about(&partition.get().to_be_bytes());
    let (status, _) = store
        .run(REPAIR, partition, script, store.replicas, words, name)
        .await?;
    let (entries, faults) = faults(status.done(REPAIR, None)?, repairs)?;
    for fault in &mut found {
        fault.repaired = true;
    }
    found.extend(faults);
    Ok((entries, found))
}

/// A fault for each key of a partition that is lost.
async fn lost_keys(store: &RedisSessions, partition: Partition) -> Result<Vec<SessionFault>> {
    let words = store.keys.sessions(&script::LOST, partition);
    let (status, _) = store
        .run(REPAIR, partition, &script::LOST, 0, words, None)
        .await?;
    let names = status.done(REPAIR, None)?.bytes()?;
    let fault = |name: &u8| {
        let entry = format!("partition/{}/{}", partition.get(), char::from(*name));
        SessionFault::new(entry, SessionProblem::Lost)
    };
    Ok(names.iter().map(fault).collect())
}

/// The sessions that only a decoder can tell to be unreadable, each with the SHA-1 of its header and body.
async fn undecodable(
    store: &RedisSessions,
    partition: Partition,
    script: &'static Script,
) -> Result<Vec<(SessionId, String)>> {
    let mut undecodable = Vec::new();
    let mut request = ListSessions::all(PAGE);
    loop {
        let (more, found) = store
            .list_partition(partition, &request, usize::from(PAGE), (script, true))
            .await?;
        let last = found.last().map(|found| found.id);
        for found in found {
            if found
                .stored
                .is_err_and(|error| error.kind() == ErrorKind::Corrupt)
            {
                let bytes = [&found.header[..], &found.body[..]].concat();
                undecodable.push((found.id, sha1_smol::Sha1::from(bytes).digest().to_string()));
            }
        }
        match last {
            Some(last) if more => request.after = Some(Cursor(last)),
            _ => return Ok(undecodable),
        }
    }
}

fn faults(mut elements: Elements, repairs: bool) -> Result<(u64, Vec<SessionFault>)> {
    let entries = elements.number()?;
    let mut faults = Vec::new();
    while !elements.is_empty() {
        let (kind, name, problem) = (elements.bytes()?, elements.bytes()?, elements.bytes()?);
        let problem = match &problem[..] {
            b"dangling" => SessionProblem::Dangling,
            b"not_indexed" => SessionProblem::NotIndexed,
            b"unreadable" => SessionProblem::Unreadable,
            b"newer" => SessionProblem::Newer,
            _ => return Err(malformed(REPAIR, "an unknown problem")),
        };
        let id = <[u8; 18]>::try_from(&name[..])
            .ok()
            .and_then(|id| SessionId::from_bytes(id).ok());
        let name = match id {
            Some(id) if &kind[..] != b"player" => id.to_string(),
            _ => String::from_utf8_lossy(&name).into_owned(),
        };
        let mut fault = SessionFault::new(format!("{}/{name}", String::from_utf8_lossy(&kind)), problem);
        fault.repaired = repairs && problem != SessionProblem::Newer;
        faults.push(fault);
    }
    Ok((entries, faults))
}
