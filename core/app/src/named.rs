//! What services name outside the compose files, also of an app that cannot be deployed: components, sites, and the
//! contents of configs and secrets.

use crate::app::{AppFile, WorkSource};
use crate::declared::Declared;
use crate::finding::Findings;
use crate::furnish::files;
use crate::grange::service_block;
use crate::yaml::Map;

/// What one service names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What it runs, where that could be read.
    pub source: Option<WorkSource>,
    /// Its configs and secrets, as far as they could be read; none of a site.
    pub files: Vec<AppFile>,
}

/// What each service names. What is wrong with it has been told when the service was read.
pub(crate) fn named(file: &Map, declared: &Declared) -> Vec<Named> {
    let services = file.get("services").and_then(|entry| entry.node.map());
    let maps = services.into_iter().flat_map(|services| &services.entries).filter_map(|entry| entry.node.map());
    let mut told = Findings::default();
    let of = |service: &Map| {
        let source = service_block(service, &mut told).source;
        let is_site = matches!(source, Some(WorkSource::Site { .. }));
        let files = if is_site { Vec::new() } else { files(service, declared, &mut told) };
        Named { source, files }
    };
    maps.map(of).collect()
}
