//! PostgreSQL on an empty cluster of its own: single inserts and batches, all durable.

use std::fs::File;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use futures_util::SinkExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

use crate::Bench;
use crate::failure::Failure;
use crate::payloads::Payloads;
use crate::process::{Running, find, free_port, version};

/// Clients that insert single rows.
const CLIENTS: usize = 64;

/// Clients that insert batches.
const BATCHING: usize = 8;

/// Rows of a batch.
const ROWS: usize = 256;

/// Longest wait until the server answers.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Durable, as it is when nothing is said; and no checkpoint while anything is measured.
const SETTINGS: [&str; 7] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=512MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "max_connections=100",
];

/// `COPY … (FORMAT binary)`: eleven bytes of signature, flags and the length of an extension.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What ends such a copy.
const COPY_TRAILER: i16 = -1;

pub(crate) async fn measure(bench: &Bench) -> Result<Value, Failure> {
    let cluster = Cluster::start(&bench.directory)?;
    let client = cluster.patiently_connect().await?;
    client
        .batch_execute(
            "CREATE TABLE events (position bigserial PRIMARY KEY, payload bytea NOT NULL)",
        )
        .await?;
    let mut rates = Vec::new();
    for (clients, way) in [(CLIENTS, Way::Single), (BATCHING, Way::Insert), (BATCHING, Way::Copy)] {
        rates.push(cluster.rate(bench, clients, way).await?);
        // What one way wrote is not for the next to clean up.
        client.batch_execute("TRUNCATE events; CHECKPOINT").await?;
    }
    Ok(json!({
        "version": cluster.version,
        "settings": SETTINGS,
        "batching_clients": BATCHING,
        "insert_64_clients_rows_per_second": rates[0],
        "batches_of_256_insert_rows_per_second": rates[1],
        "batches_of_256_copy_rows_per_second": rates[2],
    }))
}

/// How rows come in.
#[derive(Clone, Copy)]
enum Way {
    /// One prepared insert a row.
    Single,
    /// One prepared insert of an array.
    Insert,
    /// One copy, binary.
    Copy,
}

/// A cluster that is gone with the value.
struct Cluster {
    version: String,
    port: u16,
    user: String,
    _server: Running,
    _directory: TempDir,
}

impl Cluster {
    fn start(place: &Path) -> Result<Self, Failure> {
        let Some(postgres) = find("postgres", &installed()) else {
            let install = "apt-get install postgresql";
            return Err(Failure::Absent { what: "PostgreSQL", install });
        };
        let place = place.canonicalize().map_err(Failure::system(place.display().to_string()))?;
        let directory = tempfile::tempdir_in(&place);
        let directory = directory.map_err(Failure::system(place.display().to_string()))?;
        let owner = Owner::of(directory.path())?;
        let data = directory.path().join("data");

        let mut initdb = owner.command(&postgres.with_file_name("initdb"));
        initdb.args(["--auth=trust", "--username=tally", "--no-sync", "--pgdata"]).arg(&data);
        let made = initdb.output().map_err(Failure::system("initdb"))?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(Failure::Program { program: "initdb".into(), said });
        }
        let port = free_port()?;
        let log = File::create(directory.path().join("log")).map_err(Failure::system("a log"))?;
        let mut server = owner.command(&postgres);
        server.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-k", "", "-p", &port.to_string()]);
        server.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        server.stdout(Stdio::null()).stderr(log);
        let running = Running::start(&mut server)?;
        let version = version(&postgres)?;
        Ok(Self { version, port, user: "tally".into(), _server: running, _directory: directory })
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(&self.user).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        // It ends with the client, or the client says why it can't go on.
        tokio::spawn(connection);
        Ok(client)
    }

    async fn patiently_connect(&self) -> Result<Client, Failure> {
        let began = Instant::now();
        loop {
            match self.connect().await {
                Err(_) if began.elapsed() < START_LIMIT => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                ended => return ended,
            }
        }
    }

    /// Rows a second of so many clients, each of which waits for its answer.
    async fn rate(&self, bench: &Bench, clients: usize, way: Way) -> Result<f64, Failure> {
        let mut ready = Vec::new();
        for _ in 0..clients {
            ready.push(self.connect().await?);
        }
        let payloads = Arc::new(bench.payloads.clone());
        let (began, end) = (Instant::now(), Instant::now() + bench.time);
        let mut tasks = JoinSet::new();
        for (number, client) in ready.into_iter().enumerate() {
            let payloads = Arc::clone(&payloads);
            tasks.spawn(async move { way.insert(&client, &payloads, number * ROWS, end).await });
        }
        let mut rows = 0;
        while let Some(ended) = tasks.join_next().await {
            rows += ended.expect("a client does not panic")?;
        }
        Ok(rows as f64 / began.elapsed().as_secs_f64())
    }
}

