//! What the supervisor needs of a client library: the same for each of them, on a real server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use ringhold_testkit::launch::{self, RedisOptions, RedisServer};
use ringhold_testkit::{poll_once, run, wait_for, within};
use tokio::runtime::Handle;

use super::{Access, Command, Connector, LIBRARIES, Link, LinkError, Reply, ServerError};

const LONG: Duration = Duration::from_secs(10);

fn connector(client: &str, password: Option<&str>) -> Arc<dyn Connector> {
    let library = LIBRARIES.iter().find(|library| library.name == client);
    let make = library.and_then(|library| library.connector);
    make.expect("a client that is compiled in")(Access {
        user: None,
        password: password.map(str::to_owned),
        tls: None,
    })
}

/// A real server, and a connection to it.
struct Bed {
    server: RedisServer,
    connector: Arc<dyn Connector>,
}

impl Bed {
    fn start(client: &str) -> Self {
        Self {
            server: RedisServer::start(&RedisOptions::new()).expect("redis-server"),
            connector: connector(client, None),
        }
    }

    async fn link(&self) -> Arc<dyn Link> {
        within("a connection", self.connecting())
            .await
            .expect("a server that runs")
    }

    fn connecting(&self) -> impl Future<Output = Result<Arc<dyn Link>, LinkError>> {
        self.connector.connect("127.0.0.1", self.server.address())
    }

    /// Waits until the server has so many connections, besides the one that asks.
    async fn has_connections(&self, expected: usize) {
        wait_for("the server's connections", LONG, async || {
            let clients = self.server.command(&["CLIENT", "LIST", "TYPE", "normal"]);
            let text = clients.and_then(launch::Reply::check).expect("a list").text();
            let list = text.expect("a text");
            match list.lines().count() - 1 {
                found if found == expected => Ok(()),
                found => Err(format!("{found} are there: {list}")),
            }
        })
        .await;
    }
}

/// Waits until no more tasks run than at the beginning.
async fn has_tasks(before: usize) {
    wait_for("the tasks to end", LONG, async || {
        match Handle::current().metrics().num_alive_tasks() {
            now if now <= before => Ok(()),
            now => Err(format!("{now} tasks, and {before} before")),
        }
    })
    .await;
}

fn command(words: &[&[u8]]) -> Command {
    Command::of(words)
}

fn text(words: &str) -> Command {
    Command::of(&words.split(' ').collect::<Vec<_>>())
}

/// A script that answers `lua`.
fn script(lua: &str) -> Command {
    command(&[b"EVAL", format!("return {lua}").as_bytes(), b"0"])
}

async fn ask(link: &Arc<dyn Link>, command: Command) -> Reply {
    let mut replies = within("an answer", link.send(&[command]))
        .await
        .expect("an answer");
    assert_eq!(replies.len(), 1);
    replies.remove(0)
}

fn bytes(bytes: &[u8]) -> Reply {
    Reply::Bytes(Bytes::copy_from_slice(bytes))
}

fn answers_keep_their_form(client: &str) {
    let bed = Bed::start(client);
    run("answers keep their form", async {
        let link = bed.link().await;
        let all: Vec<u8> = (0..=255).collect();
        let large = vec![b'\r'; 3 << 20];
        for word in [b"".as_slice(), b"\r\n", b"$-1\r\n", &all, &large] {
            assert_eq!(ask(&link, command(&[b"ECHO", word])).await, bytes(word));
        }
        let nested = Reply::Array(vec![
            Reply::Integer(-7),
            Reply::Array(vec![]),
            Reply::Array(vec![bytes(&all[128..]), Reply::Nil, bytes(b"1")]),
        ]);
        let lua = "{ -7, {}, { ARGV[1], false, '1' } }";
        let nesting = command(&[b"EVAL", format!("return {lua}").as_bytes(), b"0", &all[128..]]);
        assert_eq!(ask(&link, nesting.clone()).await, nested);
        assert_eq!(ask(&link, text("PING")).await, Reply::Status("PONG".to_owned()));
        assert_eq!(ask(&link, text("GET nothing")).await, Reply::Nil);

        let commands = vec![
            text("INCR n"),
            nesting,
            text("GET n"),
            text("GET nothing"),
            script("{}"),
        ];
        let replies = within("answers", link.send(&commands)).await.unwrap();
        let expected = [
            Reply::Integer(1),
            nested,
            bytes(b"1"),
            Reply::Nil,
            Reply::Array(vec![]),
        ];
        assert_eq!(replies, expected);
    });
}

