//! The engine on a store in memory that fails, panics and waits as it is told.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;
use ringhold_core::discovery::{RegisterNode, RenewLease};
use ringhold_core::node::Load;
use ringhold_core::session::{ClaimSession, OnExisting, RepairSessions};
use ringhold_core::{
    Discovery, Error, ErrorKind, FleetName, NodeIncarnation, PlayerId, Result, SessionRecord, SessionStore,
    Timing, Ttl,
};
use ringhold_testkit::{Make, WAIT_MAX, wait_for, within};

use super::{
    Driver, EmbeddedBackend, EmbeddedConfig, EmbeddedDurability, Opening, Snapshot, Storage, Writes,
};

/// The disks of these tests, by their paths.
static DISKS: Mutex<BTreeMap<std::path::PathBuf, Arc<Disk>>> = Mutex::new(BTreeMap::new());

/// What a store is made of, and what is done to it.
#[derive(Debug, Default)]
struct Disk {
    keys: Mutex<BTreeMap<Vec<u8>, Bytes>>,
    commits: AtomicUsize,
    durable: AtomicUsize,
    opened: AtomicUsize,
    /// The most bytes of one commit.
    largest: AtomicUsize,
    /// What the next commit does instead.
    next: Mutex<Fault>,
    /// What opening it again says, if it fails.
    broken: Mutex<Option<ErrorKind>>,
    /// Commits wait here while it is shut.
    shut: Mutex<bool>,
    open: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
enum Fault {
    #[default]
    None,
    Fail,
    /// Writes, and fails to bring it to the disk.
    FailToFlush,
    Panic,
}

#[derive(Debug)]
struct Memory(Arc<Disk>);

struct Shot(BTreeMap<Vec<u8>, Bytes>);

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    fn at(path: &Path) -> Arc<Self> {
        Arc::clone(lock(&DISKS).entry(path.to_path_buf()).or_default())
    }

    fn shut(&self, is_shut: bool) {
        *lock(&self.shut) = is_shut;
        self.open.notify_all();
    }

    fn count(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::SeqCst)
    }
}

impl Storage for Memory {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        Ok(Box::new(Shot(lock(&self.0.keys).clone())))
    }

    fn commit(&self, writes: &Writes, durable: bool) -> Result<()> {
        let disk = &self.0;
        let is_shut = lock(&disk.shut);
        drop(disk.open.wait_while(is_shut, |is_shut| *is_shut));
        let fault = std::mem::take(&mut *lock(&disk.next));
        match fault {
            Fault::None | Fault::FailToFlush => {}
            Fault::Fail => return Err(Error::new(ErrorKind::Unavailable, "disk", "it fails")),
            Fault::Panic => panic!("a damaged page"),
        }
        let flushed = durable && !matches!(fault, Fault::FailToFlush);
        disk.commits.fetch_add(1, Ordering::SeqCst);
        disk.durable.fetch_add(usize::from(flushed), Ordering::SeqCst);
        let bytes = writes.values().flatten().map(Bytes::len).sum();
        disk.largest.fetch_max(bytes, Ordering::SeqCst);
        let mut keys = lock(&disk.keys);
        for (key, value) in writes {
            match value {
                Some(value) => drop(keys.insert(key.clone(), value.clone())),
                None => drop(keys.remove(key)),
            }
        }
        if matches!(fault, Fault::FailToFlush) {
            return Err(Error::new(ErrorKind::Unavailable, "disk", "it does not flush"));
        }
        Ok(())
    }
}

impl Snapshot for Shot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>> {
        let span = (Bound::Included(from), Bound::Excluded(to));
        let found = self.0.range::<[u8], _>(span).take(limit);
        Ok(found
            .map(|(key, value)| (key.clone().into(), value.clone()))
            .collect())
    }
}