impl Way {
    /// Inserts until the end; how many rows.
    async fn insert(
        self,
        client: &Client,
        payloads: &Payloads,
        place: usize,
        end: Instant,
    ) -> Result<usize, Failure> {
        let mut payloads = payloads.from(place);
        let statement = client
            .prepare(match self {
                Self::Single => "INSERT INTO events (payload) VALUES ($1)",
                Self::Insert => "INSERT INTO events (payload) SELECT unnest($1::bytea[])",
                Self::Copy => "COPY events (payload) FROM STDIN (FORMAT binary)",
            })
            .await?;
        let mut rows = 0;
        while Instant::now() < end {
            match self {
                Self::Single => {
                    let payload = payloads.next().expect("payloads have no end");
                    rows += client.execute(&statement, &[&&payload[..]]).await? as usize;
                }
                Self::Insert => {
                    let batch: Vec<&[u8]> =
                        payloads.by_ref().take(ROWS).map(|row| &row[..]).collect();
                    rows += client.execute(&statement, &[&batch]).await? as usize;
                }
                Self::Copy => {
                    let sink = client.copy_in(&statement).await?;
                    let mut sink = std::pin::pin!(sink);
                    sink.send(copy_of(payloads.by_ref().take(ROWS)).freeze()).await?;
                    rows += sink.finish().await? as usize;
                }
            }
        }
        Ok(rows)
    }
}

/// Rows of one column, as `COPY … (FORMAT binary)` takes them.
fn copy_of<'r>(rows: impl Iterator<Item = &'r bytes::Bytes>) -> BytesMut {
    let mut copy = BytesMut::from(COPY_HEADER);
    for row in rows {
        copy.put_i16(1);
        copy.put_i32(i32::try_from(row.len()).expect("a payload is short"));
        copy.put_slice(row);
    }
    copy.put_i16(COPY_TRAILER);
    copy
}

/// Where Debian puts the server's programs, the newest version first.
fn installed() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    versions.reverse();
    versions
}

/// Who runs the server: it refuses to be run by root.
#[derive(Clone, Copy)]
struct Owner(Option<(u32, u32)>);

impl Owner {
    /// Root gives the directory to the user `postgres`, or else to `nobody`.
    fn of(directory: &Path) -> Result<Self, Failure> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        if uid.and_then(|uid| uid.split_whitespace().nth(1)) != Some("0") {
            return Ok(Self(None));
        }
        let users = std::fs::read_to_string("/etc/passwd").map_err(Failure::system("users"))?;
        let user = |name: &str| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut ids = line.split(':').skip(2).map(str::parse);
            Some((ids.next()?.ok()?, ids.next()?.ok()?))
        };
        let (uid, gid) = user("postgres").or_else(|| user("nobody")).ok_or(Failure::Absent {
            what: "a user that may run PostgreSQL",
            install: "useradd --system postgres",
        })?;
        let given = chown(directory, Some(uid), Some(gid));
        given.map_err(Failure::system(directory.display().to_string()))?;
        Ok(Self(Some((uid, gid))))
    }

    fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self(Some((uid, gid))) = self {
            command.uid(uid).gid(gid);
        }
        // A directory that its user may be in.
        command.current_dir("/");
        command
    }
}
