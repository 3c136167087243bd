//! The whole log for mirrors: verbatim events, and the checkpoints that were signed over them.

use tally_api::v1::replication_server::Replication;
use tally_api::v1::{ReplicateRequest, ReplicateResponse, SignedTree};
use tally_node::Node;
use tally_protocol::Position;
use tally_store::{Commit, ReadError, Run};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::ledger::{BATCH, BATCHES_AHEAD, beyond, follow};

pub(crate) struct Service {
    pub(crate) node: Node,
    pub(crate) stopping: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl Replication for Service {
    type ReplicateStream = ReceiverStream<Result<ReplicateResponse, Status>>;

    async fn replicate(
        &self,
        request: Request<ReplicateRequest>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        let from = request.into_inner().from;
        if from > self.node.snapshot().tip.size.as_u64() {
            return Err(beyond(&self.node, from));
        }
        let (to_mirror, messages) = mpsc::channel(BATCHES_AHEAD);
        let (node, stopping) = (self.node.clone(), self.stopping.clone());
        tokio::spawn(follow(node, Position(from), to_mirror, stopping, cut));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

fn cut(node: &Node, from: Position) -> Result<(ReplicateResponse, Position), ReadError> {
    let Run { events, commits } = node.run(from, BATCH)?;
    let next = Position(from.0 + events.len() as u64);
    let tree =
        |commit: Commit| SignedTree { size: commit.size.as_u64(), checkpoint: commit.checkpoint };
    let message = ReplicateResponse {
        first: from.0,
        events: events.iter().map(|event| event.bytes().clone()).collect(),
        trees: commits.into_iter().map(tree).collect(),
        head: node.snapshot().tip.size.as_u64(),
    };
    Ok((message, next))
}
