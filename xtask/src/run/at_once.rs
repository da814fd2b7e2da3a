//! Steps that run beside each other.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Call, CameTo, Done, Problem, Result, Steps};

/// A call that printed fewer lines is shown whole.
const LINES_MAX: usize = 60;

/// Calls by the names of their steps.
#[derive(Default)]
pub(crate) struct Calls {
    list: Vec<(String, Call)>,
    /// Dropped after the last call, such as servers that the calls use.
    keep: Vec<Box<dyn Any>>,
}

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds the calls of another step.
    pub(crate) fn extend(&mut self, other: Self) {
        self.list.extend(other.list);
        self.keep.extend(other.keep);
    }

    /// Keeps a value until the last call has ended.
    pub(crate) fn keeping(mut self, value: impl Any) -> Self {
        self.keep.push(Box::new(value));
        self
    }
}

impl<T: IntoIterator<Item = (String, Call)>> From<T> for Calls {
    fn from(list: T) -> Self {
        Self {
            list: list.into_iter().collect(),
            keep: Vec::new(),
        }
    }
}

/// What ended: its place in the order of the calls, how long it took, and how.
type Ended = (usize, Duration, Result<()>);

impl Steps {
    /// Runs the calls as steps of these names, at most `width` at once, and shows when each ends what it printed: all of
    /// it where it failed or is short, and else the call and the last line.
    ///
    /// After the first that fails no other begins if `stop_early`, and `stop` is called once, so that those that run can
    /// be told to end. All that began are waited for. The failures are one [`Problem`].
    pub(crate) fn at_once(
        &mut self,
        width: usize,
        calls: impl Into<Calls>,
        stop_early: bool,
        stop: impl Fn() + Sync,
    ) -> Result<()> {
        let Calls { list, keep } = calls.into();
        eprintln!(
            "\n==> {}{} programs, at most {width} at once",
            self.progress,
            list.len()
        );
        let names: Vec<String> = list.iter().map(|(name, _)| name.clone()).collect();
        let waiting = Mutex::new(list.into_iter().enumerate().collect::<VecDeque<_>>());
        let (ended, failed) = (Mutex::new(Vec::<Ended>::new()), AtomicBool::new(false));
        let work = || {
            while !(stop_early && failed.load(Ordering::Relaxed)) {
                let Some((place, (name, call))) = locked(&waiting).pop_front() else {
                    return;
                };
                let start = Instant::now();
                let (printed, outcome) = call.run_apart(&name);
                let took = start.elapsed();
                let outcome = outcome.map_err(|problem| Problem::new(format!("{name}: {problem}")));
                if outcome.is_err() && !failed.swap(true, Ordering::Relaxed) {
                    stop();
                }
                // The lock also keeps what one printed in one piece.
                let mut ended = locked(&ended);
                let shown = if outcome.is_ok() { ends(&printed) } else { printed };
                let seconds = took.as_secs_f64();
                eprintln!("\n==> {name}, {seconds:.1} s\n{}", shown.trim_end());
                ended.push((place, took, outcome));
            }
        };
        thread::scope(|scope| {
            for _ in 0..width.max(1) {
                scope.spawn(work);
            }
        });
        drop(keep);
        let mut ended = ended.into_inner().expect("nobody panicked with it");
        ended.sort_by_key(|(place, ..)| *place);
        let mut problems = Vec::new();
        for (place, took, outcome) in ended {
            self.done.push(Done {
                name: names[place].clone(),
                took,
                came_to: CameTo::of(&outcome),
            });
            problems.extend(outcome.err().map(|problem| problem.to_string()));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Problem::new(problems.join("\n")))
        }
    }
}

