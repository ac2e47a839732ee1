//! Values by small numbers, in chunks, so that growth never copies and never holds twice the memory.
//!
//! A value has a hot part, which every walk reads, and a cold part, which only hashing reads. They lie apart, so
//! that the hot parts of a million values fit a processor's cache.

/// Values of one chunk.
const CHUNK: usize = 1 << 12;

/// A growing store of values. Numbers of removed values are used again.
#[derive(Debug, Clone)]
pub(crate) struct Arena<H, C> {
    hot: Vec<Vec<H>>,
    cold: Vec<Vec<C>>,
    free: Vec<u32>,
    used: usize,
}

impl<H, C> Default for Arena<H, C> {
    fn default() -> Self {
        Self { hot: Vec::new(), cold: Vec::new(), free: Vec::new(), used: 0 }
    }
}

const fn split(place: u32) -> (usize, usize) {
    (place as usize / CHUNK, place as usize % CHUNK)
}

impl<H: Copy, C: Copy> Arena<H, C> {
    /// How many values there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.used - self.free.len()
    }

    /// Keeps a value and gives its number.
    pub(crate) fn add(&mut self, hot: H, cold: C) -> u32 {
        if let Some(place) = self.free.pop() {
            *self.hot_mut(place) = hot;
            *self.cold_mut(place) = cold;
            return place;
        }
        let place = self.used as u32;
        if self.used.is_multiple_of(CHUNK) {
            // A small tree should stay small, so the first chunk grows by itself.
            let capacity = if self.used == 0 { 0 } else { CHUNK };
            self.hot.push(Vec::with_capacity(capacity));
            self.cold.push(Vec::with_capacity(capacity));
        }
        if let (Some(hots), Some(colds)) = (self.hot.last_mut(), self.cold.last_mut()) {
            hots.push(hot);
            colds.push(cold);
            self.used += 1;
        }
        place
    }

    /// Gives a number free.
    pub(crate) fn remove(&mut self, place: u32) {
        self.free.push(place);
    }

    /// The hot part of the value with a number that [`Arena::add`] gave and nobody removed.
    pub(crate) fn hot(&self, place: u32) -> &H {
        let (chunk, place) = split(place);
        &self.hot[chunk][place]
    }

    /// The same, to change it.
    pub(crate) fn hot_mut(&mut self, place: u32) -> &mut H {
        let (chunk, place) = split(place);
        &mut self.hot[chunk][place]
    }

    /// The cold part.
    pub(crate) fn cold(&self, place: u32) -> &C {
        let (chunk, place) = split(place);
        &self.cold[chunk][place]
    }

    /// The same, to change it.
    pub(crate) fn cold_mut(&mut self, place: u32) -> &mut C {
        let (chunk, place) = split(place);
        &mut self.cold[chunk][place]
    }
}
