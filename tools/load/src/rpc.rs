//! Appending over gRPC: closed loops of single calls and of streams, and an open loop.
//!
//! Receipts are counted and not checked: that is the client's business, and would cost more than the
//! server.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tally_api::v1::append_stream_response::result::Outcome;
use tally_api::v1::ledger_client::LedgerClient;
use tally_api::v1::{AppendRequest, AppendStreamRequest, AppendStreamResponse};
use tally_api::{CONNECTION_WINDOW_BYTES, FRAME_BYTES, MAX_MESSAGE_BYTES, STREAM_WINDOW_BYTES};
use tally_protocol::SignedEnvelope;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint};

use crate::{Failure, Lane, Latencies, Load, Schedule};

/// Requests of a stream that wait for the connection.
const QUEUED: usize = 256;

/// Most envelopes in one message of a stream: what is ready goes together.
const MESSAGE_ENVELOPES: usize = 256;

/// What came of a load.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// Envelopes that were appended.
    pub appended: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// How long each took.
    pub latencies: Latencies,
}

impl Session {
    /// Envelopes a second.
    pub fn per_second(&self) -> f64 {
        self.appended as f64 / self.elapsed.as_secs_f64()
    }
}

async fn connect(url: &str) -> Result<LedgerClient<Channel>, Failure> {
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES);
    let client = LedgerClient::new(endpoint.connect().await?);
    Ok(client.max_decoding_message_size(MAX_MESSAGE_BYTES))
}

fn request(signed: &SignedEnvelope) -> AppendRequest {
    AppendRequest { envelope: Some(signed.clone().into()) }
}

/// What is there already costs less than what is not: it would be a figure of something else.
fn new(duplicate: bool) -> Result<(), Failure> {
    if duplicate { Err(Failure::Duplicate) } else { Ok(()) }
}

/// Single calls, one in flight for each lane, over so many connections. No call begins after `most`.
///
/// # Errors
/// [`Failure`] of the first call that fails.
pub async fn unary(
    url: &str,
    load: &Arc<Load>,
    connections: usize,
    most: Duration,
) -> Result<Session, Failure> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(connect(url).await?);
    }
    let began = Instant::now();
    let lane = |lane: usize| {
        let (load, mut client) = (Arc::clone(load), clients[lane % connections].clone());
        async move {
            let mut latencies = Latencies::default();
            for signed in &load.lanes[lane] {
                let calling = Instant::now();
                if calling - began >= most {
                    break;
                }
                let answer = client.append(request(signed)).await?.into_inner();
                new(answer.duplicate)?;
                latencies.record(calling.elapsed());
            }
            Ok(latencies)
        }
    };
    together((0..load.lanes.len()).map(lane), began).await
}

/// A stream for each lane over a connection of its own, with so many envelopes of it unanswered.
/// Nothing is sent after `most`.
///
/// # Errors
/// [`Failure`] of the first refusal, or of a stream.
pub async fn stream(
    url: &str,
    load: &Arc<Load>,
    window: usize,
    most: Duration,
) -> Result<Session, Failure> {
    let mut clients = VecDeque::new();
    for _ in &load.lanes {
        clients.push_back(connect(url).await?);
    }
    let began = Instant::now();
    let lanes = (0..load.lanes.len()).map(|lane| {
        let (load, client) = (Arc::clone(load), clients.pop_front().expect("one a lane"));
        async move { closed_lane(client, &load.lanes[lane], window, began + most).await }
    });
    together(lanes, began).await
}

async fn closed_lane(
    client: LedgerClient<Channel>,
    lane: &Lane,
    window: usize,
    end: Instant,
) -> Result<Latencies, Failure> {
    let (free, sent) = (Semaphore::new(window), Mutex::new(VecDeque::new()));
    let (to, requests) = mpsc::channel(QUEUED);
    let send = async {
        for signed in lane {
            free.acquire().await.expect("it is never closed").forget();
            let now = Instant::now();
            if now >= end {
                break;
            }
            sent.lock().expect("no holder panics").push_back(now);
            if to.send(request(signed)).await.is_err() {
                break;
            }
        }
        drop(to);
    };
    let mut latencies = Latencies::default();
    let answered = answers(client, requests, |answers| {
        let mut sent = sent.lock().expect("no holder panics");
        for began in sent.drain(..answers) {
            latencies.record(began.elapsed());
        }
        free.add_permits(answers);
    });
    let answered = tokio::select! {
        // A stream that breaks leaves a sender that waits for ever.
        answered = answered => answered,
        () = async { send.await; std::future::pending().await } => unreachable!("it is pending"),
    };
    answered?;
    let left = sent.into_inner().expect("no holder panics").len();
    if left == 0 { Ok(latencies) } else { Err(Failure::Unanswered(left)) }
}

