//! One real server, and what can happen to it.

use std::path::Path;
use std::time::Duration;

use ringhold_launch::{ErrorKind, RedisOptions, RedisServer, Reply, ServerClock};

fn start(options: &RedisOptions) -> RedisServer {
    RedisServer::start(options).unwrap()
}

fn get(server: &RedisServer, key: &str) -> Option<String> {
    server.command(&["GET", key]).unwrap().check().unwrap().text()
}

fn seconds(server: &RedisServer) -> u64 {
    match server.command(&["TIME"]).unwrap() {
        Reply::Array(parts) => parts[0].text().unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_answers_and_is_gone_when_it_is_dropped() {
    let server = start(&RedisOptions::new());
    assert!(server.command(&["SET", "a", "1"]).unwrap().is_ok());
    assert_eq!(get(&server, "a").as_deref(), Some("1"));
    assert!(matches!(server.command(&["NO"]).unwrap(), Reply::Error(words) if words.starts_with("ERR ")));
    assert_eq!(
        server.url("arena"),
        format!("redis://127.0.0.1:{}?fleet=arena", server.port())
    );
    let folder = server.command(&["CONFIG", "GET", "dir"]).unwrap();
    let Reply::Array(folder) = folder else {
        panic!("{folder:?}")
    };
    let folder = folder[1].text().unwrap();
    let process = format!("/proc/{}", server.pid().unwrap());
    assert!(Path::new(&process).exists() && Path::new(&folder).exists());
    drop(server);
    assert!(!Path::new(&process).exists() && !Path::new(&folder).exists());
}

#[test]
fn it_is_stopped_resumed_killed_and_restarted() {
    let server = start(
        &RedisOptions::new()
            .append_only(true)
            .config_line("appendfsync always"),
    );
    server.command(&["SET", "a", "1"]).unwrap().check().unwrap();
    server.stop().unwrap();
    let process = format!("/proc/{}/stat", server.pid().unwrap());
    assert!(std::fs::read_to_string(process).unwrap().contains(" T "));
    server.resume().unwrap();
    assert_eq!(get(&server, "a").as_deref(), Some("1"));
    server.kill();
    assert_eq!(server.pid(), None);
    let failure = server.command(&["PING"]).unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Unreachable);
    assert_eq!(server.stop().unwrap_err().kind(), ErrorKind::Invalid);
    let port = server.port();
    server.restart().unwrap();
    assert_eq!(
        (server.port(), get(&server, "a").as_deref()),
        (port, Some("1")),
        "kept in its append-only file"
    );
}

#[test]
fn a_stopped_one_is_gone_too_when_it_is_dropped() {
    let server = start(&RedisOptions::new());
    let process = format!("/proc/{}", server.pid().unwrap());
    server.stop().unwrap();
    drop(server);
    assert!(!Path::new(&process).exists());
}

#[test]
fn a_password_is_asked_for_and_not_told() {
    let password = "p \"@/é";
    let server = start(&RedisOptions::new().password(password));
    assert!(server.command(&["SET", "a", "1"]).unwrap().is_ok());
    assert!(
        server
            .url("eu")
            .starts_with("redis://:p%20%22%40%2F%C3%A9@127.0.0.1:")
    );
    assert!(!format!("{server:?}").contains(password));
}

#[test]
fn what_redis_refuses_is_told_with_its_last_words() {
    let failure = RedisServer::start(&RedisOptions::new().config_line("no-such-thing 1")).unwrap_err();
    assert_eq!(failure.kind(), ErrorKind::Start);
    assert!(failure.message().contains("no-such-thing"), "{failure}");
}

#[test]
fn a_limit_of_memory_refuses_writes() {
    let server = start(&RedisOptions::new().max_memory(1));
    let reply = server.command(&["SET", "a", "1"]).unwrap();
    assert!(
        matches!(&reply, Reply::Error(words) if words.starts_with("OOM")),
        "{reply:?}"
    );
}

#[test]
fn a_settable_clock_stands_still_until_it_is_moved() {
    let server = start(&RedisOptions::new().clock(ServerClock::Settable));
    let clock = server.clock().unwrap();
    let begin = seconds(&server);
    assert_eq!(begin, clock.now().as_secs());
    server
        .command(&["SET", "a", "1", "PX", "5000"])
        .unwrap()
        .check()
        .unwrap();
    clock.advance(Duration::from_secs(5)).unwrap();
    assert_eq!(
        get(&server, "a").as_deref(),
        Some("1"),
        "a key lasts until after its last millisecond"
    );
    clock.advance(Duration::from_millis(1)).unwrap();
    assert_eq!((get(&server, "a"), seconds(&server)), (None, begin + 5));
    clock.set(Duration::from_secs(begin - 60)).unwrap();
    assert_eq!(seconds(&server), begin - 60);
    assert!(start(&RedisOptions::new()).clock().is_none());
}

#[test]
fn server_collates_as_its_locale_and_not_as_this_process() {
    let compare = ["EVAL", "return 'a' < 'B' and 1 or 0", "0"];
    for (options, expected) in [(RedisOptions::new(), 0), (RedisOptions::new().locale("en_US"), 1)] {
        let server = start(&options);
        let reply = server.command(&compare).unwrap();
        assert_eq!(reply.integer(), Some(expected), "{options:?}");
    }
}

#[test]
fn url_names_the_user_and_commands_are_those_of_default() {
    let options = RedisOptions::new()
        .password("root")
        .user("app", "s", "~a* -@all +ping");
    let server = start(&options);
    assert!(server.url("arena").starts_with("redis://app:s@127.0.0.1:"));
    let reply = server.command(&["ACL", "GETUSER", "app"]).unwrap();
    let Reply::Array(fields) = reply else {
        panic!("{reply:?}")
    };
    assert!(
        fields.iter().any(|field| field.text().as_deref() == Some("~a*")),
        "{fields:?}"
    );
}
