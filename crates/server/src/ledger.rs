//! Appending, reading and following.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use tally_api::v1::append_stream_response::{Result as Item, result::Outcome};
use tally_api::v1::ledger_server::Ledger;
use tally_api::v1::{
    AppendRequest, AppendResponse, AppendStreamRequest, AppendStreamResponse, EventBatch,
    GetEventRequest, GetEventResponse, GetHeadRequest, GetHeadResponse, LogReceipt,
    ReadEventsRequest, SubscribeRequest, get_event_request,
};
use tally_api::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS};
use tally_node::{AppendError, Appending, MAX_PARCEL, Node};
use tally_protocol::wire::SignedEnvelope as WireEnvelope;
use tally_protocol::{EnvelopeId, ParsedEnvelope, Position, SignedEnvelope};
use tally_store::{ReadError, ReadLimit};
use tally_tlog::Hash;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::status::{Answer, absent, invalid, stopping, too_many};

/// Batches that wait for a slow reader of a stream.
pub(crate) const BATCHES_AHEAD: usize = 4;

/// Parcels of one append stream that may wait for their answers. Meanwhile what the sender sends gathers
/// into the next one, and then flow control stops the sender.
const STREAM_IN_FLIGHT: usize = 8;

/// Bytes of payloads beyond which no further message of an append stream is gathered into a parcel.
const GATHERED_BYTES: usize = 1024 * 1024;

/// How much one batch of events holds.
pub(crate) const BATCH: ReadLimit = ReadLimit { events: MAX_BATCH_EVENTS, bytes: MAX_BATCH_BYTES };

pub(crate) struct Service {
    pub(crate) node: Node,
    pub(crate) stopping: watch::Receiver<bool>,
}

type Batches = ReceiverStream<Result<EventBatch, Status>>;

#[tonic::async_trait]
impl Ledger for Service {
    type AppendStreamStream =
        Pin<Box<dyn Stream<Item = Result<AppendStreamResponse, Status>> + Send>>;
    type ReadEventsStream = Batches;
    type SubscribeStream = Batches;

    async fn append(
        &self,
        request: Request<AppendRequest>,
    ) -> Result<Response<AppendResponse>, Status> {
        let envelope = request.into_inner().envelope.unwrap_or_default();
        let envelope = parse(envelope).map_err(Answer::from)?;
        let receipt = self.node.append(envelope).await.map_err(Answer::from)?;
        Ok(Response::new(appended(&receipt, true)))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let (waiting_to, waiting) = mpsc::channel(STREAM_IN_FLIGHT);
        let (results_to, results) = mpsc::channel(BATCHES_AHEAD);
        let (node, stopping) = (self.node.clone(), self.stopping.clone());
        tokio::spawn(take_in(node, request.into_inner(), waiting_to, stopping));
        tokio::spawn(answer_all(waiting, results_to));
        Ok(Response::new(Box::pin(ReceiverStream::new(results))))
    }

    async fn get_head(
        &self,
        _: Request<GetHeadRequest>,
    ) -> Result<Response<GetHeadResponse>, Status> {
        let snapshot = self.node.snapshot();
        Ok(Response::new(GetHeadResponse {
            origin: snapshot.state.origin().to_string(),
            size: snapshot.tip.size.as_u64(),
            checkpoint: self.node.published().to_vec(),
            log_key: self.node.log_key().to_string(),
            chain: snapshot.tip.chain.0.to_vec(),
            recorded_at_us: snapshot.tip.recorded_at.0,
        }))
    }

    async fn get_event(
        &self,
        request: Request<GetEventRequest>,
    ) -> Result<Response<GetEventResponse>, Status> {
        use get_event_request::Event as Wanted;
        let position = match request.into_inner().event {
            Some(Wanted::Position(position)) => Position(position),
            Some(Wanted::EnvelopeId(id)) => position_of(&self.node, &id)?,
            None => return Err(invalid("event", "is required: a position or an envelope id")),
        };
        let event = self.node.event(position).map_err(Answer::from)?;
        Ok(Response::new(GetEventResponse { event: event.bytes().clone() }))
    }

