use std::time::Duration;

use grange_types::limits::{KEY_VALUE_KEY_BYTES, KEY_VALUE_VALUE_BYTES};

use super::store::KeyPage;
use super::*;

const LIMIT: ByteCount = ByteCount::mib(4);

fn name(generation: u64) -> StoreName {
    StoreName { deployment: DeploymentId([3; 32]), service: "web".into(), replica: 0, generation }
}

fn stores(folder: &tempfile::TempDir) -> Arc<Stores> {
    Arc::new(Stores::open(folder.path().join("kv")).unwrap())
}

async fn set(store: &Arc<Store>, key: &str, value: &[u8]) -> Result<u64, KeyValueError> {
    store.write(Write::Set(vec![(key.into(), value.into())])).await
}

#[tokio::test]
async fn entries_outlive_their_store_and_count_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = stores(&folder).store(&name(1), LIMIT).unwrap();
        set(&store, "a", b"one").await.unwrap();
        set(&store, "b", b"two").await.unwrap();
        set(&store, "a", b"three").await.unwrap();
        assert_eq!(store.bytes(), ByteCount(1 + 5 + 1 + 3));
        store.write(Write::Delete(vec!["b".into(), "never".into()])).await.unwrap();
        assert_eq!(store.bytes(), ByteCount(6));
    }
    let store = stores(&folder).store(&name(1), LIMIT).unwrap();
    assert_eq!(store.bytes(), ByteCount(6));
    assert_eq!(store.get("a").unwrap().unwrap(), b"three");
    assert!(store.exists("a").unwrap() && !store.exists("b").unwrap());
    let many = store.get_many(vec!["b".into(), "a".into()]).unwrap();
    assert_eq!(many, [None, Some(("a".into(), b"three".to_vec()))]);
}

#[tokio::test]
async fn what_breaks_a_limit_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = stores(&folder).store(&name(1), ByteCount(100)).unwrap();
    assert!(matches!(set(&store, "", b"").await, Err(KeyValueError::KeyLength { length: 0 })));
    let long = "k".repeat(KEY_VALUE_KEY_BYTES + 1);
    assert!(matches!(set(&store, &long, b"").await, Err(KeyValueError::KeyLength { .. })));
    let large = vec![0; KEY_VALUE_VALUE_BYTES + 1];
    assert!(matches!(set(&store, "k", &large).await, Err(KeyValueError::ValueLength { .. })));
    assert!(matches!(set(&store, "k", &[0; 100]).await, Err(KeyValueError::Full { limit: ByteCount(100) })));
    let batch = vec![("x".to_owned(), vec![0; 60]), ("y".to_owned(), vec![0; 60])];
    assert!(matches!(store.write(Write::Set(batch)).await, Err(KeyValueError::Full { .. })));
    assert!(!store.exists("x").unwrap(), "half of a batch was kept");
    set(&store, "k", &[0; 99]).await.unwrap();
    // A full store still takes what makes it no larger.
    set(&store, "k", &[1; 99]).await.unwrap();
    store.write(Write::Delete(vec!["k".into()])).await.unwrap();
    let endless = vec![String::from("k"); 2_000];
    assert!(matches!(store.write(Write::Delete(endless.clone())).await, Err(KeyValueError::BatchLength { .. })));
    assert!(matches!(store.get_many(endless), Err(KeyValueError::BatchLength { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_at_the_same_time_all_count() {
    let folder = tempfile::tempdir().unwrap();
    let store = stores(&folder).store(&name(1), LIMIT).unwrap();
    let adders: Vec<_> = (0..200)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.write(Write::Increment("n".into(), 3)).await.unwrap() })
        })
        .collect();
    let mut sums = Vec::new();
    for adder in adders {
        sums.push(adder.await.unwrap());
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=200).map(|n| n * 3).collect::<Vec<u64>>());
    set(&store, "n", b"18446744073709551615").await.unwrap();
    assert!(matches!(store.write(Write::Increment("n".into(), 1)).await, Err(KeyValueError::Overflow)));
    set(&store, "n", b"-1").await.unwrap();
    assert!(matches!(store.write(Write::Increment("n".into(), 1)).await, Err(KeyValueError::NotANumber)));
}

