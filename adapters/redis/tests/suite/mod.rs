//! The servers that suites run on.

use ringhold_redis::LEAST_ACL;
use ringhold_testkit::launch::RedisOptions;

/// Plain servers, or servers that differ in what the environment variable `RINGHOLD_REDIS_SERVERS` names.
pub(crate) fn servers() -> RedisOptions {
    RedisOptions::for_suite(LEAST_ACL).expect("a list of dimensions")
}