/// Every word that the supervisor or a caller acts on.
const ERRORS: [&str; 21] = [
    "MOVED 8 127.0.0.1:7001",
    "MOVED 8 :7001",
    "ASK 8 127.0.0.1:7001",
    "ASK 8 [::1]:7001",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOSCRIPT No matching script. Please use EVAL.",
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "NOREPLICAS Not enough good replicas to write.",
    "MISCONF Redis is configured to save RDB snapshots",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPERM this user has no permissions to run the 'eval' command",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "RINGHOLD_CORRUPT a header of 7 bytes",
    "ERR This instance has cluster support disabled",
];

fn errors_keep_their_words(client: &str) {
    let bed = Bed::start(client);
    run("errors keep their words", async {
        let link = bed.link().await;
        for line in ERRORS {
            let fails = script(&format!("redis.error_reply([=[{line}]=])"));
            let error = Reply::Error(ServerError::parse(line));
            assert_eq!(ask(&link, fails.clone()).await, error, "{line}");
            let commands = vec![text("ECHO a"), fails, text("ECHO b")];
            let replies = within("answers", link.send(&commands)).await.unwrap();
            assert_eq!(replies, [bytes(b"a"), error, bytes(b"b")], "{line}");
        }
        bed.has_connections(1).await;
    });
}

/// A client may end the connection at this word. Then it says so, and that others may have been run.
fn a_cluster_that_is_down_is_told(client: &str) {
    const LINE: &str = "CLUSTERDOWN Hash slot not served";
    let bed = Bed::start(client);
    run("a cluster that is down", async {
        for before in [vec![], vec![text("ECHO a")]] {
            let link = bed.link().await;
            let mut commands = before;
            commands.push(script(&format!("redis.error_reply('{LINE}')")));
            let said = match within("an answer", link.send(&commands)).await {
                Ok(replies) => match replies.into_iter().next_back() {
                    Some(Reply::Error(said)) => said,
                    other => panic!("{other:?}"),
                },
                Err(LinkError::Refused(said)) => said,
                Err(error) => panic!("{error:?}"),
            };
            assert_eq!(said, ServerError::parse(LINE));
        }
    });
}

fn commands_of_one_call_stay_together(client: &str) {
    let bed = Bed::start(client);
    run("commands of one call", async {
        let link = bed.link().await;
        let callers = (0..50).map(|caller| {
            let link = Arc::clone(&link);
            tokio::spawn(async move {
                for round in 0..40 {
                    let value = format!("{caller}-{round}");
                    let commands = vec![
                        text(&format!("SET shared {value}")),
                        text("ECHO between"),
                        text("GET shared"),
                    ];
                    let replies = link.send(&commands).await.unwrap();
                    assert_eq!(replies[2], bytes(value.as_bytes()));
                    let alone = [text(&format!("SET shared alone-{value}"))];
                    link.send(&alone).await.unwrap();
                }
            })
        });
        for caller in within("all callers", join_all(callers)).await {
            caller.unwrap();
        }
        bed.has_connections(1).await;
    });
}

/// Whoever gives up takes no answer of somebody else with it.
fn callers_that_give_up_leave_order(client: &str) {
    let bed = Bed::start(client);
    run("callers that give up", async {
        let link = bed.link().await;
        for round in 0..200 {
            let gone = if round % 2 == 0 {
                vec![text("ECHO gone")]
            } else {
                vec![text("ECHO gone"), text("ECHO gone")]
            };
            poll_once(link.send(&gone)).await;
            let word = format!("here-{round}");
            assert_eq!(
                ask(&link, text(&format!("ECHO {word}"))).await,
                bytes(word.as_bytes())
            );
        }
    });
}