const DRIVER: Driver = Driver {
    scheme: "memory-of-tests",
    folder: true,
    open: |path, opening| {
        let disk = Disk::at(path);
        disk.opened.fetch_add(1, Ordering::SeqCst);
        let is_shut = lock(&disk.shut);
        drop(disk.open.wait_while(is_shut, |is_shut| *is_shut));
        let broken = *lock(&disk.broken);
        if let Some(kind) = broken.filter(|_| opening == Opening::Again) {
            return Err(Error::new(kind, "disk", "it cannot be opened again"));
        }
        Ok(Box::new(Memory(disk)))
    },
};

struct Bed {
    disk: Arc<Disk>,
    backend: EmbeddedBackend,
    make: Make,
    owner: NodeIncarnation,
}

impl Bed {
    async fn new(name: &'static str, durability: EmbeddedDurability) -> Self {
        // Nothing is made there; the name is the test's own.
        let path = std::env::temp_dir().join(format!("ringhold-{name}-{}", std::process::id()));
        let config = EmbeddedConfig::new(&path, FleetName::new("arena").unwrap()).durability(durability);
        let backend = EmbeddedBackend::open(DRIVER, config).await.unwrap();
        let path = path
            .parent()
            .unwrap()
            .canonicalize()
            .unwrap()
            .join(path.file_name().unwrap());
        let make = Make::new(name);
        Self {
            disk: Disk::at(&path),
            backend,
            owner: make.owner(),
            make,
        }
    }

    async fn log_in(&self) -> Result<SessionRecord> {
        let login = self.make.login(&self.make.player(), &self.owner, Ttl::MAX);
        Ok(self.backend.sessions().create(login).await?.session)
    }

