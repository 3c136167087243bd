//! `tally witness`: cosigns the checkpoints of logs, each only if it extends the one before.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tally_tlog::{Cosigner, KeyName, VerifierKey};
use tally_witness::Witness;
use tokio::net::TcpListener;

use crate::args::WitnessArgs;
use crate::commands::serve::stop_signal;
use crate::error::CliError;
use crate::keys::{log_key_argument, read, write_secret};
use crate::output::Output;

/// The witness's private key in its directory.
const WITNESS_KEY: &str = "witness.key";

/// The witness's public key beside it.
const WITNESS_PUB: &str = "witness.pub";

pub(crate) async fn run(args: WitnessArgs, output: Output) -> Result<(), CliError> {
    let logs: Vec<VerifierKey> =
        args.log.iter().map(|key| log_key_argument(key)).collect::<Result<_, _>>()?;
    let cosigner = open_cosigner(&args.data, args.name.as_deref())?;
    let witness = Witness::open(&args.data, cosigner, logs)
        .map_err(|error| CliError::Failed(error.to_string()))?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        CliError::failed(format!("{} can't be listened on; try --listen", args.listen), error)
    })?;
    let address = listener.local_addr().map_err(|error| CliError::failed("the listener", error))?;
    let known: Vec<(String, u64)> = witness
        .logs()
        .map(|(origin, size)| (origin.to_string(), size.unwrap_or_default().as_u64()))
        .collect();
    let started = json!({
        "url": format!("http://{address}"),
        "key": witness.key().to_string(),
        "logs": known.iter().map(|(log, size)| json!({"origin": log, "size": size})).collect::<Vec<_>>(),
    });
    output.answer(&started, |_| {
        let logs: String =
            known.iter().map(|(log, size)| format!("log      {log} ({size} cosigned)\n")).collect();
        let key = witness.key();
        format!("witness  {key}\n{logs}serving  http://{address}   (Ctrl-C stops it)")
    });
    tally_witness::serve(Arc::new(witness), listener, stop_signal())
        .await
        .map_err(|error| CliError::failed("the listener", error))
}

/// Reads who the witness in a directory is, or makes it someone.
fn open_cosigner(data: &Path, name: Option<&str>) -> Result<Cosigner, CliError> {
    let wanted = name.map(parse_name).transpose()?;
    fs::create_dir_all(data).map_err(|error| CliError::failed(data.display(), error))?;
    let path = data.join(WITNESS_KEY);
    let cosigner = if path.exists() {
        Cosigner::parse_secret(read(&path)?.trim())
            .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?
    } else {
        let seed: [u8; 32] = rand::random();
        let name = wanted.clone().unwrap_or_else(|| local_name(&seed));
        let cosigner = Cosigner::from_seed(name, &seed);
        write_secret(&path, &format!("{}\n", cosigner.to_secret_text()))?;
        cosigner
    };
    if let Some(wanted) = wanted
        && wanted != *cosigner.name()
    {
        return Err(CliError::Usage(format!(
            "the key in {} cosigns as {}, not as {wanted}; leave --name out or choose another \
             directory",
            path.display(),
            cosigner.name()
        )));
    }
    write_public(&data.join(WITNESS_PUB), &cosigner)?;
    Ok(cosigner)
}

fn write_public(path: &Path, cosigner: &Cosigner) -> Result<(), CliError> {
    let public = format!("{}\n", cosigner.verifier_key());
    // Each start would empty the file first, and a full disk would leave it so.
    if fs::read_to_string(path).ok().as_ref() != Some(&public) {
        fs::write(path, public).map_err(|error| CliError::failed(path.display(), error))?;
    }
    Ok(())
}

fn parse_name(text: &str) -> Result<KeyName, CliError> {
    KeyName::new(text).map_err(|error| {
        CliError::Usage(format!(
            "{text:?} can't be a witness's name: {error}; try example.org/witness"
        ))
    })
}

/// A name that nobody else has, for a witness that nobody named.
fn local_name(seed: &[u8; 32]) -> KeyName {
    let id = Cosigner::from_seed(KeyName::new("witness").expect("a word is a name"), seed).key_id();
    KeyName::new(format!("{id}.witness.localhost")).expect("hexadecimal digits are a name")
}
