//! `wasi:keyvalue` for components, over the store of their slot's generation.

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({
        path: "wit",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
        trappable_error_type: { "wasi:keyvalue/store.error" => super::Failure },
    });
}

use std::sync::{Arc, OnceLock};

use bindings::wasi::keyvalue::{atomics, batch, store};
use grange_types::ByteCount;
use tokio::sync::OnceCell;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable, ResourceTableError};

use super::guest::Guest;
use crate::keyvalue::{KeyValueError, Replicated, Store, StoreName, Stores, Write};

/// The key-values of one replica. The database is opened when the first request asks for it: most services have
/// none.
pub(super) struct KeyValues {
    stores: Arc<Stores>,
    name: StoreName,
    limit: ByteCount,
    store: OnceCell<Arc<Store>>,
    /// Carries what is written to keepers, where there are some, as long as the replica lives.
    replicated: OnceLock<Replicated>,
}

impl KeyValues {
    pub(super) fn new(stores: Arc<Stores>, name: StoreName, limit: ByteCount) -> Self {
        Self { stores, name, limit, store: OnceCell::new(), replicated: OnceLock::new() }
    }

    pub(super) const fn limit(&self) -> ByteCount {
        self.limit
    }

    /// Uses a store that is replicated.
    pub(super) fn keep(&self, replicated: Replicated) {
        // Both are set once, when the replica starts and nobody can have asked for a store.
        let _ = self.store.set(Arc::clone(&replicated.store));
        let _ = self.replicated.set(replicated);
    }

    /// Bytes it holds, as far as it was opened.
    pub(super) fn bytes(&self) -> ByteCount {
        self.store.get().map_or(ByteCount(0), |store| store.bytes())
    }

    async fn store(&self) -> Result<Arc<Store>, KeyValueError> {
        let open = || async {
            let (stores, name, limit) = (Arc::clone(&self.stores), self.name.clone(), self.limit);
            blocking(move || stores.store(&name, limit)).await
        };
        self.store.get_or_try_init(open).await.cloned()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyValueError> + Send + 'static,
) -> Result<T, KeyValueError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(KeyValueError::Interrupted))
}

/// An opened bucket.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Bucket {
    store: Arc<Store>,
}

/// Why a call failed: an answer for the component, or a fault of its own that ends it.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Failure {
    NoSuchStore,
    Store(KeyValueError),
    Handle(ResourceTableError),
}

impl From<KeyValueError> for Failure {
    fn from(error: KeyValueError) -> Self {
        Self::Store(error)
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        Self::Handle(error)
    }
}

/// One instance's view of its replica's key-values.
pub(super) struct KeyValueView<'a> {
    pub(super) values: &'a Arc<KeyValues>,
    pub(super) table: &'a mut ResourceTable,
}

impl KeyValueView<'_> {
    fn bucket(&self, bucket: &Resource<Bucket>) -> Result<Arc<Store>, Failure> {
        Ok(Arc::clone(&self.table.get(bucket)?.store))
    }
}

impl store::Host for KeyValueView<'_> {
    async fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, Failure> {
        if !matches!(identifier.as_str(), "" | "default") {
            return Err(Failure::NoSuchStore);
        }
        let store = self.values.store().await?;
        Ok(self.table.push(Bucket { store })?)
    }

    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<store::Error> {
        match failure {
            Failure::NoSuchStore => Ok(store::Error::NoSuchStore),
            Failure::Store(KeyValueError::Sealed { .. }) => Ok(store::Error::AccessDenied),
            Failure::Store(error) => Ok(store::Error::Other(error.to_string())),
            Failure::Handle(error) => Err(error.into()),
        }
    }
}

impl store::HostBucket for KeyValueView<'_> {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Failure> {
        // A read is one or two pages, mostly cached: to move it to another thread would take longer.
        Ok(self.bucket(&bucket)?.get(&key)?)
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<(), Failure> {
        self.bucket(&bucket)?.write(Write::Set(vec![(key, value)])).await?;
        Ok(())
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<(), Failure> {
        self.bucket(&bucket)?.write(Write::Delete(vec![key])).await?;
        Ok(())
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool, Failure> {
        Ok(self.bucket(&bucket)?.exists(&key)?)
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Result<store::KeyResponse, Failure> {
        let store = self.bucket(&bucket)?;
        let page = blocking(move || store.keys_after(cursor)).await?;
        Ok(store::KeyResponse { keys: page.keys, cursor: page.cursor })
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for KeyValueView<'_> {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Result<u64, Failure> {
        Ok(self.bucket(&bucket)?.write(Write::Increment(key, delta)).await?)
    }
}

impl batch::Host for KeyValueView<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Failure> {
        let store = self.bucket(&bucket)?;
        Ok(blocking(move || store.get_many(keys)).await?)
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, entries: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        self.bucket(&bucket)?.write(Write::Set(entries)).await?;
        Ok(())
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<(), Failure> {
        self.bucket(&bucket)?.write(Write::Delete(keys)).await?;
        Ok(())
    }
}

struct HasKeyValues;

impl HasData for HasKeyValues {
    type Data<'a> = KeyValueView<'a>;
}

/// Offers the interfaces to components.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasKeyValues>(linker, Guest::keyvalue)?;
    atomics::add_to_linker::<_, HasKeyValues>(linker, Guest::keyvalue)?;
    batch::add_to_linker::<_, HasKeyValues>(linker, Guest::keyvalue)
}