    /// Waits until the store works again after it has failed.
    async fn works_again(&self) {
        wait_for("the store to work again", WAIT_MAX, async || self.log_in().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_goes_together_and_one_that_is_refused_takes_back_its_own() {
    let bed = Arc::new(Bed::new("together", EmbeddedDurability::Durable).await);
    let player = bed.make.player();
    bed.disk.shut(true);
    // The first is under way alone; the rest wait for it and go together.
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..101 {
        let (bed, player) = (Arc::clone(&bed), player.clone());
        tasks.spawn(async move {
            let login = bed
                .make
                .login_with(&player, &bed.owner, Ttl::MAX, OnExisting::Reject);
            (index, bed.backend.sessions().create(login).await)
        });
    }
    let before = Disk::count(&bed.disk.commits);
    bed.disk.shut(false);
    let (mut made, mut refused) = (0, 0);
    while let Some(answer) = tasks.join_next().await {
        match answer.unwrap().1 {
            Ok(_) => made += 1,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(
        (made, refused),
        (1, 100),
        "each saw what the ones before it wrote"
    );
    let commits = Disk::count(&bed.disk.commits) - before;
    assert!(commits < 50, "{commits} commits for 101 requests");
    let account = bed.backend.account().await.unwrap();
    assert_eq!((account.sessions, account.faults), (1, 0), "{account:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_more_than_the_queue_holds_is_overloaded_at_once() {
    let bed = Arc::new(Bed::new("overloaded", EmbeddedDurability::Durable).await);
    let data = Bytes::from(vec![0; 60_000]);
    bed.disk.shut(true);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1_500 {
        let (bed, data) = (Arc::clone(&bed), data.clone());
        tasks.spawn(async move {
            let login = bed.make.login(&bed.make.player(), &bed.owner, Ttl::MAX);
            bed.backend.sessions().create(login.with_data(data)).await
        });
    }
    // While nothing is written, the only answers are refusals.
    let refused = within("a refusal", tasks.join_next()).await.unwrap().unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Overloaded);
    bed.disk.shut(false);
    let (mut made, mut refused) = (0, 1);
    while let Some(answer) = tasks.join_next().await {
        match answer.unwrap() {
            Ok(_) => made += 1,
            Err(error) if error.kind() == ErrorKind::Overloaded => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(made + refused, 1_500);
    assert!(made >= 1_000, "{made} of 1,500 were let through");
    assert_eq!(bed.backend.account().await.unwrap().sessions, made);
    bed.log_in().await.expect("it takes requests again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_or_panics_is_told_and_opened_again() {
    let bed = Bed::new("fails", EmbeddedDurability::Durable).await;
    bed.log_in().await.unwrap();
    let mut opened = Disk::count(&bed.disk.opened);
    for (fault, reason) in [(Fault::Fail, "it fails"), (Fault::Panic, "a panic")] {
        let kind = ErrorKind::Unavailable;
        *lock(&bed.disk.next) = fault;
        let told = bed.log_in().await.unwrap_err();
        assert_eq!(told.kind(), kind, "{told}");
        assert!(told.is_retryable() && told.context().contains(reason), "{told}");
        let player = PlayerId::new("nobody").unwrap();
        let told = bed.backend.sessions().find(&player).await.unwrap_err();
        assert_eq!(told.kind(), kind, "readers are told the same: {told}");
        bed.works_again().await;
        assert_eq!(bed.backend.sessions().find(&player).await.unwrap(), []);
        let now = Disk::count(&bed.disk.opened);
        assert_eq!(now, opened + 1, "it was opened once more");
        opened = now;
    }
    let account = bed.backend.account().await.unwrap();
    assert_eq!((account.sessions, account.faults), (3, 0), "{account:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fast_answers_first_and_is_durable_soon() {
    let bed = Bed::new("fast", EmbeddedDurability::Fast).await;
    let before = Disk::count(&bed.disk.durable);
    for _ in 0..20 {
        bed.log_in().await.unwrap();
    }
    wait_for("a durable commit", WAIT_MAX, async || {
        let now = Disk::count(&bed.disk.durable);
        if now > before { Ok(()) } else { Err(now) }
    })
    .await;
    let (commits, durable) = (Disk::count(&bed.disk.commits), Disk::count(&bed.disk.durable));
    assert!(durable < commits, "{durable} of {commits}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewals_wait_for_no_disk_and_registrations_do() {
    let bed = Bed::new("soft", EmbeddedDurability::Durable).await;
    let discovery = bed.backend.discovery();
    let durable = || Disk::count(&bed.disk.durable);
    let before = durable();
    let record = bed.make.node();
    let registration = RegisterNode::new(record.clone(), Timing::default());
    let registered = discovery.register(registration).await.unwrap();
    assert_eq!(durable(), before + 1);
    let node = NodeIncarnation::new(record.id, registered.incarnation);
    let revision = registered.membership.revision;
    for sessions in 0..50 {
        let renewal = RenewLease::new(node.clone(), revision, Load::new(sessions), bed.make.operation());
        discovery.renew(renewal).await.unwrap();
    }
    // One may come when its time has come.
    assert!(durable() <= before + 2, "{} durable commits", durable() - before);
    let before = durable();
    bed.log_in().await.unwrap();
    assert!(durable() > before, "and a login waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_together_is_found() {
    let bed = Bed::new("account", EmbeddedDurability::Durable).await;
    for _ in 0..5 {
        bed.log_in().await.unwrap();
    }
    let sound = bed.backend.account().await.unwrap();
    assert_eq!((sound.sessions, sound.faults), (5, 0), "{sound:?}");
    for kind in ["body", "due", "player", "session"] {
        let keys = lock(&bed.disk.keys).clone();
        let prefix = format!("arena/{kind}/").into_bytes();
        let one = keys.keys().find(|key| key.starts_with(&prefix)).unwrap();
        lock(&bed.disk.keys).remove(one);
        let account = bed.backend.account().await.unwrap();
        assert!(account.faults > 0, "a {kind} key less is no fault");
        assert!(!account.examples.is_empty());
        let mut request = RepairSessions::repair();
        while let Some(next) = bed.backend.sessions().repair(request.clone()).await.unwrap().next {
            request = request.after(next);
        }
        let account = bed.backend.account().await.unwrap();
        assert_eq!(account.faults, 0, "{kind}: {account:?}");
        *lock(&bed.disk.keys) = keys;
    }
    lock(&bed.disk.keys).insert(b"arena/due/x".to_vec(), Bytes::new());
    assert_eq!(bed.backend.account().await.unwrap().faults, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_schema_is_not_opened() {
    let path = std::env::temp_dir().join(format!("ringhold-schema-{}", std::process::id()));
    let at = path.parent().unwrap().canonicalize().unwrap();
    let disk = Disk::at(&at.join(path.file_name().unwrap()));
    let config = |fleet| EmbeddedConfig::new(&path, FleetName::new(fleet).unwrap());
    for (fleet, schema) in [("older", b"1"), ("newer", b"3")] {
        lock(&disk.keys).insert(format!("{fleet}/schema").into_bytes(), Bytes::from_static(schema));
        let told = EmbeddedBackend::open(DRIVER, config(fleet)).await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Unsupported, "{told}");
    }
    EmbeddedBackend::open(DRIVER, config("other"))
        .await
        .expect("another fleet has a schema of its own");
}

#[test]
fn outside_of_a_runtime_is_an_error() {
    let config = EmbeddedConfig::new("x", FleetName::new("arena").unwrap());
    let mut opening = Box::pin(EmbeddedBackend::open(DRIVER, config));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match opening.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::InvalidArgument),
        other => panic!("{other:?}"),
    }
}

/// A handle that waits for the disk answers no repetition before the first attempt is there, also where that
/// came through a handle that does not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_through_a_durable_handle_is_durable() {
    let fast = Bed::new("mixed", EmbeddedDurability::Fast).await;
    let path = std::env::temp_dir().join(format!("ringhold-mixed-{}", std::process::id()));
    let config = EmbeddedConfig::new(&path, FleetName::new("arena").unwrap());
    let durable = EmbeddedBackend::open(DRIVER, config).await.unwrap();
    let before = Disk::count(&fast.disk.durable);
    let login = fast.make.login(&fast.make.player(), &fast.owner, Ttl::MAX);
    fast.backend.sessions().create(login.clone()).await.unwrap();
    durable.sessions().create(login).await.unwrap();
    let now = Disk::count(&fast.disk.durable);
    assert!(now > before, "{now} durable commits at the answer, as before");
}

/// A commit that failed may have been written and not flushed: who repeats it waits for a flush of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_after_a_failure_is_durable() {
    let bed = Bed::new("unflushed", EmbeddedDurability::Durable).await;
    let login = bed.make.login(&bed.make.player(), &bed.owner, Ttl::MAX);
    *lock(&bed.disk.next) = Fault::FailToFlush;
    let sessions = bed.backend.sessions();
    sessions.create(login.clone()).await.unwrap_err();
    let before = Disk::count(&bed.disk.durable);
    wait_for("the store to work again", WAIT_MAX, async || {
        sessions.create(login.clone()).await
    })
    .await;
    let now = Disk::count(&bed.disk.durable);
    assert!(now > before, "{now} durable commits at the answer, as before");
}

/// A claim is small and writes its session's data anew: a batch is bounded by what it writes, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_bounded_by_what_it_writes() {
    let bed = Bed::new("bounded", EmbeddedDurability::Durable).await;
    let data = Bytes::from(vec![0; 60_000]);
    let mut held = Vec::new();
    for _ in 0..400 {
        let login = bed.make.login(&bed.make.player(), &bed.owner, Ttl::MAX);
        let created = bed.backend.sessions().create(login.with_data(data.clone())).await;
        held.push(created.unwrap().session);
    }
    bed.disk.shut(true);
    let sessions = bed.backend.sessions();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut claims = Vec::new();
    for session in held {
        let (owner, nonce) = (bed.make.owner(), bed.make.nonce());
        let claim = ClaimSession::new(session.id, session.fence, owner, nonce, Ttl::MAX);
        let mut claiming = sessions.claim(claim);
        // It is in the queue once it was looked at.
        assert!(claiming.as_mut().poll(&mut context).is_pending());
        claims.push(claiming);
    }
    bed.disk.shut(false);
    for claiming in claims {
        claiming.await.unwrap();
    }
    let largest = Disk::count(&bed.disk.largest);
    assert!(largest < (8 << 20) + 100_000, "{largest} bytes in one commit");
}

/// What opening it again says is what is told from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_opening_again_says_is_told() {
    let bed = Bed::new("broken", EmbeddedDurability::Durable).await;
    for broken in [ErrorKind::Unavailable, ErrorKind::Corrupt] {
        *lock(&bed.disk.broken) = Some(broken);
        *lock(&bed.disk.next) = Fault::Panic;
        let told = bed.log_in().await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Unavailable, "{told}");
        let words = "it cannot be opened again";
        wait_for("what opening says", WAIT_MAX, async || match bed.log_in().await {
            Err(told) if told.kind() == broken && told.context() == words => Ok(()),
            Err(told) => Err(told.to_string()),
            Ok(_) => Err("it works".to_owned()),
        })
        .await;
        // Until the next attempt, it is the same.
        let told = bed.log_in().await.unwrap_err();
        assert_eq!((told.kind(), told.context()), (broken, words));
        *lock(&bed.disk.broken) = None;
        bed.works_again().await;
    }
}

/// A store that comes back ends no watch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_outlives_a_panic_of_the_store() {
    let bed = Bed::new("watched", EmbeddedDurability::Durable).await;
    let discovery = bed.backend.discovery();
    let register = || discovery.register(RegisterNode::new(bed.make.node(), Timing::default()));
    let mut watch = discovery.watch(None).await.unwrap();
    *lock(&bed.disk.next) = Fault::Panic;
    register().await.unwrap_err();
    // Its first look finds a store that has failed.
    let mut next = Box::pin(watch.next());
    assert!(polled(&mut next).is_pending());
    let registered = wait_for("the store to work again", WAIT_MAX, async || register().await).await;
    let wanted = registered.membership.revision;
    drop(within("an update", next).await.unwrap());
    assert!(discovery.members().await.unwrap().revision.number >= wanted.number);
}

fn polled<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut context)
}

/// One big file, or one that is slow to open, holds up nobody but those who ask for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_opening_holds_up_no_other() {
    let name = format!("ringhold-slow-opening-{}", std::process::id());
    let path = std::env::temp_dir().canonicalize().unwrap().join(name);
    let disk = Disk::at(&path);
    disk.shut(true);
    let open = move || {
        let config = EmbeddedConfig::new(&path, FleetName::new("arena").unwrap());
        tokio::spawn(EmbeddedBackend::open(DRIVER, config))
    };
    let (slow, same) = (open(), open());
    wait_for("the slow opening", WAIT_MAX, async || {
        match Disk::count(&disk.opened) {
            0 => Err("it has not begun"),
            _ => Ok(()),
        }
    })
    .await;
    let other = within(
        "another opening",
        Bed::new("other-opening", EmbeddedDurability::Durable),
    )
    .await;
    other.log_in().await.unwrap();
    disk.shut(false);
    slow.await.unwrap().unwrap();
    same.await.unwrap().unwrap();
}

/// Sessions are served where what is stored of the members is damaged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_membership_is_an_error_of_membership() {
    let name = format!("ringhold-spoiled-{}", std::process::id());
    let path = std::env::temp_dir().canonicalize().unwrap().join(name);
    lock(&Disk::at(&path).keys).insert(b"arena/fleet".to_vec(), Bytes::from_static(b"?"));
    let bed = Bed::new("spoiled", EmbeddedDurability::Durable).await;
    bed.log_in().await.expect("sessions are served");
    let discovery = bed.backend.discovery();
    let registration = RegisterNode::new(bed.make.node(), Timing::default());
    let told = [
        discovery.members().await.map(drop),
        discovery.timing().await.map(drop),
        discovery.watch(None).await.map(drop),
        discovery.register(registration).await.map(drop),
    ];
    for told in told {
        assert_eq!(told.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
