//! Damaged stores: an answer or a typed error, whatever was done to the files.

mod bed;
use ringhold_testkit::embedded::survives_damage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_damage() {
    let folder = tempfile::tempdir().unwrap();
    let damages = survives_damage(&bed::Bed, folder.path(), 400).await;
    println!("{damages:#?}");
}
