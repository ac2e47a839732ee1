//! Key-values with keepers: a write is acknowledged with a second copy, and the next generation goes on from it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use grange_objects::log::{KeepReply, KeepRequest, LogId, View};
use grange_sandbox::{KeeperLink, Replica, Sandboxes};
use grange_types::{ByteCount, PeerId, SealKey, Work};
use stage::{Stage, ask, get, post};

const ALICE: PeerId = PeerId([1; 32]);
const CAROL: PeerId = PeerId([3; 32]);

/// Nodes that keep, and can be switched off.
#[derive(Default)]
struct Keepers {
    nodes: Mutex<BTreeMap<PeerId, Option<Arc<Sandboxes>>>>,
    views: Mutex<Vec<View>>,
}

impl std::fmt::Debug for Keepers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keepers")
    }
}

impl KeeperLink for Keepers {
    fn ask(&self, keeper: PeerId, request: KeepRequest) -> BoxFuture<'_, Option<KeepReply>> {
        let node = self.nodes.lock().unwrap().get(&keeper).cloned().flatten();
        async move {
            let node = node?;
            tokio::task::spawn_blocking(move || node.keep(&request, ByteCount(0)).reply).await.ok()
        }
        .boxed()
    }

    fn counts(&self, _: &LogId, _: u64, view: &View) {
        self.views.lock().unwrap().push(view.clone());
    }
}

/// Two keepers on disks of their own, and a provider for each generation.
struct World {
    keepers: Arc<Keepers>,
    stages: BTreeMap<PeerId, Stage>,
}

impl World {
    fn new() -> Self {
        let mut world = Self { keepers: Arc::default(), stages: BTreeMap::new() };
        for keeper in [ALICE, CAROL] {
            world.stages.insert(keeper, Stage::new());
            world.switch(keeper, true);
        }
        world
    }

    /// Switched on, a keeper is what its disk says.
    fn switch(&self, keeper: PeerId, on: bool) {
        self.keepers.nodes.lock().unwrap().insert(keeper, None);
        let node = on.then(|| Arc::new(self.stages[&keeper].open()));
        self.keepers.nodes.lock().unwrap().insert(keeper, node);
    }

    fn provider(&self) -> (Stage, Sandboxes) {
        let mut stage = Stage::new();
        stage.config.keepers = Some(Arc::<Keepers>::clone(&self.keepers));
        let sandboxes = stage.open();
        (stage, sandboxes)
    }
}

fn work(stage: &Stage, generation: u64) -> Work {
    let key = Some(SealKey::new([7; 32]));
    Work { generation, keepers: vec![ALICE, CAROL], seal: key, ..stage.example("guestbook/guestbook.wasm") }
}

async fn write(replica: &Arc<dyn Replica>, message: &str) -> (u16, String) {
    let body = format!(r#"{{"name":"a","message":"{message}"}}"#);
    ask(replica, post("/entries", body)).await.unwrap()
}

async fn entries(replica: &Arc<dyn Replica>) -> String {
    ask(replica, get("/entries")).await.unwrap().1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_generation_goes_on_from_the_copies_and_the_one_before_is_over() {
    let world = World::new();
    let (bob, at_bob) = world.provider();
    let first = at_bob.start(work(&bob, 1)).await.unwrap();
    for number in 0..30 {
        assert_eq!(write(&first, &format!("number {number}")).await.0, 201);
    }
    // Bob is cut off from nothing and does not know that his lease is over.
    let (dan, at_dan) = world.provider();
    let second = at_dan.start(work(&dan, 2)).await.unwrap();
    let found = entries(&second).await;
    assert!((0..30).all(|number| found.contains(&format!("number {number}\""))), "{found}");
    assert_ne!(write(&first, "too late").await.0, 201, "the keepers have promised");
    assert_eq!(write(&second, "in time").await.0, 201);

    // The same node under a newer lease, with nothing but one of the two: the other one was left out before.
    world.switch(ALICE, false);
    let left_out = || world.keepers.views.lock().unwrap().last().is_some_and(|view| !view.keepers.contains(&ALICE));
    while !left_out() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(write(&second, "with one keeper").await.0, 201);
    second.stop();
    drop(second);
    let third = at_dan.start(work(&dan, 3)).await.unwrap();
    let found = entries(&third).await;
    assert!(found.contains("in time") && found.contains("with one keeper") && !found.contains("too late"), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keepers_hold_is_sealed() {
    let world = World::new();
    let (bob, at_bob) = world.provider();
    let replica = at_bob.start(work(&bob, 1)).await.unwrap();
    assert_eq!(write(&replica, "nobody else reads this").await.0, 201);
    let mut read = 0;
    for keeper in [ALICE, CAROL] {
        world.switch(keeper, false);
        for file in files(&world.stages[&keeper].config.data.join("keep")) {
            let bytes = std::fs::read(&file).unwrap();
            read += bytes.len();
            for word in [&b"nobody else"[..], b"entry-"] {
                assert!(!bytes.windows(word.len()).any(|window| window == word), "{}", file.display());
            }
        }
    }
    assert!(read > 0, "there are copies");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_second_copy_nothing_is_acknowledged_and_reads_go_on() {
    let world = World::new();
    let (bob, at_bob) = world.provider();
    let replica = at_bob.start(work(&bob, 1)).await.unwrap();
    assert_eq!(write(&replica, "first").await.0, 201);
    world.switch(ALICE, false);
    world.switch(CAROL, false);
    let (status, body) = write(&replica, "second").await;
    assert!(status >= 500 && body.contains("no second copy"), "{status} {body}");
    assert!(entries(&replica).await.contains("first"));
    world.switch(CAROL, true);
    assert_eq!(write(&replica, "third").await.0, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_waits_for_a_keeper_that_may_know_more_and_says_so() {
    let world = World::new();
    let (bob, at_bob) = world.provider();
    let replica = at_bob.start(work(&bob, 1)).await.unwrap();
    assert_eq!(write(&replica, "first").await.0, 201);
    // Both at once: there was no time to leave it out.
    drop(replica);
    world.switch(CAROL, false);
    let (dan, at_dan) = world.provider();
    let told = Mutex::new(Vec::new());
    let progress = |text: String| {
        told.lock().unwrap().push(text);
        world.switch(CAROL, true);
    };
    let second = at_dan.start_telling(work(&dan, 2), &progress).await.unwrap();
    assert!(entries(&second).await.contains("first"));
    let told = told.lock().unwrap();
    assert!(told[0].contains(&CAROL.short()) && !told[0].contains(&ALICE.short()), "{told:?}");
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
