//! The static read path over plain HTTP, as C2SP tlog-tiles specifies: checkpoint, hash tiles and
//! entry bundles, so that anyone can follow the log with nothing but GET and a cache.
//!
//! | path | what | cached |
//! |---|---|---|
//! | `/checkpoint` | the signed tree head | no |
//! | `/tile/<L>/<N>[.p/<W>]` | hashes of the tree | for ever |
//! | `/tile/entries/<N>[.p/<W>]` | events, each behind its length | for ever |
//!
//! Only what the durable head has is served. TLS, compression and limits for each client are the
//! business of a proxy in front, which may cache all tiles.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tally_node::tiles::{TileError, TileSource, read_tile};
use tally_tlog::{TilePath, TilePathError};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Most tiles that are cut at once; a bundle of the longest events takes 16 MiB. Others wait, and
/// their readers with them.
const MAX_TILES_AT_ONCE: usize = 16;

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
const OCTETS: &str = "application/octet-stream";

/// "This endpoint is immutable, so its caching headers SHOULD be long-lived." Partial tiles too: a
/// wider one has another path.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// "This endpoint is mutable, so its headers SHOULD prevent caching beyond a few seconds." Nor is it
/// cached that there is no such tile, because there may soon be.
const NOT_AT_ALL: &str = "no-cache";

/// Serves the read path until the listener fails; drop the future to end it.
///
/// # Errors
/// [`io::Error`] when the listener fails.
pub async fn serve(source: Arc<dyn TileSource>, listener: TcpListener) -> io::Result<()> {
    axum::serve(listener, router(source)).await
}

/// The read path as a router, to serve it beside something else.
pub fn router(source: Arc<dyn TileSource>) -> Router {
    let places = Arc::new(Semaphore::new(MAX_TILES_AT_ONCE));
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .fallback(nothing_here)
        .with_state(Service { source, places })
}

#[derive(Clone)]
struct Service {
    source: Arc<dyn TileSource>,
    places: Arc<Semaphore>,
}

async fn checkpoint(State(service): State<Service>) -> Response {
    let checkpoint = service.source.head().checkpoint;
    if checkpoint.is_empty() {
        return refused(StatusCode::NOT_FOUND, "the log is empty and has no checkpoint yet");
    }
    answer(StatusCode::OK, PLAIN_TEXT, NOT_AT_ALL, checkpoint)
}

/// Takes the path as it was sent, not decoded: each tile has one, and so one place in a cache.
async fn tile(State(service): State<Service>, uri: Uri) -> Response {
    let tile = match uri.path().strip_prefix('/').unwrap_or_default().parse::<TilePath>() {
        Ok(tile) => tile,
        Err(error) => return refused(path_status(error), &error.to_string()),
    };
    let Service { source, places } = service;
    let _place = places.acquire().await.expect("the semaphore is never closed");
    let read = tokio::task::spawn_blocking(move || read_tile(&*source, tile)).await;
    match read.expect("reading a tile does not panic") {
        Ok(bytes) => answer(StatusCode::OK, OCTETS, FOR_EVER, bytes),
        Err(error @ TileError::BeyondHead { .. }) => {
            refused(StatusCode::NOT_FOUND, &error.to_string())
        }
        Err(error @ (TileError::Read(_) | TileError::Tree(_))) => {
            tracing::error!(%error, %tile, "a tile can't be read");
            let what =
                "the ledger can't read its own log; its operator finds the cause in its logs";
            refused(StatusCode::INTERNAL_SERVER_ERROR, what)
        }
    }
}

async fn nothing_here() -> Response {
    let what = "there are /checkpoint, /tile/<level>/<index> and /tile/entries/<index> here";
    refused(StatusCode::NOT_FOUND, what)
}

/// A path of the right form that no log can have is not there; another is no path of a tile.
fn path_status(error: TilePathError) -> StatusCode {
    match error {
        TilePathError::NoSuchTree => StatusCode::NOT_FOUND,
        TilePathError::Form
        | TilePathError::Level
        | TilePathError::Index
        | TilePathError::Width => StatusCode::BAD_REQUEST,
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    answer(status, PLAIN_TEXT, NOT_AT_ALL, format!("{why}\n"))
}

fn answer(
    status: StatusCode,
    kind: &'static str,
    cache: &'static str,
    body: impl Into<Body>,
) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)];
    (status, headers, body.into()).into_response()
}
