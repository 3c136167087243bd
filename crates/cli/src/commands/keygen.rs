//! `tally keygen`: a key in a file that only its owner can read.

use serde::Serialize;
use tally_protocol::AgentKey;

use crate::args::KeygenArgs;
use crate::error::CliError;
use crate::keys::{new_log_key, parse_origin, write_cose_key, write_secret};
use crate::output::Output;

#[derive(Serialize)]
#[serde(untagged)]
enum Made {
    Agent { agent: String, file: String },
    LogKey { log_key: String, file: String },
    CoseKey { cose_key: String, file: String, public: String },
}

pub(crate) fn run(args: KeygenArgs, output: Output) -> Result<(), CliError> {
    let file = args.file.display().to_string();
    let made = match &args.log {
        Some(origin) => {
            let signer = new_log_key(&parse_origin(origin)?);
            write_secret(&args.file, format!("{}\n", signer.to_secret_text()))?;
            Made::LogKey { log_key: signer.verifier_key().to_string(), file }
        }
        None if args.cose => {
            let (key, public) = write_cose_key(&args.file)?;
            let public = public.display().to_string();
            Made::CoseKey { cose_key: key.public_key().to_string(), file, public }
        }
        None => {
            let key = AgentKey::generate();
            write_secret(&args.file, key.to_pem())?;
            Made::Agent { agent: key.agent().to_string(), file }
        }
    };
    output.answer(&made, |made| match made {
        Made::Agent { agent, file } => format!("{agent}\n(the private key is in {file})"),
        Made::LogKey { log_key, file } => format!("{log_key}\n(the private key is in {file})"),
        Made::CoseKey { cose_key, file, public } => {
            format!("{cose_key}\n(the private key is in {file}, the public one in {public})")
        }
    });
    Ok(())
}
