//! The least rights: they suffice for every suite where `RINGHOLD_REDIS_SERVERS` has `acl`, and they give no more.

use ringhold_core::ErrorKind;
use ringhold_redis::LEAST_ACL;
use ringhold_testkit::launch::{RedisOptions, RedisServer, Reply};
use ringhold_testkit::run;

use crate::each_client::on_each_client;
use crate::real::{Stored, open};

/// Commands that harm other users of the servers, or read their data.
const FORBIDDEN: &[&[&str]] = &[
    &["ACL", "LIST"],
    &["CLIENT", "KILL", "TYPE", "normal"],
    &["CLUSTER", "FAILOVER"],
    &["CLUSTER", "RESET"],
    &["CONFIG", "SET", "maxmemory", "1"],
    &["DEBUG", "SLEEP", "0"],
    &["FLUSHALL"],
    &["FUNCTION", "FLUSH"],
    &["GET", "another"],
    &["HGETALL", "another"],
    &["KEYS", "*"],
    &["REPLICAOF", "NO", "ONE"],
    &["SCRIPT", "FLUSH"],
    &["SHUTDOWN"],
    &["SUBSCRIBE", "ringhold"],
];

#[test]
fn least_acl_gives_nothing_that_harms_others() {
    let options = RedisOptions::new().user("app", "secret", LEAST_ACL);
    let server = RedisServer::start(&options).unwrap();
    let dry_run = |command: &[&str]| {
        let words: Vec<&[u8]> = ["ACL", "DRYRUN", "app"]
            .iter()
            .chain(command)
            .map(|word| word.as_bytes())
            .collect();
        server.ask(&words)
    };
    assert!(dry_run(&["GET", "ringhold:{x}:arena:schema"]).is_ok());
    for command in FORBIDDEN {
        let reply = dry_run(command);
        let refused = matches!(&reply, Reply::Bytes(why) if !why.is_empty());
        assert!(refused, "{command:?}: {reply:?}");
    }
}

fn missing_right_is_an_error_that_names_the_least_acl(client: &str) {
    let rules = LEAST_ACL.replace("+evalsha ", "").replace("+eval ", "");
    let server = RedisServer::start(&RedisOptions::new().user("app", "secret", rules)).unwrap();
    run("a missing right", async {
        let error = open(&(server.url("arena") + client)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.context().contains(LEAST_ACL), "{error}");
    });
}

on_each_client!(missing_right_is_an_error_that_names_the_least_acl);
