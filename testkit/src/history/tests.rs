//! Histories written by hand: some that can be, and some that cannot.

use std::time::Duration;

use super::check::{ComplaintKind, Verdict, check, check_within};
use super::file::{History, Origin};
use super::operation::{Answer, Call, Ended, Hold, Operation, Refusal, Rule, Seen};
use super::program::{Faults, Options, check_again, report};

const FIRST: Hold = Hold { epoch: 1, nonce: 11 };
const S: u64 = 1;

fn history(repeats: bool, operations: Vec<Operation>) -> History {
    let origin = Origin {
        backend: "by hand".to_owned(),
        seed: 0,
        repeats,
    };
    History { origin, operations }
}

fn checked(operations: Vec<Operation>) -> Verdict {
    check(&history(false, operations))
}

fn asked(client: u64, (asked, answered): (u64, u64), call: Call, answer: Answer) -> Operation {
    Operation {
        player: 1,
        client,
        asked,
        answered,
        call,
        answer,
    }
}

fn seen(owner: u64, fence: Hold, version: u64, data: u64) -> Seen {
    Seen {
        session: S,
        owner,
        fence,
        version,
        data,
    }
}

fn lost() -> Answer {
    Answer::None("timeout".to_owned())
}

/// Client 1 logs in at 0 to 1: owner 1, version 1, data 100.
fn login() -> Operation {
    let call = Call::Create {
        session: S,
        owner: 1,
        nonce: FIRST.nonce,
        data: 100,
        rule: Rule::Reject,
    };
    let session = seen(1, FIRST, 1, 100);
    asked(
        1,
        (0, 1),
        call,
        Answer::New {
            session,
            ended: Vec::new(),
        },
    )
}

fn get(client: u64, time: (u64, u64), version: u64, data: u64) -> Operation {
    let shown = seen(1, FIRST, version, data);
    asked(client, time, Call::Get { session: S }, Answer::Got(Some(shown)))
}

fn save(client: u64, time: (u64, u64), version: u64, data: u64, answer: Answer) -> Operation {
    let call = Call::Save {
        session: S,
        fence: FIRST,
        version,
        data,
        operation: data,
    };
    asked(client, time, call, answer)
}

fn claim(client: u64, time: (u64, u64), nonce: u64, answer: Answer) -> Operation {
    let call = Call::Claim {
        session: S,
        seen: FIRST,
        version: None,
        owner: client,
        nonce,
    };
    asked(client, time, call, answer)
}

#[track_caller]
fn fits(operations: Vec<Operation>) {
    let verdict = checked(operations);
    assert!(verdict.holds(), "{verdict}");
}

/// Rejected, by the search and not only by the rules beside it.
#[track_caller]
fn does_not_fit(operations: Vec<Operation>) -> String {
    let verdict = checked(operations);
    assert_eq!(verdict.complaints.len(), 1, "{verdict}");
    let text = verdict.to_string();
    assert!(text.contains("no order explains"), "{text}");
    text
}

#[test]
fn one_thing_after_another() {
    fits(vec![
        login(),
        save(1, (2, 3), 1, 101, Answer::Saved(2)),
        get(2, (4, 5), 2, 101),
        save(2, (6, 7), 1, 102, Answer::Refused(Refusal::VersionConflict)),
    ]);
}

#[test]
fn what_overlaps_may_come_in_either_order() {
    for (version, data) in [(1, 100), (2, 101)] {
        fits(vec![
            login(),
            save(1, (2, 6), 1, 101, Answer::Saved(2)),
            get(2, (3, 5), version, data),
        ]);
    }
}

#[test]
fn a_stale_read_does_not_fit() {
    let text = does_not_fit(vec![
        login(),
        save(1, (2, 3), 1, 101, Answer::Saved(2)),
        get(2, (4, 5), 1, 100),
        // Nobody needs this one to see it.
        get(3, (6, 7), 2, 101),
    ]);
    assert!(text.contains("went back from version 2 to 1"), "{text}");
    assert!(!text.contains("client 3"), "only what matters is shown: {text}");
    assert!(
        text.contains("the longest order that fits is 1 2; behind it, 3"),
        "{text}"
    );
}

