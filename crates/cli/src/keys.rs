//! Keys on disk: agents' keys in PKCS#8 PEM, a ledger's key as the text of a note signer.

use std::fs;
use std::io::{Error, ErrorKind, Write};
use std::path::Path;

use tally_protocol::{AgentKey, Origin};
use tally_tlog::{KeyName, NoteSigner, VerifierKey};

use crate::error::CliError;

/// The ledger's private key in a data directory.
const LOG_KEY: &str = "log.key";

/// The ledger's public key beside it.
const LOG_PUB: &str = "log.pub";

/// Reads an agent's private key.
pub(crate) fn read_agent_key(path: &Path) -> Result<AgentKey, CliError> {
    let pem = read(path)?;
    AgentKey::from_pem(&pem).map_err(|error| {
        CliError::Usage(format!("{}: {error}; make one with `tally keygen`", path.display()))
    })
}

/// Writes a secret to a new file that only its owner can read. The file is there with all of it, or
/// not at all: a process may be killed in between.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: Error| match error.kind() {
        ErrorKind::AlreadyExists => CliError::Usage(format!(
            "{} exists and is not overwritten; choose another name",
            path.display()
        )),
        _ => CliError::failed(path.display(), error),
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let file =
        tempfile::Builder::new().prefix(".key-").tempfile_in(directory.unwrap_or(Path::new(".")));
    let mut file = file.map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A new key for a ledger of this name.
pub(crate) fn new_log_key(origin: &Origin) -> NoteSigner {
    NoteSigner::from_seed(origin.key_name(), &rand::random())
}

/// The ledger that a directory holds, or is to hold.
pub(crate) struct Identity {
    pub(crate) origin: Origin,
    pub(crate) signer: NoteSigner,
}

/// Reads who a data directory's ledger is, or makes it someone.
pub(crate) fn open_identity(
    data: &Path,
    origin: Option<&str>,
    key_file: Option<&Path>,
) -> Result<Identity, CliError> {
    let wanted = origin.map(parse_origin).transpose()?;
    fs::create_dir_all(data).map_err(|error| CliError::failed(data.display(), error))?;
    let own_key = data.join(LOG_KEY);
    let path = key_file.unwrap_or(&own_key);
    let signer = if key_file.is_some() || path.exists() {
        let text = read(path)?;
        NoteSigner::parse_secret(text.trim()).map_err(|error| {
            let path = path.display();
            CliError::Usage(format!("{path}: {error}; make one with `tally keygen --log`"))
        })?
    } else {
        let seed: [u8; 32] = rand::random();
        let origin = wanted.clone().unwrap_or_else(|| local_origin(&seed));
        let signer = NoteSigner::from_seed(origin.key_name(), &seed);
        write_secret(path, &format!("{}\n", signer.to_secret_text()))?;
        signer
    };
    let named = parse_origin(signer.name().as_str())?;
    if let Some(wanted) = wanted
        && wanted != named
    {
        return Err(CliError::Usage(format!(
            "the key in {} signs for {named}, not for {wanted}; leave --origin out or name another \
             key",
            path.display()
        )));
    }
    let public = format!("{}\n", signer.verifier_key());
    let public_path = data.join(LOG_PUB);
    // Each start would empty the file first, and a full disk would leave it so.
    if fs::read_to_string(&public_path).ok().as_ref() != Some(&public) {
        fs::write(&public_path, public).map_err(|e| CliError::failed(public_path.display(), e))?;
    }
    Ok(Identity { origin: named, signer })
}

/// A name that nobody else has, for a ledger that nobody named.
fn local_origin(seed: &[u8; 32]) -> Origin {
    let name = KeyName::new("tally").expect("a word is a name");
    let id = NoteSigner::from_seed(name, seed).key_id();
    Origin::new(format!("{id}.tally.localhost")).expect("hexadecimal digits are a name")
}

/// The public key beside a ledger's data, if it is there.
pub(crate) fn log_key_in(data: &Path) -> Result<Option<VerifierKey>, CliError> {
    let path = data.join(LOG_PUB);
    if path.exists() { parse_log_key(&read(&path)?).map(Some) } else { Ok(None) }
}

/// A log key as it is given on the command line: the key, or a file with it.
pub(crate) fn log_key_argument(text: &str) -> Result<VerifierKey, CliError> {
    if Path::new(text).exists() {
        parse_log_key(&read(Path::new(text))?)
    } else {
        parse_log_key(text)
    }
}

fn parse_log_key(text: &str) -> Result<VerifierKey, CliError> {
    text.trim().parse().map_err(|error| {
        CliError::Usage(format!("a log key looks like name+id+key, or names a file: {error}"))
    })
}

pub(crate) fn parse_origin(text: &str) -> Result<Origin, CliError> {
    Origin::new(text).map_err(|error| {
        CliError::Usage(format!(
            "{text:?} can't be a ledger's name: {error}; try example.org/ledger"
        ))
    })
}

pub(crate) fn read(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// A file that was named on the command line.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    match error.kind() {
        ErrorKind::NotFound => CliError::Usage(format!("{} is not there", path.display())),
        _ => CliError::failed(path.display(), error),
    }
}
