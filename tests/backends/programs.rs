//! A server's program that is not installed.

use std::process::Command;

use ringhold::ErrorKind;
use ringhold::testing::backends;

/// Set for the process in which nothing is installed.
const BARE: &str = "RINGHOLD_TEST_NOTHING_INSTALLED";

/// The test runs itself once more, with a path on which there is nothing.
#[tokio::test]
async fn a_missing_program_is_an_error_that_says_what_to_install() {
    if std::env::var_os(BARE).is_some() {
        return nothing_is_installed().await;
    }
    let this = std::env::current_exe().unwrap();
    let name = "programs::a_missing_program_is_an_error_that_says_what_to_install";
    let output = Command::new(this)
        .args(["--exact", name, "--nocapture"])
        .env("PATH", "")
        .env(BARE, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
}

async fn nothing_is_installed() {
    let needs_a_server = cfg!(any(
        feature = "redis",
        feature = "redis-cluster",
        feature = "etcd"
    ));
    match backends().await {
        Ok(backends) => assert!(!needs_a_server, "{backends:?} run without their programs"),
        Err(error) => {
            assert!(needs_a_server, "{error}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(!error.is_retryable());
            let named = ["redis-server", "etcd-server"]
                .iter()
                .any(|package| error.context().contains(&format!("apt-get install {package}")));
            assert!(named, "{error}");
        }
    }
}
