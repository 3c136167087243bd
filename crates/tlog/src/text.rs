//! Text encodings that the log's formats share: strict base64 and decimal.
//!
//! Strict both ways: each value has one spelling. Does not read lines or know any format.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Standard base64 with padding (RFC 4648 §4).
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes standard base64. Missing padding, foreign characters and stray low bits are refused,
/// so that encoding the result gives the same text.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// "ASCII decimal with no leading zeroes (unless the index is `0`)", as tlog-checkpoint and
/// tlog-proof both say. No sign, at most `u64::MAX`.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if canonical && digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_has_one_spelling() {
        let refused = ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "١"];
        for text in refused {
            assert_eq!(parse_decimal(text), None, "{text:?}");
        }
        assert_eq!(parse_decimal("0"), Some(0));
        assert_eq!(parse_decimal("10"), Some(10));
        assert_eq!(parse_decimal("18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_decimal("18446744073709551616"), None);
    }

    #[test]
    fn base64_has_one_spelling() {
        for text in ["AQ", "AQ=", "AR==", "AQ==\n", " AQ==", "A-_=", "AQ==="] {
            assert_eq!(from_base64(text), None, "{text:?}");
        }
        assert_eq!(from_base64("AQ=="), Some(vec![1]));
        assert_eq!(to_base64(&[1]), "AQ==");
    }
}