/// Each read alone overlaps the save, but the second one began after the first had seen it.
#[test]
fn what_was_seen_stays_seen() {
    does_not_fit(vec![
        login(),
        save(1, (2, 20), 1, 101, Answer::Saved(2)),
        get(2, (3, 4), 2, 101),
        get(3, (5, 6), 1, 100),
    ]);
}

#[test]
fn one_of_two_savers_wins() {
    fits(vec![
        login(),
        save(1, (2, 6), 1, 101, Answer::Saved(2)),
        save(2, (3, 5), 1, 102, Answer::Refused(Refusal::VersionConflict)),
    ]);
    let text = does_not_fit(vec![
        login(),
        save(1, (2, 6), 1, 101, Answer::Saved(2)),
        save(2, (3, 5), 1, 102, Answer::Saved(2)),
    ]);
    assert!(text.contains("two texts in version 2"), "{text}");
}

#[test]
fn an_acknowledged_write_is_there() {
    does_not_fit(vec![
        login(),
        save(1, (2, 3), 1, 101, Answer::Saved(2)),
        save(1, (4, 5), 2, 102, Answer::Refused(Refusal::VersionConflict)),
    ]);
    does_not_fit(vec![
        login(),
        asked(2, (2, 3), Call::Find, Answer::Found(Vec::new())),
    ]);
}

#[test]
fn one_claim_wins_and_an_epoch_has_one_owner() {
    let won = |client, nonce| Answer::Claimed(seen(client, Hold { epoch: 2, nonce }, 1, 100));
    fits(vec![
        login(),
        claim(2, (2, 9), 12, won(2, 12)),
        claim(3, (3, 8), 13, Answer::Refused(Refusal::Fenced)),
        save(1, (10, 11), 1, 101, Answer::Refused(Refusal::Fenced)),
    ]);
    let text = does_not_fit(vec![
        login(),
        claim(2, (2, 9), 12, won(2, 12)),
        claim(3, (3, 8), 13, won(3, 13)),
    ]);
    assert!(text.contains("two owners in epoch 2"), "{text}");
}

#[test]
fn what_was_not_answered_happened_later_or_never() {
    let unanswered = save(1, (2, 3), 1, 101, lost());
    // Never.
    fits(vec![login(), unanswered.clone(), get(2, (4, 5), 1, 100)]);
    // At once.
    fits(vec![login(), unanswered.clone(), get(2, (4, 5), 2, 101)]);
    // Long after the client had given up.
    fits(vec![
        login(),
        unanswered.clone(),
        get(2, (4, 5), 1, 100),
        get(2, (6, 7), 2, 101),
        save(2, (8, 9), 2, 102, Answer::Saved(3)),
    ]);
    // But not before it was asked, nor backwards, nor twice.
    does_not_fit(vec![
        login(),
        save(1, (4, 5), 1, 101, lost()),
        get(2, (2, 3), 2, 101),
    ]);
    does_not_fit(vec![
        login(),
        unanswered.clone(),
        get(2, (4, 5), 2, 101),
        get(2, (6, 7), 1, 100),
    ]);
    does_not_fit(vec![login(), unanswered, get(2, (4, 5), 3, 101)]);
}

/// A definite error is an answer: it says that nothing was done.
#[test]
fn a_refusal_has_no_effect() {
    does_not_fit(vec![
        login(),
        claim(2, (2, 3), 12, Answer::Refused(Refusal::Fenced)),
    ]);
    does_not_fit(vec![
        login(),
        save(1, (2, 9), 1, 101, Answer::Refused(Refusal::VersionConflict)),
        get(2, (10, 11), 2, 101),
    ]);
    does_not_fit(vec![
        login(),
        asked(
            2,
            (2, 3),
            Call::Get { session: S },
            Answer::Refused(Refusal::Unexpected("corrupt".to_owned())),
        ),
    ]);
}

