//! What a compose file says, once read: services, where they may run and what they may cost.

use core::fmt;
use std::collections::BTreeMap;

use grange_types::{Amount, HealthCheck, Kind, Placement, Resources};

use crate::finding::Position;

/// A deployment as its author wrote it, before its files were looked at. Prints as one fact a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// The name it is served under, a DNS label.
    pub name: String,
    /// The most it may ever cost; 10 credits where the file says nothing.
    pub budget: Amount,
    /// The services by name.
    pub services: BTreeMap<String, AppService>,
}

/// One service as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppService {
    /// What it runs, by path.
    pub source: WorkSource,
    /// How many of it, at least one.
    pub replicas: u32,
    /// What each replica may use.
    pub resources: Resources,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// The path prefix that the gateway sends to it, without a slash at its end; none is reached from nowhere.
    pub route: Option<String>,
    /// How to tell that a replica serves.
    pub health: Option<HealthCheck>,
    /// Services that must serve before this one starts, sorted.
    pub depends_on: Vec<String>,
    /// Where it may run.
    pub placement: Placement,
    /// Hosts it may call over HTTP, lower case, with optional `:port`, sorted.
    pub allow_http: Vec<String>,
    /// The ports written for it; only that there are any has an effect.
    pub ports: Vec<Port>,
    /// Its configs and secrets, sorted by where it finds them.
    pub files: Vec<AppFile>,
    /// Where its name stands in the file.
    pub at: Position,
}

/// What a service runs, relative to the compose file: parts between `/`, none of them `.`, `..` or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkSource {
    /// A wasm component.
    Wasm {
        /// The file.
        path: String,
        /// Where the path stands in the compose file, for errors about the file.
        at: Position,
    },
    /// A folder of files.
    Site {
        /// The folder.
        path: String,
        /// Where the path stands in the compose file, for errors about the folder.
        at: Position,
    },
}

/// A config or secret of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFile {
    /// Where the component finds it, from the root on.
    pub target: String,
    /// The name under which it is declared.
    pub name: String,
    /// Whether it is a secret.
    pub is_secret: bool,
    /// Where its content is.
    pub origin: Origin,
    /// Where the origin is written, for errors about it.
    pub at: Position,
}

/// Where the content of a config or secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file, relative to the compose file.
    File(String),
    /// In this variable, which is set.
    Environment(String),
    /// In the compose file itself; of a config only.
    Content(String),
}

/// A port of a service, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The port inside.
    pub target: u16,
    /// The port outside, where one was written.
    pub published: Option<u16>,
}

impl WorkSource {
    /// The kind of work.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Wasm { .. } => Kind::Wasm,
            Self::Site { .. } => Kind::Site,
        }
    }

    /// The file or folder, relative to the compose file.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Wasm { path, .. } | Self::Site { path, .. } => path,
        }
    }

    /// Where the path stands in the compose file.
    #[must_use]
    pub const fn at(&self) -> Position {
        match self {
            Self::Wasm { at, .. } | Self::Site { at, .. } => *at,
        }
    }
}

impl fmt::Display for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "name: {}", self.name)?;
        writeln!(f, "budget: {}", self.budget)?;
        for (name, service) in &self.services {
            writeln!(f, "{name}:")?;
            service.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for AppService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}: {:?} x {}", self.source.kind(), self.source.path(), self.replicas)?;
        let Resources { cpu_millis, memory, disk } = self.resources;
        writeln!(f, "  resources: {cpu_millis} millis, {memory} memory, {disk} disk")?;
        for (name, value) in &self.environment {
            writeln!(f, "  environment: {name}={value:?}")?;
        }
        if let Some(route) = &self.route {
            writeln!(f, "  route: {route}")?;
        }
        if let Some(HealthCheck { path, interval, timeout, retries }) = &self.health {
            let (interval, timeout) = (interval.0, timeout.0);
            writeln!(f, "  health: {path} every {interval} ms within {timeout} ms, {retries} retries")?;
        }
        if !self.depends_on.is_empty() {
            writeln!(f, "  depends on: {}", self.depends_on.join(", "))?;
        }
        let Placement { on, price_max, region, isolation, trust_min } = &self.placement;
        write!(f, "  placement: {on:?}")?;
        if let Some(price) = price_max {
            write!(f, ", at most {price} an hour")?;
        }
        if let Some(region) = region {
            write!(f, ", in {region}")?;
        }
        if let Some(isolation) = isolation {
            write!(f, ", {isolation} or stronger")?;
        }
        if let Some(least) = trust_min {
            write!(f, ", trusted {least} of 100 or more")?;
        }
        writeln!(f)?;
        if !self.allow_http.is_empty() {
            writeln!(f, "  may call: {}", self.allow_http.join(", "))?;
        }
        for AppFile { target, is_secret, origin, .. } in &self.files {
            let what = if *is_secret { "secret" } else { "config" };
            match origin {
                Origin::File(path) => writeln!(f, "  {what}: {target} from the file {path}")?,
                Origin::Environment(name) => writeln!(f, "  {what}: {target} from the variable {name}")?,
                Origin::Content(text) => writeln!(f, "  {what}: {target} with {} bytes", text.len())?,
            }
        }
        for Port { target, published } in &self.ports {
            match published {
                Some(published) => writeln!(f, "  port: {target} published as {published}")?,
                None => writeln!(f, "  port: {target}")?,
            }
        }
        Ok(())
    }
}
