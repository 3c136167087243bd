//! `tally witness`: cosigns the checkpoints of logs, each only if it extends the one before.

use std::sync::Arc;

use serde_json::json;
use tally_tlog::VerifierKey;
use tally_witness::Witness;

use crate::args::WitnessArgs;
use crate::commands::serve::{listen, stop_signal};
use crate::error::CliError;
use crate::keys::{cosigner, log_key_argument};
use crate::output::Output;

pub(crate) async fn run(args: WitnessArgs, output: Output) -> Result<(), CliError> {
    let logs: Vec<VerifierKey> =
        args.log.iter().map(|key| log_key_argument(key)).collect::<Result<_, _>>()?;
    let cosigner = cosigner(&args.data, "witness", args.name.as_deref())?;
    let witness = Witness::open(&args.data, cosigner, logs)
        .map_err(|error| CliError::Failed(error.to_string()))?;
    let (listener, address) = listen(args.listen).await?;
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
