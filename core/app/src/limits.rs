//! The bounds of the compose files of one app, beside those of [`grange_types::limits`].

/// A compose file, or a file of variables. As long as the manifest that is made of it.
pub const FILE_BYTES: usize = 512 << 10;
/// All files of an app together: compose files and files of variables.
pub const PROJECT_BYTES: usize = 4 * FILE_BYTES;
/// How many files an app is made of.
pub const FILES: usize = 64;
/// How many files stand above each other in a chain of `include`.
pub const INCLUDES_DEEP: usize = 8;
/// How many services stand above each other in a chain of `extends`.
pub const EXTENDS_DEEP: usize = 16;
/// How deep lists and mappings may nest, aliases followed. The specification itself needs nine.
pub const DEPTH: usize = 48;
/// What the values of all files weigh when every alias and every service that another extends is written out, each value counted as its text and
/// [`VALUE_WEIGHT`] bytes: sixteen times the longest file.
pub const EXPANDED_BYTES: usize = 8 << 20;
/// The weight of a value without its text, about what it takes in memory.
pub const VALUE_WEIGHT: usize = 64;
/// What all values weigh in bytes once variables are replaced.
pub const INTERPOLATED_BYTES: usize = 8 << 20;
/// How deep defaults of variables may nest: `${A:-${B:-${C}}}` is three deep.
pub const VARIABLE_DEPTH: usize = 16;
/// Findings of one app, half of them warnings at most; the rest is left out and said to be. A service with every
/// key that has no effect gets 61.
pub const FINDINGS: usize = 128;
/// How much of a key or value a finding quotes, in characters.
pub const QUOTED_CHARACTERS: usize = 64;
/// How much of a sentence that is not ours (a required variable's, the YAML parser's) a finding repeats.
pub const REASON_CHARACTERS: usize = 240;
/// The path of a component, a site or a health check, in bytes.
pub const PATH_BYTES: usize = 1_024;
/// A route, in bytes: what the ledger takes.
pub const ROUTE_BYTES: usize = grange_types::limits::ROUTE_BYTES;
/// The environment of one service, names and values, in bytes: 64 services of 8 KiB fit a manifest.
pub const ENVIRONMENT_BYTES: usize = 8 << 10;
/// Ports of one service.
pub const PORTS: usize = 64;
/// Processors of one replica.
pub const PROCESSORS: u32 = 1_024;
/// Failed health checks in a row.
pub const RETRIES: u32 = 1_000;
