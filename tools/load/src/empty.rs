//! A server that does nothing: what a round trip costs before anyone does anything.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tally_api::v1::proofs_server::{Proofs, ProofsServer};
use tally_api::v1::{
    GetConsistencyProofRequest, GetConsistencyProofResponse, GetLogReceiptRequest,
    GetLogReceiptResponse,
};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::Failure;

struct Nothing;

#[tonic::async_trait]
impl Proofs for Nothing {
    async fn get_log_receipt(
        &self,
        _: Request<GetLogReceiptRequest>,
    ) -> Result<Response<GetLogReceiptResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_consistency_proof(
        &self,
        _: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

/// Answers every question with nothing, at a free port that it prints, until the process ends.
///
/// # Errors
/// [`Failure`] when it can't listen.
pub async fn serve_empty() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Failure::system("a port"))?;
    let address = listener.local_addr().map_err(Failure::system("the port"))?;
    println!("http://{address}");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Ok(Server::builder()
        .add_service(ProofsServer::new(Nothing))
        .serve_with_incoming(incoming)
        .await?)
}

/// That server as a process of its own, until the value is dropped.
pub struct EmptyServer {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl EmptyServer {
    /// Starts `tally-load empty-server`, which is beside the running program.
    ///
    /// # Errors
    /// [`Failure::System`].
    pub fn start() -> Result<Self, Failure> {
        let own = std::env::current_exe().map_err(Failure::system("the path of this program"))?;
        let program = own.with_file_name("tally-load");
        let failed = || Failure::system(program.display().to_string());
        let mut command = Command::new(&program);
        command.arg("empty-server").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed())?;
        let mut url = String::new();
        let stdout = child.stdout.take().expect("it was asked for");
        let read = BufReader::new(stdout).read_line(&mut url).map_err(failed());
        let server = Self { child, url: url.trim().to_owned() };
        read.map(|_| server)
    }
}

impl Drop for EmptyServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}
