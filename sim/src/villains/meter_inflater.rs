//! Serves, and says that it served a fifth more.

use grange_types::{ByteCount, Counters, Millis};

use super::Villain;

pub(crate) struct MeterInflater;

impl Villain for MeterInflater {
    fn name(&self) -> &'static str {
        "meter_inflater"
    }

    fn counters(&self, truth: Counters) -> Counters {
        let more = |count: u64| count / 5 * 6 + 1;
        Counters {
            served: Millis(more(truth.served.0)),
            requests: more(truth.requests),
            egress: ByteCount(more(truth.egress.0)),
        }
    }
}
