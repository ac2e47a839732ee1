//! Server-sent events, as far as a log needs them: each event's data is one line of JSON that holds its own id.

/// The data in a line of an event stream; comments, ids, names and the ends of events have none.
pub(super) fn data(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data:")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_lines_have_data() {
        assert_eq!(data(b"data: {}\n"), Some(b"{}\n".as_slice()));
        assert_eq!(data(b"data:{}\n"), Some(b"{}\n".as_slice()));
        for other in [": keep-alive\n", "id: 4\n", "event: problem\n", "\n"] {
            assert_eq!(data(other.as_bytes()), None);
        }
    }
}
