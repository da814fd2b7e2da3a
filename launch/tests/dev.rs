//! A cluster that outlives its value.

use std::path::Path;

use ringhold_launch::{ClusterOptions, DevCluster, DevNode, DevRole, ErrorKind, RedisOptions, ServerClock};

/// Stops the cluster however the test ends.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Ok(Some(cluster)) = DevCluster::load(self.path()) {
            let _ = cluster.stop();
        }
    }
}

fn processes(nodes: &[DevNode]) -> Vec<String> {
    nodes
        .iter()
        .map(|node| format!("/proc/{}/cwd", node.pid.unwrap()))
        .collect()
}

fn kill(node: &DevNode) {
    let pid = i32::try_from(node.pid.unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn slow_it_is_found_again_revived_and_stopped() {
    let folder = Folder::new();
    assert!(DevCluster::load(folder.path()).unwrap().is_none());
    let started = DevCluster::start(folder.path(), &ClusterOptions::new()).unwrap();
    let (url, nodes) = (started.url(Some("eu")), started.nodes().unwrap());
    assert!(
        url.ends_with("&fleet=eu") && url.matches("node=127.0.0.1:").count() == 5,
        "{url}"
    );
    assert!(!started.url(None).contains("fleet"));
    let busy = DevCluster::load(folder.path()).unwrap_err();
    assert!(
        busy.kind() == ErrorKind::Invalid && busy.message().contains("busy"),
        "{busy}"
    );
    drop(started);

    let again = DevCluster::start(folder.path(), &ClusterOptions::new()).unwrap_err();
    assert!(again.message().contains("holds something"), "{again}");
    let mut found = DevCluster::load(folder.path()).unwrap().unwrap();
    assert_eq!(found.url(Some("eu")), url);
    assert_eq!(found.revive().unwrap(), 0);
    assert!(nodes.iter().all(|node| node.ok && node.memory.is_some()));
    assert!(matches!(
        &nodes[1].role,
        Some(DevRole::Master { slots: 5_461 | 5_462 })
    ));
    let of = nodes[1].id.clone();
    assert_eq!(nodes[4].role, Some(DevRole::Replica { of }));

    kill(&nodes[5]);
    let seen = loop {
        let seen = found.nodes().unwrap();
        if seen[5].pid.is_none() {
            break seen;
        }
    };
    assert_eq!((seen[5].role.clone(), seen[5].ok), (None, false));
    assert_eq!(found.revive().unwrap(), 1);
    let nodes = found.nodes().unwrap();
    assert!(nodes.iter().all(|node| node.ok), "{nodes:?}");

    let processes = processes(&nodes);
    assert!(processes.iter().all(|process| Path::new(process).exists()));
    assert_eq!(found.stop().unwrap(), 6);
    assert!(!folder.path().exists());
    assert!(processes.iter().all(|process| !Path::new(process).exists()));
}

#[test]
fn a_folder_of_somebody_else_and_options_of_tests_are_refused() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("thesis.md"), "mine").unwrap();
    let failure = DevCluster::start(folder.path(), &ClusterOptions::new()).unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Invalid);
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|name| name.unwrap().file_name())
        .collect();
    assert_eq!(names, ["thesis.md"]);
    let other = tempfile::tempdir().unwrap();
    let settable = RedisOptions::new().clock(ServerClock::Settable);
    for options in [
        ClusterOptions::new().cuttable(true),
        ClusterOptions::new().skewable(true),
        ClusterOptions::new().server(settable),
        ClusterOptions::new().server(RedisOptions::new().password("secret")),
        ClusterOptions::new().masters(0),
    ] {
        let failure = DevCluster::start(other.path(), &options).unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn servers_that_do_not_start_leave_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("cluster");
    let options = ClusterOptions::new().server(RedisOptions::new().config_line("no-such-thing 1"));
    let failure = DevCluster::start(&folder, &options).unwrap_err();
    assert!(failure.message().contains("no-such-thing"), "{failure}");
    assert!(!folder.exists());
}
