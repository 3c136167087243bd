//! Times as other formats write them.

use tally_protocol::Time;

/// RFC 3339 in UTC with "Z", to the microsecond where there are any; nothing beyond the year 9999.
pub(crate) fn rfc3339(time: Time) -> Option<String> {
    Some(jiff::Timestamp::from_microsecond(time.0).ok()?.to_string())
}
