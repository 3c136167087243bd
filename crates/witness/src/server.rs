//! The witness over HTTP: `POST /add-checkpoint` and `GET /<origin hash>/checkpoint`.
//!
//! Translates and nothing else: what is cosigned is decided in [`crate::witness`]. Submission and
//! monitoring prefix are the same. TLS is the business of a proxy in front.
//!
//! | status | when |
//! |---|---|
//! | 200 | cosigned; the body is the cosignature's line |
//! | 400 | not a request, or the old size is above the checkpoint's |
//! | 403 | no trusted key of the log signed, or a line that claims so is forged |
//! | 404 | the log is unknown; nothing was cosigned of it yet |
//! | 409 | another checkpoint was cosigned last; the body is its size |
//! | 413 | more bytes than a request may have |
//! | 422 | the checkpoint does not extend the latest one |
//! | 408 | the body did not come in time |
//! | 500 | the record could not be made durable |

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tally_tlog::{NoteSignature, PosixTime};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::request::{AddCheckpoint, MAX_REQUEST_BYTES, RequestError};
use crate::witness::{Refusal, Witness};

/// Most requests that are taken in at once; others wait, and their senders with them.
const MAX_IN_FLIGHT: usize = 64;

/// Longest time that the body of a request may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests that are under way may go on after a shutdown was asked for.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
/// "The response MUST have a `Content-Type` of `text/x.tlog.size`."
const TREE_SIZE: &str = "text/x.tlog.size";

/// Serves a witness until `shutdown` completes, then finishes what is under way.
///
/// # Errors
///
/// [`io::Error`] when the listener fails.
pub async fn serve(
    witness: Arc<Witness>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stopping_to, mut stopping) = watch::channel(false);
    let graceful = async move {
        // An error means that the sender is gone, which ends the server as well.
        let _gone = stopping.wait_for(|stopping| *stopping).await;
    };
    let serving = axum::serve(listener, router(witness)).with_graceful_shutdown(graceful);
    let mut serving = Box::pin(serving.into_future());
    tokio::select! {
        ended = &mut serving => return ended,
        () = shutdown => {}
    }
    stopping_to.send_replace(true);
    match tokio::time::timeout(SHUTDOWN_GRACE, serving).await {
        Ok(ended) => ended,
        Err(_) => {
            tracing::warn!(grace = ?SHUTDOWN_GRACE, "requests were still under way and are cut off");
            Ok(())
        }
    }
}

/// The witness as a router, to serve it beside something else.
pub fn router(witness: Arc<Witness>) -> Router {
    let service = Service { witness, places: Arc::new(Semaphore::new(MAX_IN_FLIGHT)) };
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin_hash}/checkpoint", get(checkpoint))
        .with_state(service)
}

#[derive(Clone)]
struct Service {
    witness: Arc<Witness>,
    places: Arc<Semaphore>,
}

async fn add_checkpoint(State(service): State<Service>, body: Body) -> Result<Response, Refused> {
    let Service { witness, places } = service;
    let _place = places.acquire().await.expect("the semaphore is never closed");
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_REQUEST_BYTES)).await;
    let body = body.map_err(|_| Refused::Slow)?.map_err(|_| Refused::TooLarge)?;
    // Checks hash and sign, and the record waits for the disk.
    let added = tokio::task::spawn_blocking(move || add(&witness, &body)).await;
    let cosignature = added.expect("a witness does not panic")?;
    // "The response body MUST be a sequence of one or more note signature lines"
    Ok(text(StatusCode::OK, PLAIN_TEXT, format!("{cosignature}\n")))
}

fn add(witness: &Witness, body: &[u8]) -> Result<NoteSignature, Refused> {
    let request = AddCheckpoint::parse(body).map_err(Refused::Request)?;
    let claim = request.checkpoint().unverified();
    let added = witness.add_checkpoint(&request, now());
    match &added {
        Ok(_) => tracing::info!(origin = %claim.origin, size = %claim.size, "cosigned"),
        // The log's key signed both: "it might be proof of log misbehavior".
        Err(Refusal::NoGrowth(cause)) => {
            tracing::warn!(%cause, checkpoint = %request.checkpoint().note(), "not cosigned");
        }
        Err(cause @ Refusal::NotKept { .. }) => tracing::error!(%cause, "not cosigned"),
        Err(cause) => tracing::debug!(%cause, "not cosigned"),
    }
    added.map_err(Refused::Witness)
}

async fn checkpoint(State(service): State<Service>, Path(origin_hash): Path<String>) -> Response {
    match service.witness.latest(&origin_hash) {
        Some(checkpoint) => text(StatusCode::OK, PLAIN_TEXT, checkpoint),
        // "If the witness has never cosigned a checkpoint for that log, it MUST respond with a
        // \"404 Not Found\""
        None => {
            let why = "this witness has cosigned no checkpoint of a log with this origin hash\n";
            text(StatusCode::NOT_FOUND, PLAIN_TEXT, why)
        }
    }
}

/// Why a request gets another answer than a cosignature.
enum Refused {
    Slow,
    TooLarge,
    Request(RequestError),
    Witness(Refusal),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Slow => {
                let why =
                    format!("the request took more than {} s to come", BODY_TIMEOUT.as_secs());
                (StatusCode::REQUEST_TIMEOUT, why)
            }
            Self::TooLarge => {
                let why = format!("a request has at most {MAX_REQUEST_BYTES} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, why)
            }
            // "A checkpoint of size zero MUST have the root hash of the empty tree ... Otherwise,
            // the witness MUST respond with a \"422 Unprocessable Entity\" HTTP status code."
            Self::Request(error @ RequestError::EmptyTreeRoot) => {
                (StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
            Self::Request(error) => {
                let form = "send `old <size>`, a hash a line, an empty line and a checkpoint";
                (StatusCode::BAD_REQUEST, format!("{error}; {form}"))
            }
            Self::Witness(Refusal::NotTheLatest { latest }) => {
                // "the tree size of the latest cosigned checkpoint in decimal, followed by a newline"
                return text(StatusCode::CONFLICT, TREE_SIZE, format!("{latest}\n"));
            }
            Self::Witness(refusal) => (status(&refusal), refusal.to_string()),
        };
        text(status, PLAIN_TEXT, format!("{why}\n"))
    }
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::UnknownLog { .. } => StatusCode::NOT_FOUND,
        Refusal::NotSigned(_) => StatusCode::FORBIDDEN,
        Refusal::OldAboveNew { .. } => StatusCode::BAD_REQUEST,
        Refusal::NotTheLatest { .. } => StatusCode::CONFLICT,
        Refusal::NoGrowth(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::NotKept { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// The time by the system's clock; 0 when it is before 1970.
fn now() -> PosixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    PosixTime::new(since.as_secs()).unwrap_or(PosixTime::MAX)
}
