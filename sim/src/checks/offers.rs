//! Who left for good is forgotten: once his price sheet has expired nobody asks him for a quote or counts his offer.

use grange_types::{Millis, Time, limits};

/// Clocks and the time between two looks at what has expired.
const SLACK: Millis = Millis::minutes(2);

/// Who left, and when.
#[derive(Default)]
pub(crate) struct Offers {
    gone: Option<(Time, usize)>,
}

impl Offers {
    pub(super) fn gone(&mut self, now: Time, host: usize) {
        self.gone = Some((now, host));
    }

    /// Who must have been forgotten by now.
    pub(super) fn forgotten(&self, now: Time) -> Option<usize> {
        let expired = |(left, _): &(Time, usize)| now > left.after(limits::PRICE_SHEET_LIFETIME).after(SLACK);
        self.gone.filter(expired).map(|(_, host)| host)
    }

    /// A host asked another for a quote.
    pub(super) fn asked(&self, now: Time, asker: usize, asked: usize) -> Result<(), String> {
        match self.forgotten(now) {
            Some(host) if host == asked => {
                Err(format!("host {asker} asks host {asked} for a quote, whose price sheet has expired"))
            }
            _ => Ok(()),
        }
    }
}
