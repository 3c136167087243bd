//! What is stored: the payloads of a ledger's envelopes.

use std::path::Path;

use bytes::{Buf, Bytes};

use crate::failure::Failure;

/// At least one payload.
#[derive(Debug, Clone)]
pub(crate) struct Payloads(Vec<Bytes>);

impl Payloads {
    /// Reads a file of payloads, each behind its length as u32, big-endian.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let file = std::fs::read(path).map_err(Failure::system(path.display().to_string()))?;
        Self::parse(file.into())
    }

    fn parse(mut bytes: Bytes) -> Result<Self, Failure> {
        let mut payloads = Vec::new();
        while !bytes.is_empty() {
            let length = bytes.try_get_u32().map_err(|_| Failure::Payloads)?;
            let length = usize::try_from(length).map_err(|_| Failure::Payloads)?;
            if length > bytes.len() {
                return Err(Failure::Payloads);
            }
            payloads.push(bytes.split_to(length));
        }
        if payloads.is_empty() { Err(Failure::Payloads) } else { Ok(Self(payloads)) }
    }

    /// All of them, again and again without an end, from some place on.
    pub(crate) fn from(&self, place: usize) -> impl Iterator<Item = &Bytes> {
        self.0.iter().cycle().skip(place % self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read_as_they_were_written() {
        let bytes = Bytes::from_static(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9]);
        let payloads = Payloads::parse(bytes.clone()).expect("two payloads");
        let found: Vec<_> = payloads.from(1).take(3).map(|payload| payload.to_vec()).collect();
        assert_eq!(found, [vec![9], vec![7, 8], vec![9]]);
        for torn in [0, 1, 5, 8, 10] {
            assert!(Payloads::parse(bytes.slice(..torn)).is_err(), "{torn}");
        }
    }
}