/// The first line and the last one of more lines than a reader would look at.
fn ends(printed: &str) -> String {
    match printed.trim_end().split_once('\n') {
        Some((_, rest)) if rest.lines().count() < LINES_MAX => printed.to_owned(),
        Some((first, rest)) => format!("{first}\n{}", rest.lines().last().unwrap_or_default()),
        None => printed.to_owned(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panicked with it")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn shell(script: &str) -> Call {
        Call::new("sh", ["-c", script])
    }

    fn calls(scripts: &[&str]) -> Vec<(String, Call)> {
        let named = scripts.iter().enumerate();
        named
            .map(|(at, script)| (format!("step-{at}"), shell(script)))
            .collect()
    }

    #[test]
    fn all_run_and_stand_in_the_table_in_order() {
        let mut steps = Steps::default();
        let stop = || panic!("nothing failed");
        steps
            .at_once(2, calls(&["echo a", "echo b >&2", "true"]), true, stop)
            .unwrap();
        let names: Vec<&str> = steps.done.iter().map(|done| done.name.as_str()).collect();
        assert_eq!(names, ["step-0", "step-1", "step-2"]);
        assert!(steps.done.iter().all(|done| done.came_to == CameTo::Passed));
    }

    /// Each of the two ends only when the other has begun.
    #[test]
    fn two_run_at_once() {
        let folder = std::env::temp_dir().join(format!("ringhold-at-once-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let pipe = |name: &str| folder.join(name).display().to_string();
        let (one, other) = (pipe("one"), pipe("other"));
        Call::new("mkfifo", [&one, &other]).run().unwrap();
        let scripts = [
            format!("echo x > {one} && cat {other}"),
            format!("cat {one} && echo x > {other}"),
        ];
        let outcome =
            Steps::default().at_once(2, calls(&scripts.each_ref().map(String::as_str)), true, || {});
        std::fs::remove_dir_all(&folder).unwrap();
        outcome.unwrap();
    }

    #[test]
    fn the_first_failure_stops_the_others_once() {
        let (mut steps, stopped) = (Steps::default(), AtomicUsize::new(0));
        let stop = || {
            stopped.fetch_add(1, Ordering::Relaxed);
        };
        let problem = steps
            .at_once(1, calls(&["true", "exit 7", "true"]), true, stop)
            .unwrap_err()
            .to_string();
        assert!(
            problem.starts_with("step-1: `sh -c exit 7` failed") && !problem.contains('\n'),
            "{problem}"
        );
        assert_eq!(stopped.into_inner(), 1);
        // The third did not begin.
        let came_to: Vec<&CameTo> = steps.done.iter().map(|done| &done.came_to).collect();
        assert_eq!(came_to, [&CameTo::Passed, &CameTo::Failed]);
    }

    #[test]
    fn others_go_on_after_a_failure_where_that_is_asked_for() {
        let mut steps = Steps::default();
        let calls = calls(&["exit 7", "true"]);
        steps.at_once(1, calls, false, || {}).unwrap_err();
        let came_to: Vec<&CameTo> = steps.done.iter().map(|done| &done.came_to).collect();
        assert_eq!(came_to, [&CameTo::Failed, &CameTo::Passed]);
    }

    #[test]
    fn output_that_a_check_refuses_is_a_failure() {
        let refused = |printed: &str| Err(Problem::new(format!("refused {printed:?}")));
        let mut steps = Steps::default();
        let call = shell("echo out").checked(refused);
        let problem = steps
            .at_once(1, [("it".to_owned(), call)], true, || {})
            .unwrap_err();
        assert!(problem.to_string().starts_with("it: refused"), "{problem}");
    }

    #[test]
    fn of_much_that_is_printed_the_ends_are_shown() {
        let long = format!("$ call\n{}Done\n\n", "line\n".repeat(LINES_MAX));
        assert_eq!(ends(&long), "$ call\nDone");
        assert_eq!(ends("$ call\na\nDone\n"), "$ call\na\nDone\n");
        assert_eq!(ends("$ call\n"), "$ call\n");
    }

    #[test]
    fn what_is_printed_is_kept_together() {
        let (printed, outcome) = shell("echo out; echo err >&2; exit 1").run_apart("it");
        assert!(outcome.is_err());
        assert!(printed.ends_with("out\nerr\n"), "{printed}");
        let (_, outcome) = Call::new("ringhold-has-no-such-program", ["x"]).run_apart("it");
        assert!(outcome.unwrap_err().to_string().contains("did not start"));
    }
}
