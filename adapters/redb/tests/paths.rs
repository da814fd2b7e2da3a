//! Paths that are written in unusual ways.

use ringhold_redb::RedbBackend;
use url::Url;

#[tokio::test]
async fn a_slash_at_the_end_is_the_same_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let url: Url = format!("redb://{}/arena/", folder.path().display())
        .parse()
        .unwrap();
    let first = RedbBackend::open_url(&url).await.map(drop);
    let second = RedbBackend::open_url(&url).await.map(drop);
    assert_eq!(first.is_ok(), second.is_ok(), "{first:?} {second:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_to_what_is_not_there_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("arena.redb");
    std::os::unix::fs::symlink(folder.path().join("unmounted/arena.redb"), &link).unwrap();
    let url: Url = format!("redb://{}", link.display()).parse().unwrap();
    let opened = RedbBackend::open_url(&url).await.map(drop);
    assert!(link.is_symlink(), "{opened:?}");
}