fn a_killed_connection_is_broken(client: &str) {
    let bed = Bed::start(client);
    run("a killed connection", async {
        let link = bed.link().await;
        let waiting = tokio::spawn({
            let link = Arc::clone(&link);
            async move { link.send(&[text("BLPOP nothing 0")]).await }
        });
        wait_for("the command to run", LONG, async || {
            let clients = bed.server.command(&["INFO", "clients"]);
            let text = clients
                .ok()
                .and_then(|clients| clients.text())
                .unwrap_or_default();
            if text.contains("blocked_clients:1") {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await;
        bed.server
            .command(&["CLIENT", "KILL", "TYPE", "normal"])
            .unwrap()
            .check()
            .unwrap();
        let broken = within("what was under way", waiting).await.unwrap();
        assert!(matches!(broken, Err(LinkError::Broken(_))), "{broken:?}");
        for commands in [vec![text("PING")], vec![text("PING"), text("PING")]] {
            let broken = within("what comes after", link.send(&commands)).await;
            assert!(matches!(broken, Err(LinkError::Broken(_))), "{broken:?}");
        }
        bed.has_connections(0).await;
    });
}

fn nothing_is_left_of_a_link(client: &str) {
    let bed = Bed::start(client);
    run("nothing is left", async {
        let before = Handle::current().metrics().num_alive_tasks();
        let links = join_all((0..5).map(|_| bed.link())).await;
        bed.has_connections(5).await;
        drop(links);
        bed.has_connections(0).await;
        has_tasks(before).await;

        // Of one that hangs, neither; and nothing comes back when it answers again.
        let link = bed.link().await;
        bed.server.stop().unwrap();
        assert!(poll_once(link.send(&[text("PING")])).await.is_none());
        let mut connecting = Box::pin(bed.connecting());
        let patience = tokio::time::timeout(Duration::from_millis(100), &mut connecting).await;
        drop((link, patience, connecting));
        has_tasks(before).await;
        bed.server.resume().unwrap();
        bed.has_connections(0).await;
        has_tasks(before).await;
    });
}

fn a_wrong_password_is_denied(client: &str) {
    let server = RedisServer::start(&RedisOptions::new().password("secret-of-it")).expect("redis-server");
    run("a wrong password", async {
        for password in [None, Some("hunter2")] {
            let connector = connector(client, password);
            assert!(!format!("{connector:?}").contains("hunter2"));
            let connected = within("an answer", connector.connect("127.0.0.1", server.address())).await;
            let denied = match connected {
                // A client that sends nothing by itself is told with the first command.
                Ok(link) => match ask(&link, text("PING")).await {
                    Reply::Error(error) => error.code,
                    other => panic!("{other:?}"),
                },
                Err(LinkError::Denied(why)) => why,
                Err(error) => panic!("{error:?}"),
            };
            assert!(!denied.contains("hunter2"), "{denied}");
        }
        let connector = connector(client, Some("secret-of-it"));
        let link = within("a connection", connector.connect("127.0.0.1", server.address()))
            .await
            .unwrap();
        assert_eq!(ask(&link, text("ECHO in")).await, bytes(b"in"));
    });
}

/// Every rule above for one client.
macro_rules! seam {
    ($client:ident, $feature:literal: $($rule:ident)+) => {
        #[cfg(feature = $feature)]
        mod $client {
            $(#[test]
            fn $rule() {
                super::$rule(stringify!($client));
            })+
        }
    };
    ($($client:ident = $feature:literal)+) => {
        $(seam!(
            $client, $feature:
            answers_keep_their_form errors_keep_their_words a_cluster_that_is_down_is_told
            commands_of_one_call_stay_together callers_that_give_up_leave_order
            a_killed_connection_is_broken nothing_is_left_of_a_link a_wrong_password_is_denied
        );)+
    };
}

seam!(redis = "redis" fred = "fred");
