//! Signed envelopes in a file, from the process that signs to the one that measures: of each the
//! length of the payload as u32, big-endian, the payload, and the signature.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use bytes::{Buf, Bytes};
use tally_protocol::SignedEnvelope;

use crate::Failure;

/// Writes them in their order.
pub(crate) fn write(path: &Path, envelopes: &[SignedEnvelope]) -> Result<(), Failure> {
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        for SignedEnvelope { payload, signature } in envelopes {
            let length = u32::try_from(payload.len()).expect("a payload is short");
            out.write_all(&length.to_be_bytes())?;
            out.write_all(payload)?;
            out.write_all(signature)?;
        }
        out.flush()
    };
    Ok(write().map_err(tally_load::Failure::system(path.display().to_string()))?)
}

/// Reads them again.
pub(crate) fn read(path: &Path) -> Result<Vec<SignedEnvelope>, Failure> {
    let file = std::fs::read(path);
    parse(file.map_err(tally_load::Failure::system(path.display().to_string()))?.into())
}

fn parse(mut bytes: Bytes) -> Result<Vec<SignedEnvelope>, Failure> {
    let mut envelopes = Vec::new();
    while !bytes.is_empty() {
        let length = bytes.try_get_u32().map_err(|_| Failure::Tail)?;
        let length = usize::try_from(length).map_err(|_| Failure::Tail)?;
        if bytes.len() < length {
            return Err(Failure::Tail);
        }
        let payload = bytes.split_to(length);
        let mut signature = [0; 64];
        bytes.try_copy_to_slice(&mut signature).map_err(|_| Failure::Tail)?;
        envelopes.push(SignedEnvelope { payload, signature });
    }
    Ok(envelopes)
}

#[cfg(test)]
mod tests {
    use tally_benches::{Market, origin};

    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_less() {
        let directory = tally_load::scratch().expect("a directory");
        let path = directory.path().join("tail");
        let envelopes = Market::new(origin(), 3, 1).batch(5);
        write(&path, &envelopes).expect("a file");
        assert_eq!(read(&path).expect("whole"), envelopes);
        let bytes = Bytes::from(std::fs::read(&path).expect("a file"));
        for torn in [1, 3, 4, 100, bytes.len() - 1] {
            assert!(matches!(parse(bytes.slice(..torn)), Err(Failure::Tail)), "{torn}");
        }
    }
}
