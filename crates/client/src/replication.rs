//! The raw material of a mirror: what the ledger says, for somebody else to judge.

use bytes::Bytes;
use tally_api::BadAnswer;
use tally_api::v1::{
    GetConsistencyProofRequest, GetHeadRequest, GetStateDigestRequest, ReplicateRequest,
    ReplicateResponse,
};
use tally_protocol::{Digest, Position, TreeSize};
use tally_tlog::{ConsistencyProof, Hash};
use tonic::Streaming;

use crate::connection::{Client, When};
use crate::error::Error;

/// Events and signed trees as they come, unchecked.
pub struct Replication(Streaming<ReplicateResponse>);

/// What one message of a replication holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicated {
    /// Position of the first event.
    pub first: Position,
    /// Bytes of consecutive events.
    pub events: Vec<Bytes>,
    /// Sizes of trees that end among them, and their signed notes.
    pub trees: Vec<(TreeSize, Bytes)>,
}

impl Replication {
    /// The next message; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the stream breaks.
    pub async fn next(&mut self) -> Result<Option<Replicated>, Error> {
        let message = self.0.message().await?;
        Ok(message.map(|message| Replicated {
            first: Position(message.first),
            events: message.events,
            trees: message
                .trees
                .into_iter()
                .map(|tree| (TreeSize::new(tree.size), tree.checkpoint))
                .collect(),
        }))
    }
}

impl Client {
    /// How many events the ledger says are durable, and the last signed note that it gives away, if
    /// any: both unchecked.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn unverified_head(&self) -> Result<(TreeSize, Option<Bytes>), Error> {
        let head = self.ledger.clone().get_head(GetHeadRequest {}).await?.into_inner();
        let note = (!head.checkpoint.is_empty()).then(|| head.checkpoint.into());
        Ok((TreeSize::new(head.size), note))
    }

    /// What the ledger says is its root at an older size, and its proof that the tree of `new`
    /// events continues that: unchecked.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Rejected`] when the sizes are out of range.
    pub async fn unverified_consistency(
        &self,
        old: TreeSize,
        new: TreeSize,
    ) -> Result<(Hash, ConsistencyProof), Error> {
        let request = GetConsistencyProofRequest { old_size: old.as_u64(), new_size: new.as_u64() };
        let answer = self.proofs.clone().get_consistency_proof(request).await?.into_inner();
        let hash = |bytes: &[u8]| bytes.try_into().map(Hash::new);
        let hashes = answer.proof.iter().map(|bytes| hash(bytes)).collect::<Result<_, _>>();
        let proof = ConsistencyProof::new(hashes.map_err(|_| BadAnswer::Shape("proof"))?)
            .map_err(|_| BadAnswer::Shape("proof"))?;
        let old_root = hash(&answer.old_root).map_err(|_| BadAnswer::Shape("old_root"))?;
        Ok((old_root, proof))
    }

    /// The log from a position on, as a mirror takes it.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the position lies beyond the head.
    pub async fn replicate(&self, from: Position) -> Result<Replication, Error> {
        let request = ReplicateRequest { from: from.0 };
        Ok(Replication(self.replication.clone().replicate(request).await?.into_inner()))
    }

    /// The digest of what the log has come to, in a fold of at least so many events, and the tree
    /// size that it is as of.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn state_digest(&self, when: impl Into<When>) -> Result<(TreeSize, Digest), Error> {
        let (at_least, as_of) = when.into().on_wire();
        let request = GetStateDigestRequest { at_least, as_of };
        let answer = self.query.clone().get_state_digest(request).await?.into_inner();
        let digest = answer.digest.as_slice().try_into().map(Digest);
        let digest = digest.map_err(|_| BadAnswer::Shape("digest"))?;
        Ok((TreeSize::new(answer.as_of), digest))
    }
}
