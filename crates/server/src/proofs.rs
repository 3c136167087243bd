//! Proofs for those who do not trust the operator.

use tally_api::v1::proofs_server::Proofs;
use tally_api::v1::{
    GetConsistencyProofRequest, GetConsistencyProofResponse, GetLogReceiptRequest,
    GetLogReceiptResponse, get_log_receipt_request,
};
use tally_node::Node;
use tally_protocol::{Position, TreeSize};
use tonic::{Request, Response, Status};

use crate::ledger::{position_of, wire_receipt};
use crate::status::{Answer, invalid};

pub(crate) struct Service {
    pub(crate) node: Node,
}

#[tonic::async_trait]
impl Proofs for Service {
    async fn get_log_receipt(
        &self,
        request: Request<GetLogReceiptRequest>,
    ) -> Result<Response<GetLogReceiptResponse>, Status> {
        use get_log_receipt_request::Event as Wanted;
        let position = match request.into_inner().event {
            Some(Wanted::Position(position)) => Position(position),
            Some(Wanted::EnvelopeId(id)) => position_of(&self.node, &id)?,
            None => return Err(invalid("event", "is required: a position or an envelope id")),
        };
        let receipt = self.node.receipt(position).map_err(Answer::from)?;
        Ok(Response::new(GetLogReceiptResponse {
            receipt: Some(wire_receipt(&receipt, true)),
            event: receipt.event.bytes().clone(),
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        let GetConsistencyProofRequest { old_size, new_size } = request.into_inner();
        let new = (new_size != 0).then(|| TreeSize::new(new_size));
        let proof = self.node.consistency(TreeSize::new(old_size), new).map_err(Answer::from)?;
        Ok(Response::new(GetConsistencyProofResponse {
            proof: proof.proof.hashes().iter().map(|hash| hash.as_bytes().to_vec()).collect(),
            new_size: proof.new_size.as_u64(),
            old_root: proof.old_root.as_bytes().to_vec(),
            new_root: proof.new_root.as_bytes().to_vec(),
            checkpoint: proof.checkpoint.to_vec(),
        }))
    }
}
