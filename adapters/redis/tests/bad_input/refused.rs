//! Servers that are not there, and servers that want another password.

use std::net::TcpListener;
use std::time::Duration;

use ringhold_core::{Error, ErrorKind};
use ringhold_testkit::launch::{RedisOptions, RedisServer};
use ringhold_testkit::{run, within};

use crate::each_client::on_each_client;
use crate::real::open;

fn a_dead_host_is_named(client: &str) {
    run("a dead host", async {
        // Nobody listens on a port that was free just now.
        let port = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let (first, second) = (port(), port());
        for scheme in ["redis", "redis-cluster"] {
            let url = format!("{scheme}://127.0.0.1:{first}?node=127.0.0.1:{second}&deadline_ms=800{client}");
            let error = tokio::time::timeout(Duration::from_secs(10), open(&url))
                .await
                .expect("its deadline is below a second")
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            let text = error.to_string();
            for said in [
                &format!("127.0.0.1:{first}"),
                &format!("127.0.0.1:{second}"),
                "running",
            ] {
                assert!(text.contains(said), "{said} is not in {text}");
            }
        }
    });
}

/// Everything that an error shows to anybody.
fn shown(error: &Error) -> String {
    let mut shown = vec![format!("{error} {error:?} {error:#?}")];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        shown.push(format!("{error} {error:?}"));
        source = error.source();
    }
    shown.join(" ")
}

fn a_wrong_password_is_refused_and_not_repeated(client: &str) {
    let server = RedisServer::start(&RedisOptions::new().password("p@ss-word-of-it")).unwrap();
    run("a wrong password", async {
        let address = server.address();
        for login in [
            "",
            ":hunter2-of-us@",
            "nobody:hunter2-of-us@",
            ":p%2540ss-word-of-it@",
        ] {
            let url = format!("redis://{login}{address}?deadline_ms=2000{client}");
            let error = within("a refusal", open(&url)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{login}: {error}");
            assert!(error.context().contains("password"), "{error}");
            let shown = shown(&error);
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(!shown.contains("ss-word-of-it"), "{shown}");
        }
        for login in [":p%40ss-word-of-it@", "default:p%40ss-word-of-it@"] {
            open(&format!("redis://{login}{address}?fleet=in{client}"))
                .await
                .unwrap();
        }
        assert!(server.url("default").contains(":p%40ss-word-of-it@"));
        open(&(server.url("default") + client)).await.unwrap();
    });
}

on_each_client!(
    a_dead_host_is_named
    a_wrong_password_is_refused_and_not_repeated
);
