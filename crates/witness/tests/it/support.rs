//! What the tests share: a log, its forks, witnesses that run, and ones that answer anything.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tally_tlog::{
    Checkpoint, ConsistencyProof, Cosigner, Hash, MemoryTree, NoteSigner, Origin, PosixTime,
    SignedCheckpoint, TreeSize, consistency_proof, leaf_hash,
};
use tally_witness::{AddCheckpoint, ProofFailure, Witness};
use tokio::sync::oneshot;

pub(crate) const LOG: &str = "example.com/behind-the-sofa";

/// Long enough for a machine that is busy.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn sized(size: u64) -> TreeSize {
    TreeSize::new(size)
}

pub(crate) fn at(seconds: u64) -> PosixTime {
    PosixTime::new(seconds).expect("a time")
}

pub(crate) fn cosigner(n: u8) -> Cosigner {
    Cosigner::from_seed(format!("witness.example/w{n}").parse().expect("a name"), &[n; 32])
}

/// A log of 100 leaves.
pub(crate) struct Log {
    tree: MemoryTree,
    pub(crate) signer: NoteSigner,
    pub(crate) origin: Origin,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::forking_at(u64::MAX)
    }

    /// The same log, with other leaves from there on.
    pub(crate) fn forking_at(fork: u64) -> Self {
        let mut tree = MemoryTree::new();
        for n in 0..100u64 {
            let leaf = if n < fork { n } else { n + 1_000 };
            tree.append(leaf_hash(&leaf.to_be_bytes()));
        }
        let origin: Origin = LOG.parse().expect("an origin");
        let signer = NoteSigner::from_seed(origin.key_name(), &[100; 32]);
        Log { tree, signer, origin }
    }

    pub(crate) fn head(&self, size: u64) -> Checkpoint {
        let root: Hash = self.tree.root_at(sized(size)).expect("a root");
        Checkpoint { origin: self.origin.clone(), size: sized(size), root }
    }

    pub(crate) fn signed(&self, size: u64) -> SignedCheckpoint {
        self.head(size).sign(&self.signer)
    }

    pub(crate) fn proof(&self, old: u64, new: u64) -> ConsistencyProof {
        match old {
            0 => ConsistencyProof::default(),
            _ => consistency_proof(&self.tree, sized(old), sized(new)).expect("a proof"),
        }
    }

    pub(crate) fn prover(
        &self,
        new: u64,
    ) -> impl Fn(TreeSize) -> Result<ConsistencyProof, ProofFailure> + Sync {
        move |old| Ok(self.proof(old.as_u64(), new))
    }

    /// An honest request.
    pub(crate) fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        AddCheckpoint::new(sized(old), self.proof(old, new), self.signed(new)).expect("a request")
    }
}

pub(crate) fn open(directory: &Path) -> Witness {
    Witness::open(directory, cosigner(1), [Log::new().signer.verifier_key()]).expect("a witness")
}

/// A witness that serves until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(witness: Witness) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.enable_all().worker_threads(2).build().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let stopped = async {
                let _ended = stopped.await;
            };
            let served =
                runtime.block_on(tally_witness::serve(Arc::new(witness), listener, stopped));
            served.expect("served");
        });
        Running { address, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.stop.take().expect("stopped once").send(());
        self.thread.take().expect("joined once").join().expect("the server ends");
    }
}

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) body: String,
}

pub(crate) fn http(address: SocketAddr, request: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the port is open");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a limit");
    let head = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("asked");
    // The other side may have answered and closed before it has read a body that is too long.
    let _refused = stream.write_all(body);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: "));
    Answer { status, kind: kind.unwrap_or_default().to_owned(), body: body.to_owned() }
}

/// A server that gives each connection, in turn, one of these answers, whatever it is asked; after
/// the last one it says nothing any more.
pub(crate) fn canned(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            read_request(&mut stream);
            match answers.next() {
                Some(answer) => {
                    let _gone = stream.write_all(answer.as_bytes());
                }
                None => silent.push(stream),
            }
        }
    });
    url
}

fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
            });
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
}

pub(crate) fn response(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
