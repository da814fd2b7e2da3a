//! The suites bite: for each rule, backends that break it on purpose, and the assertion that says so.
//!
//! A fault is a small change of what goes into, or comes out of, a backend that keeps every rule.
//! Each suite's table says which rule must notice which fault, and in which words, so that a rule
//! which fails for another reason does not count. A rule without a fault fails the test, and so does
//! a backend without a fault that a rule finds something wrong with.

mod discovery;
mod discovery_faults;
mod discovery_watch;
mod history;
mod store;
mod store_broken;
mod store_faults;
mod transport;
mod transport_faults;
mod transport_streams;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// A fault, the rule that must notice it, and words of the assertion that does.
type Case<F> = (F, &'static str, &'static str);

/// A function that runs the rule of a name.
macro_rules! by_name {
    ($suite:ident $($rule:ident)+) => {
        /// Runs the rule `name`.
        pub(crate) async fn run(name: &str, harness: &Harness) {
            match name {
                $(stringify!($rule) => ringhold_testkit::$suite::$rule(harness).await,)+
                other => panic!("{other} is no rule of this suite"),
            }
        }
    };
}
pub(crate) use by_name;

thread_local! {
    /// Panics of this thread are what is looked for.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// What `body` panics with, if it does. Deadlines pass as soon as there is nothing else to do.
fn complaint(body: impl Future<Output = ()>) -> Option<String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if !LOOKING.get() {
                usual(info);
            }
        }));
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime");
    LOOKING.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(body)));
    LOOKING.set(false);
    let panic = result.err()?;
    let words = panic.downcast_ref::<String>().cloned();
    words
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .or(Some("no words".to_owned()))
}

/// Runs every case, and every rule without a fault.
fn bites<F: Copy + Debug, R: Future<Output = ()>>(
    rules: &[&str],
    cases: &[Case<F>],
    sound: F,
    run: impl Fn(F, &'static str) -> R,
) {
    let mut wrong = Vec::new();
    for (fault, rule, words) in cases {
        match complaint(run(*fault, rule)) {
            None => wrong.push(format!("{rule} does not notice {fault:?}")),
            Some(said) if said.contains(words) => {}
            Some(said) => wrong.push(format!("{rule} notices {fault:?}, and not by {words:?}: {said}")),
        }
        if let Some(said) = complaint(run(sound, rule)) {
            wrong.push(format!("{rule} finds fault with a backend that has none: {said}"));
        }
    }
    let covered: BTreeSet<_> = cases.iter().map(|(_, rule, _)| *rule).collect();
    let bare: Vec<_> = rules.iter().filter(|rule| !covered.contains(*rule)).collect();
    if !bare.is_empty() {
        wrong.push(format!("no fault shows that these rules bite: {bare:?}"));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
