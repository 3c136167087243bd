//! Moments on the wire.

use tally_protocol::{AsOf, Time, TreeSize};

use crate::v1;
use crate::v1::as_of::Moment;

/// The moment that a question asks about; `None` for the head.
pub fn moment(wire: Option<v1::AsOf>) -> Option<AsOf> {
    wire?.moment.map(|moment| match moment {
        Moment::Size(size) => AsOf::Size(TreeSize::new(size)),
        Moment::RecordedAtUs(us) => AsOf::Time(Time(us)),
    })
}

/// The same, on the wire.
pub fn wire_moment(moment: Option<AsOf>) -> Option<v1::AsOf> {
    let moment = moment.map(|moment| match moment {
        AsOf::Size(size) => Moment::Size(size.as_u64()),
        AsOf::Time(time) => Moment::RecordedAtUs(time.0),
    });
    moment.map(|moment| v1::AsOf { moment: Some(moment) })
}