/// What is ready to be sent, many envelopes in a message.
struct Messages(mpsc::Receiver<AppendRequest>);

impl Stream for Messages {
    type Item = AppendStreamRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut ready = Vec::new();
        let count = std::task::ready!(self.0.poll_recv_many(cx, &mut ready, MESSAGE_ENVELOPES));
        let envelopes: Vec<_> = ready.into_iter().filter_map(|request| request.envelope).collect();
        Poll::Ready((count > 0).then(|| envelopes.into()))
    }
}

/// Runs a stream to its end. `answered` hears how many were appended with each answer; the server
/// answers in the order of the requests.
async fn answers(
    mut client: LedgerClient<Channel>,
    requests: mpsc::Receiver<AppendRequest>,
    mut answered: impl FnMut(usize),
) -> Result<(), Failure> {
    let mut answers = client.append_stream(Messages(requests)).await?.into_inner();
    while let Some(AppendStreamResponse { results, .. }) = answers.message().await? {
        for result in &results {
            match &result.outcome {
                Some(Outcome::Appended(appended)) => new(appended.duplicate)?,
                Some(Outcome::Refused(refused)) => {
                    return Err(Failure::Refused(refused.message.clone()));
                }
                None => return Err(Failure::Refused("no outcome".into())),
            }
        }
        answered(results.len());
    }
    Ok(())
}

/// The whole load over a stream for each lane, so many envelopes a second, whether the server keeps
/// up or not. Latencies are counted from the moment at which each was to be sent.
///
/// # Errors
/// [`Failure`] of the first refusal, or of a stream.
///
/// # Panics
/// When a thread does.
pub async fn open(
    url: &str,
    load: &Arc<Load>,
    rate: f64,
    most: Duration,
) -> Result<Session, Failure> {
    let lanes = load.lanes.len();
    let mut clients = Vec::new();
    for _ in 0..lanes {
        clients.push(connect(url).await?);
    }
    let (to, requests): (Vec<_>, Vec<_>) = (0..lanes).map(|_| mpsc::channel(QUEUED)).unzip();
    let schedule = Schedule { begin: Instant::now(), rate };
    let things = load.len().min((rate * most.as_secs_f64()) as usize) / lanes * lanes;
    let pacer = {
        let load = Arc::clone(load);
        tokio::task::spawn_blocking(move || {
            schedule.run(things as u64, |number| {
                let (lane, at) = (number as usize % lanes, number as usize / lanes);
                // A stream that broke says so itself.
                let _gone = to[lane].blocking_send(request(&load.lanes[lane][at]));
            });
        })
    };
    let streams = clients.into_iter().zip(requests).enumerate();
    let streams = streams.map(|(lane, (client, requests))| async move {
        let (mut latencies, mut next) = (Latencies::default(), lane as u64);
        answers(client, requests, |answers| {
            for _ in 0..answers {
                latencies.record(schedule.latency(next));
                next += lanes as u64;
            }
        })
        .await?;
        Ok(latencies)
    });
    let session = together(streams, schedule.begin).await?;
    pacer.await.expect("pacing does not panic");
    let left = things - session.appended as usize;
    if left == 0 { Ok(session) } else { Err(Failure::Unanswered(left)) }
}

/// Runs all of them, each on a task of its own.
async fn together<F>(tasks: impl Iterator<Item = F>, began: Instant) -> Result<Session, Failure>
where
    F: Future<Output = Result<Latencies, Failure>> + Send + 'static,
{
    let mut tasks: JoinSet<_> = tasks.collect();
    let mut session = Session::default();
    while let Some(ended) = tasks.join_next().await {
        session.latencies.add(&ended.expect("a task does not panic")?);
    }
    session.elapsed = began.elapsed();
    session.appended = session.latencies.len();
    Ok(session)
}
