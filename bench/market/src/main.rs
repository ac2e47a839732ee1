//! Time the market's match beside a scan that sorts everything.
//!
//! ```text
//! cargo run --release -p grange-bench-market              # 100,000 and 1,000,000 offers
//! cargo run --release -p grange-bench-market -- 20000     # so many
//! ```
//!
//! # Rules
//! - The offers: as many operators as a third of the offers, 40 regions, prices with a log-normal-like spread around three
//!   levels, some providers full or paused, trust mostly high, distances from 1 to 300 ms and one in ten unknown.
//! - The needs: 100, each constraint alone, in pairs and all together, some of them impossible to satisfy, so that the
//!   counting of what excluded what is timed too. Every need asks for the best three.
//! - Before every search, as much of the market changes as changes in the time that the searches took so far: 1 % of the
//!   offers a second, nine availabilities to one price sheet. Changes are timed by themselves.
//! - The peer: the same needs answered by filtering a plain list and sorting what is left. Its best three must be the same
//!   providers, else the bench fails.

mod market;
mod naive;

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use grange_market::{Match, Need, OfferIndex};
use grange_types::PeerId;
use market::{Market, NOW};

/// Rounds of the 100 needs.
const ROUNDS: usize = 20;

/// Answers of one need.
const ANSWERS: usize = 3;

/// Offers that change in a second, in hundredths of all.
const CHANGE_PER_CENT: usize = 1;

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]
// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What one size showed.
struct Shown {
    searches: Vec<Duration>,
    changes: Vec<Duration>,
    allocations: usize,
    unmatched: usize,
}

impl Shown {
    /// The quickest search for one need: what it takes when nothing else wants the processor.
    fn quickest(&self, need: usize, needs: usize) -> Duration {
        self.searches.iter().skip(need).step_by(needs).min().copied().unwrap_or_default()
    }
}

fn main() -> ExitCode {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100_000, 1_000_000] } else { sizes };
    let mut agreed = true;
    for size in sizes {
        let mut market = Market::new(size);
        let mut index = OfferIndex::new(size);
        let began = Instant::now();
        for number in 0..size {
            let (sheet, trust, distance) = market.sheet(number);
            if let Err(refused) = index.insert(sheet, trust, distance, NOW) {
                eprintln!("an offer was refused: {refused}");
                return ExitCode::FAILURE;
            }
        }
        let filled = began.elapsed();
        let needs = market.needs();
        let mut shown = run(&mut index, &mut market, &needs);
        println!("{size} offers, filled in {filled:.0?}, {} needs × {ROUNDS} rounds", needs.len());
        let mut undisturbed: Vec<Duration> =
            (0..needs.len()).map(|number| shown.quickest(number, needs.len())).collect();
        print("match", &mut shown.searches);
        print("match, the quickest of a need's rounds", &mut undisturbed);
        print("change", &mut shown.changes);
        println!("  allocations per match {}", shown.allocations / (needs.len() * ROUNDS));
        println!("  needs without an offer {}", shown.unmatched);
        agreed &= compare(&index, &needs);
    }
    if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Searches while the market changes.
fn run(index: &mut OfferIndex, market: &mut Market, needs: &[Need]) -> Shown {
    let mut shown = Shown { searches: Vec::new(), changes: Vec::new(), allocations: 0, unmatched: 0 };
    // A first round warms caches and is not counted; a node that matches has matched before.
    for need in needs {
        shown.unmatched += usize::from(index.find(need, ANSWERS, NOW).is_err());
    }
    let per_second = (index.len() * CHANGE_PER_CENT / 100).max(1);
    let mut busy = Duration::ZERO;
    for need in needs.iter().cycle().take(needs.len() * ROUNDS) {
        let due = (busy.as_secs_f64() * per_second as f64) as usize;
        // At least one change before every search, so that a search never sees the very same market twice.
        for _ in shown.changes.len()..due.max(shown.changes.len() + 1) {
            let began = Instant::now();
            market.change(index);
            shown.changes.push(began.elapsed());
        }
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let began = Instant::now();
        let found = index.find(need, ANSWERS, NOW);
        let took = began.elapsed();
        shown.allocations += ALLOCATIONS.load(Ordering::Relaxed) - before;
        std::hint::black_box(found.is_ok());
        shown.searches.push(took);
        busy += took;
    }
    shown
}

/// Answers every need once by both, and says how much the index saves.
fn compare(index: &OfferIndex, needs: &[Need]) -> bool {
    let list: Vec<_> = index.offers().collect();
    let (mut ours, mut theirs, mut agreed) = (Vec::new(), Vec::new(), true);
    for need in needs {
        let began = Instant::now();
        let found = index.find(need, ANSWERS, NOW);
        ours.push(began.elapsed());
        let began = Instant::now();
        let expected = naive::find(&list, need, ANSWERS);
        theirs.push(began.elapsed());
        let providers = |found: &[Match]| found.iter().map(|found| found.provider).collect::<Vec<PeerId>>();
        let found = found.map(|found| providers(&found)).unwrap_or_default();
        if found != expected {
            eprintln!("the answers differ: {found:?} and {expected:?} for {need:?}");
            agreed = false;
        }
    }
    let total = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64();
    print("naive filter and sort", &mut theirs);
    println!("  naive ÷ index {:.0}", total(&theirs) / total(&ours).max(f64::EPSILON));
    agreed
}

fn print(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |hundredth: usize| times[(times.len() * hundredth / 100).min(times.len() - 1)];
    let (p50, p99) = (at(50), at(99));
    println!("  {name}: p50 {p50:.1?}, p99 {p99:.1?}, max {:.1?}", times[times.len() - 1]);
}
