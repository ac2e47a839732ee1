//! `wasi:filesystem` for components: their configs and secrets, as a tree in memory under `/`. Nothing of it is on a disk, nothing of
//! the host's disk is in it, and it cannot be written. A component without configs and secrets finds no folder at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use grange_objects::secret;
use grange_types::{Content, File, Work, limits};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode, Filesize,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::guest::Guest;
use crate::error::SandboxError;

/// The most bytes of one read.
const READ_BYTES: u64 = 1 << 20;

/// What a component finds: nothing, or a folder.
#[derive(Clone, Default)]
pub(super) struct Files {
    root: Option<Arc<Node>>,
}

/// A file or a folder.
enum Node {
    File(Bytes),
    Folder(BTreeMap<String, Arc<Node>>),
}

/// A tree that is still being laid out.
#[derive(Default)]
struct Draft {
    file: Option<Bytes>,
    inner: BTreeMap<String, Draft>,
}

impl Files {
    /// The files of a replica, its secrets opened. Before it has the key, which is when it is only prepared, they are empty.
    pub(super) fn of(spec: &Work) -> Result<Self, SandboxError> {
        let files = spec.workload.files();
        if files.is_empty() {
            return Ok(Self::default());
        }
        // Whoever made the manifest may have checked nothing: a tree is no deeper and no wider than an honest one.
        if let Some(file) = files.get(limits::SERVICE_FILES).or_else(|| files.iter().find(|file| !file.is_placed())) {
            return Err(SandboxError::FilePlace { service: spec.service.clone(), target: shown(&file.target) });
        }
        let mut root = Draft::default();
        for File { target, content } in files {
            let bytes = match (content, &spec.seal) {
                (Content::Config(bytes), _) => bytes.clone(),
                (Content::Secret { name, sealed }, Some(key)) => secret::open(key, spec.deployment, name, sealed)
                    .ok_or_else(|| SandboxError::Secret { service: spec.service.clone(), name: name.clone() })?,
                (Content::Secret { .. }, None) => Vec::new(),
            };
            root.put(target, bytes.into())
                .ok_or_else(|| SandboxError::FilePlace { service: spec.service.clone(), target: shown(target) })?;
        }
        Ok(Self { root: Some(Arc::new(root.done())) })
    }
}

/// A target as an error may show it.
fn shown(target: &str) -> String {
    target.chars().take(limits::TARGET_BYTES).collect()
}

impl Draft {
    /// Puts a file where it belongs; none if there is something else already.
    fn put(&mut self, target: &str, bytes: Bytes) -> Option<()> {
        let mut folder = self;
        for part in target.split('/').filter(|part| !part.is_empty()) {
            if folder.file.is_some() || matches!(part, "." | "..") {
                return None;
            }
            folder = folder.inner.entry(part.to_owned()).or_default();
        }
        let free = folder.file.is_none() && folder.inner.is_empty() && target.starts_with('/');
        folder.file = free.then_some(bytes);
        free.then_some(())
    }

    fn done(self) -> Node {
        match self.file {
            Some(bytes) => Node::File(bytes),
            None => Node::Folder(self.inner.into_iter().map(|(name, draft)| (name, Arc::new(draft.done()))).collect()),
        }
    }
}

/// What a component holds open: a node, and the folders above it.
#[derive(Clone)]
struct Open {
    node: Arc<Node>,
    above: Vec<Arc<Node>>,
}

