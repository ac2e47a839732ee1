//! What a benchmark prints: numbers with their limits, as a table or as one JSON object.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::thread;

use serde_json::{Map, Value, json};

use crate::stats::{Sample, millis};

/// What a number must keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

struct Row {
    /// What it is, with its unit as the last word.
    name: String,
    value: f64,
    limit: Option<Limit>,
}

/// The numbers of one benchmark.
pub(crate) struct Report {
    bench: &'static str,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Limit {
    fn is_kept(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    const fn parts(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(most) => ("at_most", most),
            Self::AtLeast(least) => ("at_least", least),
        }
    }
}

impl Report {
    pub(crate) fn new(bench: &'static str, grange: &Path) -> Self {
        let cores = cores();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split_ascii_whitespace().next().unwrap_or("unknown");
        let mut notes = vec![format!("{cores} cores, load {load} at the start, {}", grange.display())];
        if cfg!(debug_assertions) || grange.components().any(|part| part.as_os_str() == "debug") {
            notes.push("a development build of one side or both: these numbers are no promise".to_owned());
        }
        Self { bench, rows: Vec::new(), notes }
    }

    /// A number that is only told.
    pub(crate) fn tell(&mut self, name: impl Into<String>, value: f64) {
        self.rows.push(Row { name: name.into(), value, limit: None });
    }

    /// A number that must keep to a limit.
    pub(crate) fn hold(&mut self, name: impl Into<String>, value: f64, limit: Limit) {
        self.rows.push(Row { name: name.into(), value, limit: Some(limit) });
    }

    /// How durations are spread, in milliseconds, with what the median and the 99th percentile may be at most.
    pub(crate) fn spread(&mut self, name: &str, sample: &Sample, p50: Option<f64>, p99: Option<f64>) {
        let parts = [
            ("p50", sample.median(), p50),
            ("p90", sample.permille(900), None),
            ("p99", sample.permille(990), p99),
            ("max", sample.longest(), None),
        ];
        for (part, value, most) in parts {
            let (name, limit) = (format!("{name}_{part}_ms"), most.map(Limit::AtMost));
            self.rows.push(Row { name, value: millis(value), limit });
        }
    }

    /// What one should know to read the numbers.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Whether every limit is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.rows.iter().all(|row| row.limit.is_none_or(|limit| limit.is_kept(row.value)))
    }

    pub(crate) fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let mut text = format!("{}\n", self.bench);
        for Row { name, value, limit } in &self.rows {
            let limit = limit.map_or_else(String::new, |limit| {
                let (bound, number) = limit.parts();
                let verdict = if limit.is_kept(*value) { "kept" } else { "MISSED" };
                format!("  {} {number}: {verdict}", bound.replace('_', " "))
            });
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<width$} {:>12}{limit}", readable(*value));
        }
        for note in &self.notes {
            let _ = writeln!(text, "  ({note})");
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let mut numbers = Map::new();
        for Row { name, value, limit } in &self.rows {
            let mut number = json!({ "value": value });
            if let Some(limit) = limit {
                let (bound, limit_value) = limit.parts();
                number[bound] = json!(limit_value);
                number["kept"] = json!(limit.is_kept(*value));
            }
            numbers.insert(name.clone(), number);
        }
        json!({ "bench": self.bench, "kept": self.is_kept(), "numbers": numbers, "notes": self.notes })
    }
}

/// Processors of this machine.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// As many digits as say something.
fn readable(value: f64) -> String {
    match value.abs() {
        large if large >= 1_000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_limit_is_said_in_both_forms() {
        let mut report = Report::new("test", Path::new("/x/debug/grange"));
        report.tell("cores", 2.0);
        report.hold("p50_ms", 51.0, Limit::AtMost(50.0));
        assert!(!report.is_kept());
        assert!(report.table().contains("51.0  at most 50: MISSED"), "{}", report.table());
        let json = report.json();
        assert_eq!(json["numbers"]["p50_ms"], json!({ "value": 51.0, "at_most": 50.0, "kept": false }));
        assert_eq!((&json["kept"], json["notes"].as_array().unwrap().len()), (&json!(false), 2));
    }
}