#[tokio::test]
async fn pages_show_every_key_once_though_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = stores(&folder).store(&name(1), LIMIT).unwrap();
    for block in 0..3 {
        let entries = (0..900).map(|n| (format!("{block}-{n:03}"), vec![1])).collect();
        store.write(Write::Set(entries)).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.keys_after(cursor).unwrap();
        seen.extend(page.keys);
        // Neither what goes nor what comes moves the others.
        store.write(Write::Delete(vec![seen[0].clone()])).await.unwrap();
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 2_700);
    seen.dedup();
    assert_eq!(seen.len(), 2_700);
    assert_eq!(store.keys_after(Some(u64::MAX)).unwrap(), KeyPage { keys: Vec::new(), cursor: None });
}

#[tokio::test]
async fn a_new_generation_adopts_a_copy_and_seals_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(&folder);
    let old = stores.store(&name(1), LIMIT).unwrap();
    for number in 0..200 {
        set(&old, &format!("k{number}"), &[number]).await.unwrap();
    }
    stores.adopt(&name(2), 1).unwrap();
    assert_eq!(old.sealed(), Some(2));
    assert!(matches!(set(&old, "late", b"").await, Err(KeyValueError::Sealed { generation: 2 })));

    let new = stores.store(&name(2), LIMIT).unwrap();
    assert_eq!(new.bytes(), old.bytes());
    assert_eq!(new.get("k199").unwrap().unwrap(), [199]);
    set(&new, "k0", b"new").await.unwrap();
    // Once there is a store, it is never overwritten.
    stores.adopt(&name(2), 1).unwrap();
    assert_eq!(new.get("k0").unwrap().unwrap(), b"new");
    assert_eq!(old.get("k0").unwrap().unwrap(), [0]);
    // Nothing comes from a generation that never served here, or from a later one.
    stores.adopt(&name(9), 8).unwrap();
    stores.adopt(&name(1), 2).unwrap();
    assert_eq!(stores.store(&name(9), LIMIT).unwrap().bytes(), ByteCount(0));
}

#[tokio::test]
async fn an_export_has_every_generation_even_while_one_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(&folder);
    set(&stores.store(&name(1), LIMIT).unwrap(), "old", b"1").await.unwrap();
    let live = stores.store(&name(2), LIMIT).unwrap();
    for number in 0..40 {
        set(&live, &format!("k{number}"), &[0xff]).await.unwrap();
    }
    let other = StoreName { service: "db".into(), ..name(1) };
    set(&stores.store(&other, LIMIT).unwrap(), "x", b"y").await.unwrap();

    let lines = |service: Option<&str>| -> Vec<String> {
        let export = Export::new(&stores, DeploymentId([3; 32]), service).unwrap();
        export.map(|line| String::from_utf8(line.unwrap()).unwrap()).collect()
    };
    let web = lines(Some("web"));
    assert_eq!(web.len(), 2 + 41);
    assert_eq!(web[0], "{\"service\":\"web\",\"replica\":0,\"generation\":1}\n");
    assert_eq!(web[1], "{\"service\":\"web\",\"replica\":0,\"generation\":1,\"key\":\"old\",\"value\":\"MQ==\"}\n");
    assert_eq!(web[42], "{\"service\":\"web\",\"replica\":0,\"generation\":2,\"key\":\"k39\",\"value\":\"/w==\"}\n");
    assert_eq!(lines(None).len(), 3 + 42);
    assert_eq!(lines(Some("none")).len(), 0);
    set(&live, "still", b"writable").await.unwrap();
}

#[tokio::test]
async fn data_goes_when_nobody_knows_its_deployment_and_nobody_wrote_it_lately() {
    let folder = tempfile::tempdir().unwrap();
    let stores = stores(&folder);
    let store = stores.store(&name(1), LIMIT).unwrap();
    set(&store, "a", b"one").await.unwrap();
    let (ago, ahead) = (SystemTime::now() - Duration::from_secs(60), SystemTime::now() + Duration::from_secs(60));
    assert_eq!(stores.retain(|_| false, ahead).unwrap(), 0, "it is in use");
    let used = Arc::downgrade(&store);
    drop(store);
    // Who committed lets go of it a moment after he has answered.
    while used.strong_count() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(stores.retain(|_| true, ahead).unwrap(), 0, "it is known");
    assert_eq!(stores.retain(|_| false, ago).unwrap(), 0, "it was written lately");
    assert_eq!(stores.retain(|_| false, ahead).unwrap(), 1);
    assert!(stores.names(DeploymentId([3; 32]), None).unwrap().is_empty());
}