impl Open {
    fn file(&self) -> FsResult<&Bytes> {
        match &*self.node {
            Node::File(bytes) => Ok(bytes),
            Node::Folder(_) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    fn folder(&self) -> FsResult<&BTreeMap<String, Arc<Node>>> {
        match &*self.node {
            Node::Folder(inner) => Ok(inner),
            Node::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// What a path leads to, at most back to where it was begun.
    fn at(&self, path: &str) -> FsResult<Self> {
        if path.starts_with('/') {
            return Err(ErrorCode::NotPermitted.into());
        }
        if path.is_empty() {
            return Err(ErrorCode::NoEntry.into());
        }
        let mut found = Self { node: Arc::clone(&self.node), above: Vec::new() };
        for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part == ".." {
                found.folder()?;
                found.node = found.above.pop().ok_or(ErrorCode::NotPermitted)?;
                continue;
            }
            let inner = Arc::clone(found.folder()?.get(part).ok_or(ErrorCode::NoEntry)?);
            found.above.push(core::mem::replace(&mut found.node, inner));
        }
        found.above.clear();
        Ok(found)
    }

    fn kind(&self) -> DescriptorType {
        match &*self.node {
            Node::File(_) => DescriptorType::RegularFile,
            Node::Folder(_) => DescriptorType::Directory,
        }
    }

    fn stat(&self) -> DescriptorStat {
        DescriptorStat {
            type_: self.kind(),
            link_count: 1,
            size: if let Node::File(bytes) = &*self.node { bytes.len() as u64 } else { 0 },
            data_access_timestamp: None,
            data_modification_timestamp: None,
            status_change_timestamp: None,
        }
    }

    /// The same for the same node, as long as the replica lives.
    fn hash(&self) -> MetadataHashValue {
        MetadataHashValue { lower: Arc::as_ptr(&self.node).addr() as u64, upper: 0 }
    }
}

/// The entries of a folder that were not read yet.
struct Entries(std::vec::IntoIter<DirectoryEntry>);

/// The interface's host for one instance.
pub(super) struct FilesView<'a> {
    pub(super) files: &'a Files,
    pub(super) table: &'a mut ResourceTable,
}

impl FilesView<'_> {
    /// The engine names what is open by a type of its own; behind the number is ours.
    fn open(&self, descriptor: &Resource<Descriptor>) -> FsResult<&Open> {
        Ok(self.table.get(&Resource::<Open>::new_borrow(descriptor.rep()))?)
    }

    fn hand_out(&mut self, open: Open) -> Result<Resource<Descriptor>, wasmtime::component::ResourceTableError> {
        Ok(Resource::new_own(self.table.push(open)?.rep()))
    }
}

/// Nothing can be changed.
fn read_only<T>() -> FsResult<T> {
    Err(ErrorCode::ReadOnly.into())
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let Some(root) = &self.files.root else { return Ok(Vec::new()) };
        let root = Open { node: Arc::clone(root), above: Vec::new() };
        Ok(vec![(self.hand_out(root)?, "/".to_owned())])
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(&mut self, _: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(None)
    }
}

impl types::HostDescriptor for FilesView<'_> {
    async fn advise(&mut self, fd: Resource<Descriptor>, _: Filesize, _: Filesize, _: Advice) -> FsResult<()> {
        self.open(&fd)?.file().map(drop)
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.open(&fd).map(drop)
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.open(&fd).map(drop)
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.open(&fd).map(|_| DescriptorFlags::READ)
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        self.open(&fd).map(Open::kind)
    }

    async fn read(
        &mut self,
        fd: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        let bytes = self.open(&fd)?.file()?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let length = usize::try_from(length.min(READ_BYTES)).unwrap_or(0);
        let to = from.saturating_add(length).min(bytes.len());
        Ok((bytes[from..to].to_vec(), to == bytes.len()))
    }

    fn read_via_stream(&mut self, fd: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let bytes = self.open(&fd)?.file()?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let stream: DynInputStream = Box::new(MemoryInputPipe::new(bytes.slice(from..)));
        Ok(self.table.push(stream)?)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        let inner = self.open(&fd)?.folder()?;
        let entry = |(name, node): (&String, &Arc<Node>)| {
            let open = Open { node: Arc::clone(node), above: Vec::new() };
            DirectoryEntry { type_: open.kind(), name: name.clone() }
        };
        let entries: Vec<DirectoryEntry> = inner.iter().map(entry).collect();
        Ok(Resource::new_own(self.table.push(Entries(entries.into_iter()))?.rep()))
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        self.open(&fd).map(Open::stat)
    }

    async fn stat_at(&mut self, fd: Resource<Descriptor>, _: PathFlags, path: String) -> FsResult<DescriptorStat> {
        Ok(self.open(&fd)?.at(&path)?.stat())
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        _: PathFlags,
        path: String,
        how: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let found = match self.open(&fd)?.at(&path) {
            Ok(found) => found,
            Err(_) if how.contains(OpenFlags::CREATE) => return read_only(),
            Err(error) => return Err(error),
        };
        if how.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) {
            return Err(ErrorCode::Exist.into());
        }
        if how.contains(OpenFlags::TRUNCATE)
            || flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY)
        {
            return read_only();
        }
        if how.contains(OpenFlags::DIRECTORY) {
            found.folder()?;
        }
        Ok(self.hand_out(found)?)
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        let node = |fd: &Resource<Descriptor>| self.table.get(&Resource::<Open>::new_borrow(fd.rep()));
        Ok(Arc::ptr_eq(&node(&one)?.node, &node(&other)?.node))
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        self.open(&fd).map(Open::hash)
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        _: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        Ok(self.open(&fd)?.at(&path)?.hash())
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.open(&fd)?.at(&path)?;
        Err(ErrorCode::Invalid.into())
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Open>::new_own(fd.rep()))?;
        Ok(())
    }

    async fn write(&mut self, _: Resource<Descriptor>, _: Vec<u8>, _: Filesize) -> FsResult<Filesize> {
        read_only()
    }

    fn write_via_stream(&mut self, _: Resource<Descriptor>, _: Filesize) -> FsResult<Resource<DynOutputStream>> {
        read_only()
    }

    fn append_via_stream(&mut self, _: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        read_only()
    }

    async fn set_size(&mut self, _: Resource<Descriptor>, _: Filesize) -> FsResult<()> {
        read_only()
    }

    async fn set_times(&mut self, _: Resource<Descriptor>, _: NewTimestamp, _: NewTimestamp) -> FsResult<()> {
        read_only()
    }

    async fn set_times_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        _: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> FsResult<()> {
        read_only()
    }

    async fn create_directory_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        read_only()
    }

    async fn link_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        _: String,
        _: Resource<Descriptor>,
        _: String,
    ) -> FsResult<()> {
        read_only()
    }

    async fn rename_at(
        &mut self,
        _: Resource<Descriptor>,
        _: String,
        _: Resource<Descriptor>,
        _: String,
    ) -> FsResult<()> {
        read_only()
    }

    async fn symlink_at(&mut self, _: Resource<Descriptor>, _: String, _: String) -> FsResult<()> {
        read_only()
    }

    async fn remove_directory_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        read_only()
    }

    async fn unlink_file_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        read_only()
    }
}

