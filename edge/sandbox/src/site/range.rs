//! Part of a file: the `range` header, one part at most (RFC 9110, section 14).

/// What a request asks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// The bytes from `first` to `last`, both included.
    Bytes { first: u64, last: u64 },
    /// Bytes that it does not have.
    Nothing,
}

/// Reads a header. One that is not understood, or asks for several parts, asks for all.
pub(super) fn part(header: Option<&str>, size: u64) -> Part {
    header.and_then(|header| parse(header, size)).unwrap_or(Part::Whole)
}

fn parse(header: &str, size: u64) -> Option<Part> {
    let (unit, range) = header.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    if first.is_empty() {
        let length = number(last)?;
        // The last bytes of an empty file, or none of a full one.
        return Some(match length.min(size) {
            0 => Part::Nothing,
            length => Part::Bytes { first: size - length, last: size - 1 },
        });
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some(if first >= size { Part::Nothing } else { Part::Bytes { first, last: last.min(size - 1) } })
}

/// Digits only: the standard parser would also take a sign.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More than can be counted is more than any file has.
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_read_and_everything_else_asks_for_all() {
        let bytes = |first, last| Part::Bytes { first, last };
        let cases = [
            (None, 10, Part::Whole),
            (Some("bytes=0-0"), 10, bytes(0, 0)),
            (Some("bytes=2-5"), 10, bytes(2, 5)),
            (Some("Bytes= 2-"), 10, bytes(2, 9)),
            (Some("bytes=5-99"), 10, bytes(5, 9)),
            (Some("bytes=5-99999999999999999999999"), 10, bytes(5, 9)),
            (Some("bytes=-3"), 10, bytes(7, 9)),
            (Some("bytes=-30"), 10, bytes(0, 9)),
            (Some("bytes=-0"), 10, Part::Nothing),
            (Some("bytes=10-"), 10, Part::Nothing),
            (Some("bytes=0-"), 0, Part::Nothing),
            (Some("bytes=-1"), 0, Part::Nothing),
            (Some("bytes=5-2"), 10, Part::Whole),
            (Some("bytes=0-1,3-4"), 10, Part::Whole),
            (Some("bytes=+1-2"), 10, Part::Whole),
            (Some("bytes=-"), 10, Part::Whole),
            (Some("lines=1-2"), 10, Part::Whole),
            (Some("nonsense"), 10, Part::Whole),
        ];
        for (header, size, expected) in cases {
            assert_eq!(part(header, size), expected, "{header:?} of {size}");
        }
    }
}
