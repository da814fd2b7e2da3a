//! What a session takes of memory: a process of its own for each store, which fills it and looks at its
//! resident pages, so that nothing that another store gave back is used again.

use std::process::Command;
use std::{env, fs};

use super::store::{Guest, Time};
use super::{NAMES, guests, make};

const ASKED: &str = "--fill";

/// The number of the store that this process is to fill.
pub(crate) fn asked(arguments: &[String]) -> Option<usize> {
    let mut words = arguments.iter().skip_while(|word| *word != ASKED);
    words.nth(1)?.parse().ok()
}

/// Fills it, and prints the bytes of one session.
pub(crate) fn tell(store: usize, arguments: &[String]) {
    let count = arguments.last().and_then(|word| word.parse().ok());
    let guests: Vec<Guest> = guests(count.expect("a number of sessions"), 0);
    let store = make(NAMES[store], Time::running());
    let before = resident();
    for guest in &guests {
        // The store gets a name of its own, as from a request that is gone afterwards.
        let mut guest = guest.clone();
        guest.player = ringhold_core::PlayerId::new(guest.player.as_str()).expect("a name");
        store.create(&guest);
    }
    let bytes = resident().saturating_sub(before);
    println!("{}", bytes / guests.len() as u64);
}

/// Asks another process.
pub(super) fn bytes_per_session(store: usize, count: usize) -> f64 {
    let program = env::current_exe().expect("this program");
    let answer = Command::new(program)
        .args([ASKED, &store.to_string(), &count.to_string()])
        .output();
    let answer = answer.expect("this program runs");
    let text = String::from_utf8(answer.stdout).expect("a number");
    text.trim().parse().expect("a number")
}

/// The bytes of this process that are in memory.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .expect("a number of pages");
    pages * rustix::param::page_size() as u64
}
