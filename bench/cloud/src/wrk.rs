//! `wrk`, the load generator everybody knows, and what it prints.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::{Fault, process};

/// How it is called; the promise is about these.
const ARGUMENTS: [&str; 3] = ["-t1", "-c32", "--latency"];

/// What one run of it showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wrk {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Its own processor time.
    pub(crate) cpu: Duration,
}

/// Whether it is there.
pub(crate) fn check() -> Result<(), Fault> {
    match Command::new("wrk").arg("-v").output() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("wrk cannot be run ({error}); install it with `apt-get install wrk`").into()),
    }
}

/// Asks one path for so many seconds. No other process may be waited for meanwhile.
pub(crate) fn run(address: SocketAddr, host: &str, path: &str, seconds: u64) -> Result<Wrk, Fault> {
    let before = process::children_cpu()?;
    let mut command = Command::new("wrk");
    command.args(ARGUMENTS).arg(format!("-d{seconds}s"));
    let output = command.args(["-H", &format!("Host: {host}"), &format!("http://{address}{path}")]).output()?;
    let cpu = process::children_cpu()?.saturating_sub(before);
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        return Err(format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    if let Some(wrong) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        return Err(format!("wrk at {host}: {}", wrong.trim()).into());
    }
    read(&text, cpu).ok_or_else(|| format!("wrk printed something else:\n{text}").into())
}

fn read(text: &str, cpu: Duration) -> Option<Wrk> {
    let after = |word: &str| {
        let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(word))?;
        line.split_ascii_whitespace().next()
    };
    let requests = text.lines().find_map(|line| line.split_once(" requests in "))?.0.trim().parse().ok()?;
    Some(Wrk {
        requests,
        per_second: after("Requests/sec:")?.parse().ok()?,
        p50_ms: milliseconds(after("50%")?)?,
        p99_ms: milliseconds(after("99%")?)?,
        cpu,
    })
}

/// A time as `wrk` writes it.
fn milliseconds(text: &str) -> Option<f64> {
    let number = |unit: &str| text.strip_suffix(unit).and_then(|number| number.parse::<f64>().ok());
    number("us").map(|us| us / 1e3).or_else(|| number("ms")).or_else(|| number("s").map(|s| s * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let text = "Running 30s test @ http://127.0.0.1:8080/\n  1 threads and 32 connections\n\
                    \x20 Thread Stats   Avg      Stdev     Max   +/- Stdev\n\
                    \x20   Latency   635.91us    0.89ms  12.92ms   93.69%\n\
                    \x20   Req/Sec    56.20k     8.07k   62.00k    86.54%\n  Latency Distribution\n\
                    \x20    50%  250.00us\n     75%  491.00us\n     90%  700.00us\n     99%    5.80ms\n\
                    \x20 22464657 requests in 30.00s, 17.76GB read\nRequests/sec: 748868.53\nTransfer/sec:    606.33MB\n";
        let cpu = Duration::from_secs(1);
        let expected = Wrk { requests: 22_464_657.0, per_second: 748_868.53, p50_ms: 0.25, p99_ms: 5.8, cpu };
        assert_eq!(read(text, cpu), Some(expected));
        assert_eq!((read("", cpu), milliseconds("1.50s")), (None, Some(1_500.0)));
    }
}