impl types::HostDirectoryEntryStream for FilesView<'_> {
    async fn read_directory_entry(
        &mut self,
        entries: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        Ok(self.table.get_mut(&Resource::<Entries>::new_borrow(entries.rep()))?.0.next())
    }

    fn drop(&mut self, entries: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Entries>::new_own(entries.rep()))?;
        Ok(())
    }
}

struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = FilesView<'a>;
}

/// Offers the interfaces to components, in place of the engine's, which have files of the host's disk behind them.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    types::add_to_linker::<_, HasFiles>(linker, Guest::files)?;
    preopens::add_to_linker::<_, HasFiles>(linker, Guest::files)?;
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use grange_types::{BlobId, ByteCount, DeploymentId, LeaseId, Resources, SealKey, Workload};

    use super::*;

    fn spec(files: Vec<File>, seal: Option<SealKey>) -> Work {
        Work {
            lease: LeaseId([1; 32]),
            deployment: DeploymentId([2; 32]),
            name: "test".into(),
            service: "web".into(),
            replica: 0,
            generation: 1,
            previous: None,
            keepers: Vec::new(),
            before: Vec::new(),
            seal,
            workload: Workload::Furnished { component: BlobId([3; 32]), size: ByteCount(1), files },
            resources: Resources::default(),
            environment: BTreeMap::new(),
            allow_http: Vec::new(),
        }
    }

    fn config(target: &str) -> File {
        File { target: target.into(), content: Content::Config(target.as_bytes().to_vec()) }
    }

    fn root(files: Vec<File>) -> Open {
        Open { node: Files::of(&spec(files, None)).unwrap().root.unwrap(), above: Vec::new() }
    }

    #[test]
    fn a_path_leads_to_a_file_and_never_above_where_it_began() {
        let root = root(vec![config("/etc/a"), config("/run/secrets/b")]);
        for path in ["etc/a", "./etc//a", "run/../etc/a", "run/secrets/../../etc/./a"] {
            assert_eq!(root.at(path).unwrap().file().unwrap().as_ref(), b"/etc/a", "{path}");
        }
        let etc = root.at("etc").unwrap();
        for (from, path, code) in [
            (&root, "/etc/a", ErrorCode::NotPermitted),
            (&root, "../etc/a", ErrorCode::NotPermitted),
            (&etc, "../run/secrets/b", ErrorCode::NotPermitted),
            (&root, "etc/b", ErrorCode::NoEntry),
            (&root, "", ErrorCode::NoEntry),
            (&root, "etc/a/b", ErrorCode::NotDirectory),
            (&root, "etc/a/..", ErrorCode::NotDirectory),
        ] {
            let error = from.at(path).err().unwrap().downcast().unwrap();
            assert_eq!(error, code, "{path}");
        }
        assert_eq!(root.stat().type_, DescriptorType::Directory);
        assert_eq!(root.at("etc/a").unwrap().stat().size, 6);
    }

    #[test]
    fn two_files_need_two_places() {
        for files in [["/a", "/a"], ["/a", "/a/b"], ["/a/b", "/a"], ["/a", "b"], ["/a", "/../b"], ["/a", "/"]] {
            let refused = Files::of(&spec(files.map(config).to_vec(), None));
            assert!(matches!(refused, Err(SandboxError::FilePlace { .. })), "{files:?}");
        }
        assert!(Files::of(&spec(Vec::new(), None)).unwrap().root.is_none(), "without files there is no folder");
    }

    #[test]
    fn a_secret_is_opened_with_the_key_of_its_deployment_alone() {
        let key = SealKey::new([7; 32]);
        let sealed = secret::seal(&key, DeploymentId([2; 32]), "token", b"horse");
        let file = File { target: "/t".into(), content: Content::Secret { name: "token".into(), sealed } };
        let files = Files::of(&spec(vec![file.clone()], Some(key))).unwrap();
        let root = Open { node: files.root.unwrap(), above: Vec::new() };
        assert_eq!(root.at("t").unwrap().file().unwrap().as_ref(), b"horse");
        let other = Files::of(&spec(vec![file], Some(SealKey::new([8; 32]))));
        assert!(matches!(other, Err(SandboxError::Secret { .. })));
    }
}
