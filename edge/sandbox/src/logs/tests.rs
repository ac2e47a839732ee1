use grange_types::{ByteCount, LeaseId};

use super::*;

const LEASE: LeaseId = LeaseId([7; 32]);

fn texts(reader: &LogReader, after: u64) -> Vec<(u64, String)> {
    reader.read_after(after, usize::MAX).unwrap().into_iter().map(|line| (line.sequence, line.text)).collect()
}

#[test]
fn lines_are_numbered_across_restarts_and_a_torn_line_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    {
        let logs = Logs::open(folder.path().into(), ByteCount::mib(1)).unwrap();
        assert!(logs.existing(LEASE).unwrap().is_none());
        let mut writer = LineWriter::new(logs.log(LEASE).unwrap(), LogStream::Out);
        writer.write(b"one\nt");
        writer.write(b"wo\r\nno end");
    }
    let part = folder.path().join(LEASE.to_string()).join(format!("{:020}.log", 1));
    std::io::Write::write_all(&mut std::fs::OpenOptions::new().append(true).open(part).unwrap(), b"4 17 out to")
        .unwrap();

    let logs = Logs::open(folder.path().into(), ByteCount::mib(1)).unwrap();
    let log = logs.existing(LEASE).unwrap().unwrap();
    log.write(LogStream::System, "five\nsix");
    let reader = LogReader::new(log);
    assert_eq!(reader.last(), 4);
    assert_eq!(texts(&reader, 2), [(3, "no end".into()), (4, "five six".into())]);
    assert_eq!(texts(&reader, 0)[..2], [(1, "one".into()), (2, "two".into())]);
    assert_eq!(reader.read_after(1, 1).unwrap()[0].sequence, 2);
}

#[test]
fn a_log_keeps_the_newest_lines_within_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let limit = ByteCount::kib(64);
    let logs = Logs::open(folder.path().into(), limit).unwrap();
    let log = logs.log(LEASE).unwrap();
    let mut writer = LineWriter::new(Arc::clone(&log), LogStream::Error);
    for number in 0..20_000 {
        writer.write(format!("line {number}\n").as_bytes());
    }
    let size: u64 = std::fs::read_dir(folder.path().join(LEASE.to_string()))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size <= limit.0 && size > limit.0 / 2, "{size} bytes");

    let lines = texts(&LogReader::new(log), 0);
    assert_eq!(lines.last().unwrap(), &(20_000, "line 19999".into()));
    assert!(lines[0].0 > 1);
    assert!(lines.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "the numbers have gaps");
}

#[test]
fn an_endless_line_becomes_several() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path().into(), ByteCount::mib(1)).unwrap();
    let log = logs.log(LEASE).unwrap();
    LineWriter::new(Arc::clone(&log), LogStream::Out).write(&[b'x'; 20_000]);
    let lengths: Vec<usize> = texts(&LogReader::new(log), 0).iter().map(|(_, text)| text.len()).collect();
    assert_eq!(lengths, [8_192, 8_192, 3_616]);
}

#[tokio::test]
async fn a_reader_waits_for_the_next_line() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::open(folder.path().into(), ByteCount::mib(1)).unwrap();
    let log = logs.log(LEASE).unwrap();
    let reader = LogReader::new(Arc::clone(&log));
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move {
            reader.wait_after(0).await;
            reader.read_after(0, 10).unwrap()
        }
    });
    log.write(LogStream::Out, "there");
    assert_eq!(waiting.await.unwrap()[0].text, "there");
}

#[test]
fn logs_of_old_leases_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    remove_oldest(folder.path(), 2).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