/// The repetition of a save that another one has followed is refused, though the first attempt was made:
/// a store remembers the last save. A client that repeats by itself is told so.
#[test]
fn a_client_that_repeats_may_be_refused_what_it_did() {
    let operations = vec![
        login(),
        save(1, (2, 20), 1, 101, Answer::Refused(Refusal::VersionConflict)),
        get(2, (3, 4), 2, 101),
        save(2, (5, 6), 2, 102, Answer::Saved(3)),
        get(3, (21, 22), 3, 102),
    ];
    let verdict = check(&history(true, operations.clone()));
    assert!(verdict.holds(), "{verdict}");
    does_not_fit(operations);
    // Without the save between, the repetition is answered as the first attempt was.
    let operations = vec![
        login(),
        save(1, (2, 20), 1, 101, Answer::Refused(Refusal::VersionConflict)),
        get(2, (3, 4), 2, 101),
    ];
    assert!(!check(&history(true, operations)).holds());
    // Nor is there an attempt after the refusal.
    let operations = vec![
        login(),
        save(2, (2, 3), 1, 102, Answer::Saved(2)),
        save(1, (4, 5), 2, 101, Answer::Refused(Refusal::VersionConflict)),
        get(2, (6, 7), 3, 101),
    ];
    assert!(!check(&history(true, operations)).holds());
}

#[test]
fn logins_take_over_displace_and_stay_ended() {
    let login_of = |session, owner, nonce, rule| Call::Create {
        session,
        owner,
        nonce,
        data: 100 * session,
        rule,
    };
    let taken = seen(2, Hold { epoch: 2, nonce: 12 }, 1, 100);
    let ended = Ended {
        session: S,
        owner: 1,
        fence: FIRST,
    };
    let take_over = login_of(2, 2, 12, Rule::TakeOverAnyones);
    let answered = Answer::TakenOver {
        session: taken.clone(),
        ended: vec![ended],
    };
    let late = login_of(S, 1, FIRST.nonce, Rule::Reject);
    let fresh = Seen {
        session: 3,
        owner: 3,
        fence: Hold { epoch: 1, nonce: 13 },
        version: 1,
        data: 300,
    };
    let ended = Ended {
        session: S,
        owner: 2,
        fence: taken.fence,
    };
    let replaced = Answer::New {
        session: fresh.clone(),
        ended: vec![ended],
    };
    fits(vec![
        login(),
        asked(
            2,
            (2, 3),
            login_of(7, 7, 7, Rule::Reject),
            Answer::Refused(Refusal::AlreadyExists),
        ),
        asked(
            2,
            (4, 5),
            login_of(8, 8, 8, Rule::TakeOverOwn),
            Answer::Elsewhere(seen(1, FIRST, 1, 100)),
        ),
        asked(
            2,
            (6, 7),
            login_of(9, 9, 9, Rule::Existing),
            Answer::Existing(seen(1, FIRST, 1, 100)),
        ),
        asked(2, (8, 9), take_over.clone(), answered.clone()),
        // The same login once more.
        asked(2, (10, 11), take_over.clone(), answered),
        asked(1, (12, 13), late.clone(), Answer::Refused(Refusal::Fenced)),
        asked(3, (14, 15), login_of(3, 3, 13, Rule::Replace), replaced),
        asked(2, (16, 17), take_over, Answer::Refused(Refusal::Fenced)),
        asked(3, (18, 19), Call::Find, Answer::Found(vec![fresh])),
    ]);
    // A late repetition that resurrects the displaced login.
    let back = seen(1, FIRST, 1, 100);
    let resurrected = Answer::New {
        session: back,
        ended: Vec::new(),
    };
    let replace = asked(3, (2, 3), login_of(3, 3, 13, Rule::Replace), lost());
    let shown = asked(3, (4, 5), Call::Get { session: S }, Answer::Got(None));
    does_not_fit(vec![login(), replace, shown, asked(1, (6, 7), late, resurrected)]);
}

/// Many writes without an answer at once have too many orders: that is said, and is no success.
#[test]
fn too_much_is_not_decided() {
    let mut operations = vec![login()];
    for client in 0..40_u64 {
        operations.push(save(client, (2, 3), 1 + client % 20, 200 + client, lost()));
    }
    operations.push(get(1, (4, 5), 99, 1));
    let verdict = check_within(&history(false, operations), 1_000);
    assert_eq!(verdict.complaints.len(), 1);
    assert_eq!(verdict.complaints[0].kind, ComplaintKind::Undecided);
    assert!(!verdict.holds() && verdict.to_string().contains("NOT DECIDED"));
    assert!(verdict.steps_max <= 1_002, "{}", verdict.steps_max);
}

