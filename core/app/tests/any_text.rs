//! Whatever a file holds, the reader answers: with an app that makes a manifest, or with findings that point into
//! the file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use grange_app::{Finding, Severity, Source, limits, read};
use grange_types::{BlobId, ByteCount, Kind, Workload};
use proptest::prelude::*;

/// Reads a text and holds the answer to what every answer promises.
fn check(text: &str) {
    let variables = BTreeMap::from([("A".to_owned(), "alpha: [".to_owned()), ("EMPTY".to_owned(), String::new())]);
    match read(&Source { file: "f", text }, &variables) {
        Ok(reading) => {
            assert!(reading.warnings.iter().all(|finding| finding.severity == Severity::Warning));
            check_findings(text, &reading.warnings);
            let blobs =
                reading.app.services.iter().map(|(name, service)| (name.clone(), workload(service.source.kind())));
            let manifest = reading.app.manifest(&blobs.collect()).expect("an app that was read makes a manifest");
            assert!(!grange_app::slots(&manifest, &BTreeMap::new()).is_empty());
        }
        Err(findings) => {
            assert!(findings.iter().any(|finding| finding.severity == Severity::Error));
            check_findings(text, &findings);
        }
    }
}

fn workload(kind: Kind) -> Workload {
    match kind {
        Kind::Wasm => Workload::Wasm { component: BlobId::of(b""), size: ByteCount(0) },
        Kind::Site => Workload::Site { index: BlobId::of(b""), size: ByteCount(0) },
    }
}

fn check_findings(text: &str, findings: &[Finding]) {
    // The end of the file is a place too: on a line of its own where the last one is finished.
    let lines = text.split(['\n', '\r']).count();
    assert!(findings.len() <= limits::FINDINGS + 1);
    assert!(findings.is_sorted_by_key(|finding| (finding.line, finding.column)));
    for finding in findings {
        assert!(finding.line >= 1 && finding.column >= 1, "{finding}");
        assert!(finding.line as usize <= lines + 1, "{finding}");
        assert!(!finding.message.contains(char::is_control) && !finding.message.ends_with('.'), "{finding}");
    }
}

/// Pieces that files are made of, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    const PIECES: [&str; 62] = [
        "name: app\n",
        "x-grange: {budget: 1}\n",
        "services:\n",
        "  web:\n",
        "    x-grange: {site: a}\n",
        "    ports: [\"80\"]\n",
        "    environment:\n",
        "      A: ${A:-b}\n",
        "      - A=$A\n",
        "    deploy:\n",
        "      replicas: 2\n",
        "      resources:\n",
        "        limits: {cpus: '0.5', memory: 64M}\n",
        "    healthcheck:\n",
        "      test: [CMD, curl, http://localhost/]\n",
        "    depends_on: [web]\n",
        "    <<: *a\n",
        "x-a: &a\n",
        "&a ",
        "*a",
        "*a : ",
        "<<: ",
        "? ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "#",
        "!",
        "!!str ",
        "!reset ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\n",
        "\r\n",
        "\r",
        "\t",
        " ",
        "  ",
        "    ",
        "$",
        "${",
        "$$",
        "}",
        "null",
        "~",
        "é",
        "日本",
        "\u{feff}",
        "\u{2028}",
        "\u{0}",
        "x",
        "true",
        "9999999999999999999999",
    ];
    prop_oneof![
        8 => proptest::sample::select(PIECES.as_slice()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_pieces_are_answered(pieces in proptest::collection::vec(piece(), 0..60)) {
        check(&pieces.concat());
    }

    #[test]
    fn a_good_file_with_a_piece_put_in_is_answered(piece in piece(), at in any::<proptest::sample::Index>(), length in 0usize..8) {
        let good: Vec<char> = include_str!("corpus/everything.yaml").chars().collect();
        let at = at.index(good.len());
        let after = (at + length).min(good.len());
        let text: String = good[..at].iter().copied().chain(piece.chars()).chain(good[after..].iter().copied()).collect();
        check(&text);
    }
}

/// Texts as long as a file may be, each made to be slow for a careless reader. The test ends in seconds, or never.
#[test]
fn the_longest_files_are_answered() {
    let head = "name: app\nx-grange: {budget: 1}\nservices:\n  web:\n    x-grange: {wasm: a}\n";
    let filled = |piece: &str| head.to_owned() + &piece.repeat((limits::FILE_BYTES - head.len()) / piece.len());
    let numbered = |piece: &dyn Fn(usize) -> String| {
        let mut text = head.to_owned();
        for number in 0.. {
            let next = piece(number);
            if text.len() + next.len() > limits::FILE_BYTES {
                break;
            }
            text += &next;
        }
        text
    };
    check(&filled("[").replace("[[[[", "a: [ "));
    check(&filled("- "));
    check(&filled("# comment\n"));
    check(&filled("    restart: always\n"));
    check(&filled("\"${A:-${A:-"));
    check(&numbered(&|number| format!("    k{number}: 1\n")));
    check(&numbered(&|number| format!("  s{number}: {{x-grange: {{wasm: a}}}}\n")));
    check(&numbered(&|number| format!("x-{number}: &a{number} [*a{}, $A]\n", number.saturating_sub(1))));
    check(&(head.to_owned() + "    environment:\n      A: " + &"$A".repeat(200_000)));
    check(&(head.to_owned() + "    environment: [" + &"A=$A,".repeat(100_000) + "]"));
    check(&(head.to_owned() + "    allow_http: [" + &"a,".repeat(200_000) + "]"));
    check(&(head.to_owned() + "    depends_on: [" + &"web,".repeat(100_000) + "]"));
    check(&(head.to_owned() + "    ports: [" + &"1,".repeat(200_000) + "]"));
    check(&(head.to_owned() + "    <<: [" + &"{restart: always},".repeat(20_000) + "]"));
    check(&format!("{head}    {}: 1", "k".repeat(limits::FILE_BYTES - head.len() - 10)));
    check(&"a".repeat(limits::FILE_BYTES + 1));
}
