//! Read a compose file into services, volumes, networks and constraints.
//!
//! A deployment is an ordinary compose file with an `x-grange` block. [`read`] takes its text and the
//! variables it may use and gives back either an [`App`], or every mistake it could find, each with the
//! file, line and column it stands at. [`read_project`] reads an app of several files: laid over each other, included,
//! extended, files of variables. It opens none of them: the caller gives their texts through [`Files`], and looks up
//! what the path of a component or site names.
//!
//! # Rules
//! - Every key of the compose specification is in one table ([`reference()`] prints it): honoured, accepted with a
//!   warning that says why it has no effect, or refused with the reason. A key that is not in the table is
//!   refused with the nearest one that is, except `x-…`, which is nobody's business but the author's.
//! - A key is refused when leaving it out would lose data, open what the author wanted closed, or run something
//!   other than what is written. It is accepted with a warning when the service is the same without it.
//! - Variables (`${NAME:-default}` and its relatives) are replaced in values, never in keys, after anchors and
//!   merge keys were resolved, in each file by itself, before files are laid over each other.
//! - Every path starts at the file that holds it and stays below the project's folder.
//! - In each file `extends` is resolved first, then files are laid over each other, then `include` adds to the
//!   whole, then services without an active profile go, and only then keys are judged.
//! - A finding points at the key when the key is wrong, at the value when the value is wrong. Columns count characters.
//! - Nothing a file holds makes the reader panic or run long: the number of files, length, depth, expansion of
//!   aliases, services and variables, and the number of findings are bounded ([`limits`]).
//!
//! # Example
//! ```
//! use std::collections::BTreeMap;
//!
//! let text = "
//! name: hello
//! x-grange: { budget: 2.5 }
//! services:
//!   web:
//!     x-grange: { site: ./public }
//! ";
//! let source = grange_app::Source { file: "compose.yaml", text };
//! let reading = grange_app::read(&source, &BTreeMap::new()).expect("the file is right");
//! assert_eq!(reading.app.name, "hello");
//! assert_eq!(reading.app.services["web"].route.as_deref(), Some("/"));
//!
//! let source = grange_app::Source { file: "compose.yaml", text: "name: hello\nx-grange: { budget: 1 }\nservces: {}\n" };
//! let findings = grange_app::read(&source, &BTreeMap::new()).expect_err("a key is wrong");
//! assert_eq!(findings[0].to_string(), "compose.yaml:1:1: the file has no `services`");
//! assert_eq!(findings[1].to_string(), "compose.yaml:3:1: unknown key `servces`; did you mean `services`?");
//! ```
//!
//! # Left out
//! Files from elsewhere: another folder, a repository, a registry. The contents of configs and secrets: the caller looks
//! them up, and no text of ours ever holds a secret.

mod app;
mod declared;
mod depends;
mod deploy;
mod dotenv;
mod env_file;
mod environment;
mod extends;
mod files;
mod finding;
mod furnish;
mod grange;
mod health;
mod include;
mod interpolate;
pub mod limits;
mod load;
mod manifest;
mod merge;
mod named;
mod nearest;
mod path;
mod ports;
mod profiles;
mod read;
mod reference;
mod route;
mod scalar;
mod schema;
mod service;
mod shape;
mod table;
mod walk;
mod yaml;

pub use app::{App, AppFile, AppService, Origin, Port, WorkSource};
pub use dotenv::{DotenvError, DotenvErrorKind, dotenv};
pub use files::{Files, Unread};
pub use finding::{Finding, Position, Severity};
pub use manifest::{ManifestError, revision, slots};
pub use named::Named;
pub use read::{Project, Reading, Refusal, Source, read, read_project};
pub use reference::reference;
pub use schema::schema;
