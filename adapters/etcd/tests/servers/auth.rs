//! Users, passwords and tokens.

use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Permission};
use ringhold_core::ErrorKind;
use ringhold_testkit::Make;
use ringhold_testkit::launch::{EtcdCluster, EtcdOptions};

use crate::support::{one, open, start, ttl};

const PASSWORD: &str = "hunter2 & more";

async fn with_password(options: EtcdOptions) -> EtcdCluster {
    start(options.password(PASSWORD)).await
}

async fn root(cluster: &EtcdCluster) -> Client {
    let options = ConnectOptions::new().with_user("root", PASSWORD);
    Client::connect([cluster.address(0).to_string()], Some(options))
        .await
        .expect("the password is right")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_at_once_and_never_shown() {
    let cluster = with_password(EtcdOptions::new().members(1)).await;
    let address = cluster.address(0);
    for (url, said) in [
        (
            format!("etcd://root:hunter3@{address}"),
            "refuses this user or password",
        ),
        (
            format!("etcd://nobody:hunter3@{address}"),
            "refuses this user or password",
        ),
        (format!("etcd://{address}"), "asks for a user"),
    ] {
        let error = open(&url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(!error.is_retryable() && error.context().contains(said), "{error}");
        assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
    }
    let open_to_all = one().await;
    let error = open(&format!("etcd://root:hunter3@{}", open_to_all.address(0)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.context().contains("asks for no user"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_token_that_expired_or_was_taken_away_is_replaced() {
    // A token that nobody uses lives for a second.
    let options = EtcdOptions::new().members(1).argument("--auth-token-ttl=1");
    let cluster = with_password(options).await;
    let make = Make::new("slow_a_token_that_expired_or_was_taken_away_is_replaced");
    let backend = open(&cluster.url("auth")).await.unwrap();
    let login = || make.login(&make.player(), &make.owner(), ttl(600));
    let session = backend.sessions.create(login()).await.unwrap().session;
    // sleep: nothing but time makes a token expire
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(backend.sessions.get(&session.id).await.unwrap().is_some());

    // Changes of users make all tokens old.
    let root = root(&cluster).await;
    let mut auth = root.auth_client();
    auth.user_add("another", "password", None).await.unwrap();
    backend.sessions.create(login()).await.unwrap();
    auth.role_add("anything").await.unwrap();
    backend.sessions.create(login()).await.unwrap();

    // A member that starts again knows no token.
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.restart(0).expect("it starts again");
        cluster
    });
    let cluster = cluster.await.unwrap();
    assert!(backend.sessions.get(&session.id).await.unwrap().is_some());
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_fleets_prefix_may_and_one_without_may_not() {
    let cluster = with_password(EtcdOptions::new()).await;
    let make = Make::new("a_user_with_the_fleets_prefix_may_and_one_without_may_not");
    let root = root(&cluster).await;
    let mut auth = root.auth_client();
    for user in ["fleet", "stranger"] {
        auth.user_add(user, "password", None).await.unwrap();
    }
    auth.role_add("ringhold").await.unwrap();
    let all = Permission::read_write("/ringhold/").with_prefix();
    auth.role_grant_permission("ringhold", all).await.unwrap();
    auth.user_grant_role("fleet", "ringhold").await.unwrap();
    let url = |user: &str| format!("etcd://{user}:password@{}?fleet=auth", cluster.address(0));
    let backend = open(&url("fleet")).await.unwrap();
    let login = make.login(&make.player(), &make.owner(), ttl(60));
    let created = backend.sessions.create(login).await.unwrap();
    assert_eq!(created.replicated, 1, "it sees how many members there are");
    let error = open(&url("stranger")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.context().contains("--prefix /ringhold/"), "{error}");
}