    async fn read_events(
        &self,
        request: Request<ReadEventsRequest>,
    ) -> Result<Response<Batches>, Status> {
        let ReadEventsRequest { from, to } = request.into_inner();
        let head = self.node.snapshot().tip.size.as_u64();
        let end = if to == 0 { head } else { to.min(head) };
        if from > head {
            return Err(beyond(&self.node, from));
        }
        let (to_reader, batches) = mpsc::channel(BATCHES_AHEAD);
        let node = self.node.clone();
        tokio::spawn(async move {
            let mut next = Position(from);
            while next.0 < end && send(cut(&node, next, end), &mut next, &to_reader).await {}
        });
        Ok(Response::new(ReceiverStream::new(batches)))
    }

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Batches>, Status> {
        let from = request.into_inner().from;
        if from > self.node.snapshot().tip.size.as_u64() {
            return Err(beyond(&self.node, from));
        }
        let (to_reader, batches) = mpsc::channel(BATCHES_AHEAD);
        let read = |node: &Node, next| cut(node, next, u64::MAX);
        let (node, stopping) = (self.node.clone(), self.stopping.clone());
        tokio::spawn(follow(node, Position(from), to_reader, stopping, read));
        Ok(Response::new(ReceiverStream::new(batches)))
    }
}

/// A position beyond the head.
pub(crate) fn beyond(node: &Node, from: u64) -> Status {
    match node.event(Position(from)) {
        Err(error) => Answer::from(error).into(),
        // The head has moved on in the meantime.
        Ok(_) => stopping(),
    }
}

/// The only parse of what comes in.
fn parse(envelope: WireEnvelope) -> Result<ParsedEnvelope, AppendError> {
    Ok(SignedEnvelope::try_from(envelope)?.parse()?)
}

pub(crate) fn position_of(node: &Node, id: &[u8]) -> Result<Position, Status> {
    let id = id.try_into().map(EnvelopeId);
    let id = id.map_err(|_| invalid("envelope_id", "must have 32 bytes"))?;
    node.position_of(&id).ok_or_else(|| absent(&id))
}

/// A log receipt on the wire; in a batch the checkpoint stands beside it.
pub(crate) fn wire_receipt(receipt: &tally_node::LogReceipt, own_checkpoint: bool) -> LogReceipt {
    let event = &receipt.event;
    let hashes = receipt.proof.hashes();
    // One piece of memory for all of it.
    let mut bytes = BytesMut::with_capacity((hashes.len() + 1) * Hash::LEN);
    bytes.extend_from_slice(event.previous_chain().as_bytes());
    hashes.iter().for_each(|hash| bytes.extend_from_slice(hash.as_bytes()));
    let mut bytes = bytes.freeze();
    let previous_chain = bytes.split_to(Hash::LEN);
    LogReceipt {
        position: event.position().0,
        recorded_at_us: event.recorded_at().0,
        previous_chain,
        signature: event.signature(),
        inclusion_proof: hashes.iter().map(|_| bytes.split_to(Hash::LEN)).collect(),
        checkpoint: if own_checkpoint { receipt.checkpoint.clone() } else { Bytes::new() },
    }
}

fn appended(receipt: &tally_node::LogReceipt, own_checkpoint: bool) -> AppendResponse {
    let receipt_on_wire = wire_receipt(receipt, own_checkpoint);
    AppendResponse { receipt: Some(receipt_on_wire), duplicate: receipt.duplicate }
}

// ------------------------------------------------------------------ append stream

/// Envelopes of a stream that were taken in together.
struct Waiting {
    /// Which of them were well-formed, in their order.
    parsed: Vec<Result<(), AppendError>>,
    /// Those that were.
    appending: Result<Appending, AppendError>,
}