#[test]
fn players_are_judged_apart() {
    let mut other = login();
    other.player = 2;
    let mut stale = get(3, (8, 9), 1, 100);
    stale.player = 2;
    let save = save(1, (2, 3), 1, 101, Answer::Saved(2));
    let verdict = checked(vec![other, login(), save, stale]);
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(
        (verdict.players, verdict.operations, verdict.ambiguous),
        (2, 4, 0)
    );
}

#[test]
fn a_file_brings_a_history_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("history.jsonl");
    let written = history(true, vec![login(), save(1, (2, 3), 1, 101, lost())]);
    written.write(&path).expect("a file");
    assert_eq!(History::read(&path).expect("a history"), written);
    let text = std::fs::read_to_string(&path).expect("a text");
    std::fs::write(&path, text.replace("\"client\":1", "\"client\":-1")).expect("a file");
    let error = History::read(&path).expect_err("no client has this number");
    assert!(error.to_string().contains("line 2"), "{error}");
    std::fs::write(&path, "").expect("a file");
    assert!(History::read(&path).is_err());
}

fn options(words: &[&str]) -> Result<Options, String> {
    Options::read(words.iter().map(|word| (*word).to_owned()))
}

#[test]
fn a_program_does_as_it_is_asked() {
    let asked = options(&["--minutes", "0.5", "--seed", "7", "--durability", "fast"]).expect("they are fine");
    assert_eq!((asked.time.as_secs(), asked.seed), (30, 7));
    assert_eq!(asked.durability.as_deref(), Some("fast"));
    for words in [
        &["--minutes", "0"][..],
        &["--minutes", "NaN"],
        &["--seed", "-1"],
        &["--seed"],
        &["--speed", "1"],
    ] {
        assert!(options(words).is_err(), "{words:?}");
    }
}

#[test]
fn a_report_says_whether_something_was_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("history.jsonl");
    let file = path.to_str().expect("UTF-8");
    let asked = options(&["--file", file]).expect("they are fine");
    let good = history(false, vec![login(), get(2, (2, 3), 1, 100)]);
    assert!(report(&good, &Faults::new(), &asked) && check_again(&path));
    // Faults that nobody felt.
    assert!(!report(&good, &Faults::from([("a fault", 1)]), &asked));
    assert!(!report(&history(false, Vec::new()), &Faults::new(), &asked));
    let bad = history(false, vec![login(), get(2, (2, 3), 2, 100)]);
    assert!(!report(&bad, &Faults::new(), &asked));
    assert_eq!(History::read(&path).expect("it was written"), bad);
    assert!(!check_again(&path) && !check_again(folder.path()));
}

/// What was not answered can be anything, so that a store which answers nothing would pass.
#[test]
fn silence_shows_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("history.jsonl");
    let asked = options(&["--file", path.to_str().expect("UTF-8")]).expect("they are fine");
    let faults = Faults::from([("a fault", 1)]);
    let good = |operations: Vec<Operation>, faults: &Faults| {
        let history = history(false, operations);
        assert!(check(&history).holds(), "some order explains it");
        report(&history, faults, &asked)
    };
    let mut unanswered = login();
    unanswered.answer = lost();
    assert!(!good(vec![unanswered.clone()], &faults));
    assert!(!check_again(&path));
    assert!(!good(Vec::new(), &Faults::new()));
    assert!(!check_again(&path));
    // Clients that do not wait feel no fault; those that are told so do, and those that wait for long.
    let mut impatient = save(1, (2, 3), 1, 101, lost());
    impatient.answer = Answer::given_up(Duration::from_millis(1));
    assert!(!good(vec![login(), impatient.clone()], &faults));
    assert!(good(vec![login(), impatient], &Faults::new()));
    assert!(good(vec![login(), save(1, (2, 3), 1, 101, lost())], &faults));
    assert!(good(vec![login(), get(2, (2, 600_000_000), 1, 100)], &faults));
    // A store that has not come back.
    let look = |answer| vec![login(), asked_last(answer)];
    assert!(!good(look(lost()), &Faults::new()));
    assert!(!check_again(&path));
    let stands = Answer::Found(vec![seen(1, FIRST, 1, 100)]);
    assert!(good(look(stands), &Faults::new()) && check_again(&path));
}

fn asked_last(answer: Answer) -> Operation {
    asked(0, (8, 9), Call::Find, answer)
}
