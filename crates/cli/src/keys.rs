//! Keys on disk: agents' keys in PKCS#8 PEM, a ledger's key as the text of a note signer, the key for
//! COSE receipts as a COSE_Key.

use std::fs;
use std::io::{Error, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tally_interop::CoseKey;
use tally_protocol::{AgentKey, Origin};
use tally_tlog::{Cosigner, KeyName, NoteSigner, VerifierKey};

use crate::error::CliError;

/// The ledger's private key in a data directory.
const LOG_KEY: &str = "log.key";

/// The ledger's public key beside it.
const LOG_PUB: &str = "log.pub";

/// The private key for COSE receipts in a data directory.
const COSE_KEY: &str = "cose.key";

/// Reads an agent's private key.
pub(crate) fn read_agent_key(path: &Path) -> Result<AgentKey, CliError> {
    let pem = read(path)?;
    AgentKey::from_pem(&pem).map_err(|error| {
        CliError::Usage(format!("{}: {error}; make one with `tally keygen`", path.display()))
    })
}

/// Writes a secret to a new file that only its owner can read. The file is there with all of it, or
/// not at all: a process may be killed in between.
pub(crate) fn write_secret(path: &Path, secret: impl AsRef<[u8]>) -> Result<(), CliError> {
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
    file.write_all(secret.as_ref()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A new key for a ledger of this name.
pub(crate) fn new_log_key(origin: &Origin) -> NoteSigner {
    NoteSigner::from_seed(origin.key_name(), &rand::random())
}

/// The key of the ledger's own agent, in its directory; made when absent.
pub(crate) fn own_agent(data: &Path) -> Result<AgentKey, CliError> {
    let path = data.join("agent.key");
    if !path.exists() {
        write_secret(&path, AgentKey::generate().to_pem())?;
    }
    read_agent_key(&path)
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
    if data.join("mirror.key").exists() && !own_key.exists() && key_file.is_none() {
        return Err(CliError::Usage(format!(
            "{} holds a mirror, which `tally mirror` runs; to make it the ledger, stop the writer \
             for good and put its log.key here",
            data.display()
        )));
    }
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
        write_secret(path, format!("{}\n", signer.to_secret_text()))?;
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
    write_log_pub(data, &signer.verifier_key())?;
    Ok(Identity { origin: named, signer })
}

/// Puts a ledger's public key beside its data.
pub(crate) fn write_log_pub(data: &Path, key: &VerifierKey) -> Result<(), CliError> {
    write_public(&data.join(LOG_PUB), key)
}

fn write_public(path: &Path, key: &impl std::fmt::Display) -> Result<(), CliError> {
    write_public_text(path, format!("{key}\n"))
}

fn write_public_text(path: &Path, text: String) -> Result<(), CliError> {
    // Each start would empty the file first, and a full disk would leave it so.
    if fs::read_to_string(path).ok().as_ref() == Some(&text) {
        return Ok(());
    }
    let directory = path.parent().expect("a file in a directory");
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| CliError::failed(path.display(), error))
}

/// A cosigner's key `WHO.key` in a directory, with `WHO.pub` beside it; made when absent.
pub(crate) fn cosigner(data: &Path, who: &str, name: Option<&str>) -> Result<Cosigner, CliError> {
    fs::create_dir_all(data).map_err(|error| CliError::failed(data.display(), error))?;
    let wanted = name.map(|name| {
        KeyName::new(name).map_err(|error| {
            CliError::Usage(format!(
                "{name:?} can't be a key's name: {error}; try example.org/{who}"
            ))
        })
    });
    let (wanted, path) = (wanted.transpose()?, data.join(format!("{who}.key")));
    let cosigner = if path.exists() {
        let cosigner = Cosigner::parse_secret(read(&path)?.trim())
            .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
        if let Some(wanted) = wanted.filter(|wanted| wanted != cosigner.name()) {
            let (path, name) = (path.display(), cosigner.name());
            return Err(CliError::Usage(format!(
                "the key in {path} cosigns as {name}, not as {wanted}; leave --name out or choose \
                 another directory"
            )));
        }
        cosigner
    } else {
        let seed: [u8; 32] = rand::random();
        let name = wanted.unwrap_or_else(|| {
            let id = Cosigner::from_seed(KeyName::new(who).expect("a word is a name"), &seed);
            let name = format!("{}.{who}.localhost", id.key_id());
            KeyName::new(name).expect("hexadecimal digits are a name")
        });
        let cosigner = Cosigner::from_seed(name, &seed);
        write_secret(&path, format!("{}\n", cosigner.to_secret_text()))?;
        cosigner
    };
    write_public(&data.join(format!("{who}.pub")), &cosigner.verifier_key())?;
    Ok(cosigner)
}

/// Reads a private key for COSE receipts.
pub(crate) fn read_cose_key(path: &Path) -> Result<CoseKey, CliError> {
    CoseKey::parse(&read_bytes(path)?).map_err(|error| {
        let path = path.display();
        CliError::Usage(format!("{path}: {error}; make one with `tally keygen --cose`"))
    })
}

/// Makes a private key for COSE receipts, with its public half beside it as `FILE.pub`, or `cose.pub`
/// for `cose.key`. Says where that is.
pub(crate) fn write_cose_key(path: &Path) -> Result<(CoseKey, PathBuf), CliError> {
    let public = path.with_extension("pub");
    if public == path || public.exists() {
        let public = public.display();
        return Err(CliError::Usage(format!(
            "{public} is where the public half goes, and it is not overwritten; choose another name"
        )));
    }
    let key = CoseKey::from_seed(&rand::random());
    write_secret(path, key.to_bytes())?;
    write_public_text(&public, key.public_key().to_pem())?;
    Ok((key, public))
}

/// The private key for COSE receipts in a data directory; made when absent.
pub(crate) fn cose_key_in(data: &Path) -> Result<CoseKey, CliError> {
    let path = data.join(COSE_KEY);
    if path.exists() { read_cose_key(&path) } else { Ok(write_cose_key(&path)?.0) }
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