/// Takes requests in as fast as the node has places; a full node slows the sender down.
async fn take_in(
    node: Node,
    requests: Streaming<AppendStreamRequest>,
    to: mpsc::Sender<Result<Waiting, Status>>,
    mut stopping: watch::Receiver<bool>,
) {
    // The end of the stream, or a sender that is gone: what was taken in is still answered.
    let envelopes = requests.map_while(Result::ok);
    let mut envelopes = std::pin::pin!(envelopes);
    loop {
        let request = tokio::select! {
            request = envelopes.next() => request,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let Some(AppendStreamRequest { envelopes: mut gathered, mut left_out }) = request else {
            return;
        };
        if left_out > 0 {
            gathered.clear();
        }
        // What else has come in the meantime.
        let bytes = |envelopes: &[WireEnvelope]| -> usize {
            envelopes.iter().map(|envelope| envelope.payload.len()).sum()
        };
        let mut gathered_bytes = bytes(&gathered);
        while left_out == 0 && gathered.len() < MAX_PARCEL && gathered_bytes < GATHERED_BYTES {
            tokio::select! {
                biased;
                Some(more) = envelopes.next() => {
                    left_out = more.left_out;
                    if left_out == 0 {
                        gathered_bytes += bytes(&more.envelopes);
                        gathered.extend(more.envelopes);
                    }
                }
                () = std::future::ready(()) => break,
            }
        }
        let mut gathered = gathered.into_iter().peekable();
        while gathered.peek().is_some() {
            let waiting = enqueue(&node, gathered.by_ref().take(MAX_PARCEL)).await;
            if to.send(Ok(waiting)).await.is_err() {
                return;
            }
        }
        if left_out > 0 {
            // Nothing of that message, and nothing behind it.
            let _gone = to.send(Err(too_many(left_out))).await;
            return;
        }
    }
}

async fn enqueue(node: &Node, envelopes: impl Iterator<Item = WireEnvelope>) -> Waiting {
    let mut good = Vec::new();
    let parsed = envelopes.map(|envelope| parse(envelope).map(|parsed| good.push(parsed)));
    let parsed = parsed.collect();
    Waiting { parsed, appending: node.enqueue_all(good).await }
}

/// Answers in the order of the envelopes.
async fn answer_all(
    mut waiting: mpsc::Receiver<Result<Waiting, Status>>,
    to: mpsc::Sender<Result<AppendStreamResponse, Status>>,
) {
    let mut index = 0;
    while let Some(taken) = waiting.recv().await {
        let Waiting { parsed, appending } = match taken {
            Ok(waiting) => waiting,
            Err(status) => {
                let _gone = to.send(Err(status)).await;
                return;
            }
        };
        let mut receipts = match appending {
            Ok(appending) => Ok(appending.receipts().await.into_iter()),
            Err(error) => Err(Answer::from(error)),
        };
        let mut batch = AppendStreamResponse::default();
        for parsed in parsed {
            let answer = match (parsed, &mut receipts) {
                (Err(error), _) => Err(error.into()),
                (Ok(()), Err(nobody)) => Err(nobody.clone()),
                (Ok(()), Ok(receipts)) => {
                    receipts.next().expect("an answer an envelope").map_err(Answer::from)
                }
            };
            // One checkpoint for all receipts beside it: another tree, another message.
            if let Ok(receipt) = &answer {
                if batch.checkpoint != receipt.checkpoint && !batch.checkpoint.is_empty() {
                    let full = std::mem::take(&mut batch);
                    if to.send(Ok(full)).await.is_err() {
                        return;
                    }
                }
                batch.checkpoint = receipt.checkpoint.clone();
            }
            let outcome = match answer {
                Ok(receipt) => Outcome::Appended(appended(&receipt, false)),
                Err(answer) => Outcome::Refused(answer.into()),
            };
            batch.results.push(Item { index, outcome: Some(outcome) });
            index += 1;
        }
        if to.send(Ok(batch)).await.is_err() {
            return;
        }
    }
}

// ------------------------------------------------------------------ reading and following

/// Sends what `read` cuts from the log, from a position on, and then what comes.
pub(crate) async fn follow<T>(
    node: Node,
    mut next: Position,
    to: mpsc::Sender<Result<T, Status>>,
    mut stopping: watch::Receiver<bool>,
    read: impl Fn(&Node, Position) -> Result<(T, Position), ReadError>,
) {
    let mut snapshots = node.snapshots();
    loop {
        while next.0 < node.snapshot().tip.size.as_u64() {
            if !send(read(&node, next), &mut next, &to).await {
                return;
            }
        }
        tokio::select! {
            // Marks what it sees as seen, so growth in the meantime wakes it at once.
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            _ = stopping.changed() => {
                // A reader that has gone needs no reason.
                let _gone = to.send(Err(self::stopping())).await;
                return;
            }
            () = to.closed() => return,
        }
    }
}

/// Sends one message; false when the reader has gone or the log can't be read.
async fn send<T>(
    read: Result<(T, Position), ReadError>,
    next: &mut Position,
    to: &mpsc::Sender<Result<T, Status>>,
) -> bool {
    match read {
        Ok((message, end)) => {
            *next = end;
            to.send(Ok(message)).await.is_ok()
        }
        Err(error) => {
            // A reader that has gone needs no reason.
            let _gone = to.send(Err(Answer::from(error).into())).await;
            false
        }
    }
}

/// Events from a position on, up to `end`.
fn cut(node: &Node, from: Position, end: u64) -> Result<(EventBatch, Position), ReadError> {
    let mut events = node.read(from, BATCH)?;
    events.retain(|event| event.position().0 < end);
    let next = Position(from.0 + events.len() as u64);
    let events = events.iter().map(|event| event.bytes().clone()).collect();
    let head = node.snapshot().tip.size.as_u64();
    Ok((EventBatch { first: from.0, events, head }, next))
}
