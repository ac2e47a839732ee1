//! Time an instance of a component, and its requests, without any network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use grange_sandbox::{BlobSource, Config, Replica, Sandboxes, body};
use grange_types::{BlobId, ByteCount, DeploymentId, LeaseId, Resources, Work, Workload};
use http_body_util::BodyExt as _;

/// Runs before the clock starts: caches, pools and branch predictors are warm afterwards.
const WARM: usize = 2_000;
/// Runs that are timed one by one.
const RUNS: usize = 20_000;
/// Requests at the same time.
const CLIENTS: usize = 32;
/// How long they go on.
const SPAN: Duration = Duration::from_secs(5);

type Fault = Box<dyn std::error::Error>;

struct OneBlob(PathBuf);

impl BlobSource for OneBlob {
    fn path(&self, _: &BlobId) -> Option<PathBuf> {
        Some(self.0.clone())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let guestbook = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/guestbook/guestbook.wasm");
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // This binary is its own compiler, as the node's is.
        ["compile-component", input, output] => {
            return grange_sandbox::run_compile_component(Path::new(input), Path::new(output));
        }
        [] => measure(guestbook, "/hello"),
        [component, path] => measure(component, path),
        _ => Err("usage: grange-bench-sandbox [FILE.wasm PATH]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(component: &str, path: &str) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let data = tempfile::tempdir()?;
    let mut config = Config::new(data.path(), std::env::current_exe()?);
    config.limits.cpu_millis = 1_000_000;
    runtime.block_on(async {
        let content = std::fs::read(component)?;
        let sandboxes = Sandboxes::open(config, Arc::new(OneBlob(component.into())))?;
        let spec = spec(Workload::Wasm { component: BlobId::of(&content), size: ByteCount(content.len() as u64) });
        let replica = sandboxes.start(spec).await?;
        instances(&replica).await?;
        requests(&replica, path).await?;
        throughput(&replica, path).await
    })
}

fn spec(workload: Workload) -> Work {
    Work {
        lease: LeaseId([1; 32]),
        deployment: DeploymentId([2; 32]),
        name: "bench".into(),
        service: "web".into(),
        replica: 0,
        generation: 1,
        previous: None,
        keepers: Vec::new(),
        before: Vec::new(),
        seal: None,
        workload,
        resources: Resources::default(),
        environment: BTreeMap::new(),
        allow_http: Vec::new(),
    }
}

async fn instances(replica: &Arc<dyn Replica>) -> Result<(), Fault> {
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..WARM + RUNS {
        let start = Instant::now();
        if !replica.healthy().await {
            return Err("the component does not start".into());
        }
        if run >= WARM {
            times.push(start.elapsed());
        }
    }
    print_percentiles("instance", times);
    Ok(())
}

async fn requests(replica: &Arc<dyn Replica>, path: &str) -> Result<(), Fault> {
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..WARM + RUNS {
        let start = Instant::now();
        ask(replica, path).await?;
        if run >= WARM {
            times.push(start.elapsed());
        }
    }
    print_percentiles("serve", times);
    Ok(())
}

async fn throughput(replica: &Arc<dyn Replica>, path: &str) -> Result<(), Fault> {
    let (done, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (replica, path, done) = (Arc::clone(replica), path.to_owned(), Arc::clone(&done));
            tokio::spawn(async move {
                while start.elapsed() < SPAN {
                    ask(&replica, &path).await.map_err(|error| error.to_string())?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    println!("serve_per_second {:.0}", done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

async fn ask(replica: &Arc<dyn Replica>, path: &str) -> Result<(), Fault> {
    let answer = replica.serve(http::Request::get(path).body(body::empty())?).await?;
    if !answer.status().is_success() {
        return Err(format!("GET {path} was answered {}", answer.status()).into());
    }
    answer.into_body().collect().await?;
    Ok(())
}

fn print_percentiles(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    for (percentile, permille) in [("p50", 500), ("p99", 990)] {
        let time = times.get(times.len() * permille / 1_000).copied().unwrap_or_default();
        println!("{name}_{percentile}_us {:.1}", time.as_secs_f64() * 1e6);
    }
}
