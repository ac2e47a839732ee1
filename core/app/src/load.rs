//! Opens the files of a project and makes one tree of them: those named first, what they extend, what they include.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::files::{Files, Unread};
use crate::finding::{Findings, Position, quote};
use crate::interpolate::interpolate;
use crate::merge;
use crate::path::{folder_of, rebase};
use crate::yaml::{self, Map, Room};
use crate::{dotenv, extends, include, limits};

/// The variables that the values of a file may use.
pub(crate) type Variables = BTreeMap<String, String>;

/// In whose light a file is read.
#[derive(Clone)]
pub(crate) struct Scope {
    /// Which set of variables this is, so that a file that several services extend is read once for each.
    pub(crate) id: u16,
    /// Where relative paths start: a folder below the project's, empty for the project's own.
    pub(crate) folder: String,
    pub(crate) variables: Rc<Variables>,
}

/// A file that was asked for, and where.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// None for the files that the reader was given.
    pub(crate) at: Option<Position>,
}

/// A tree and the path of its file.
pub(crate) type Parsed = (String, Map);

/// What was opened so far, and what may still be.
pub(crate) struct Loader<'a> {
    files: &'a dyn Files,
    pub(crate) findings: Findings,
    /// The files as findings name them, in the order in which they were opened.
    pub(crate) names: Vec<String>,
    /// The bytes of all texts so far.
    bytes: usize,
    pub(crate) room: Room,
    interpolated: usize,
    scopes: u16,
    /// The files that services extend, by scope and path; none that could not be read.
    pub(crate) extended: BTreeMap<(u16, String), Option<Rc<Map>>>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(files: &'a dyn Files) -> Self {
        Self {
            files,
            findings: Findings::default(),
            names: Vec::new(),
            bytes: 0,
            room: Room::default(),
            interpolated: limits::INTERPOLATED_BYTES,
            scopes: 0,
            extended: BTreeMap::new(),
        }
    }

    pub(crate) fn scope(&mut self, folder: String, variables: Variables) -> Scope {
        self.scopes = self.scopes.saturating_add(1);
        Scope { id: self.scopes, folder, variables: Rc::new(variables) }
    }

    /// Parses the files of one application; the findings say why where there is none.
    pub(crate) fn parse_all(&mut self, asked: &[Asked]) -> Option<Vec<Parsed>> {
        let parsed: Vec<Option<Parsed>> =
            asked.iter().map(|asked| Some((asked.path.clone(), self.parse(asked)?))).collect();
        parsed.into_iter().collect()
    }

    /// Lays the files of one application over each other and adds what they include. `chain` holds the files that
    /// lead here.
    pub(crate) fn application(&mut self, parsed: Vec<Parsed>, scope: &Scope, chain: &mut Vec<String>) -> Map {
        let mut whole = Map::default();
        let depth = chain.len();
        for (path, mut map) in parsed {
            self.settle(&mut map, scope);
            extends::resolve(self, &mut map, &path, scope);
            whole = merge::files(whole, map);
            chain.push(path);
        }
        merge::strip(&mut whole);
        include::include(self, &mut whole, scope, chain);
        chain.truncate(depth);
        whole
    }

    /// The file that a service extends, with everything in it but what it includes.
    pub(crate) fn extended(&mut self, asked: &Asked, scope: &Scope) -> Option<(Rc<Map>, Scope)> {
        let inner = Scope { folder: folder_of(&asked.path).to_owned(), ..scope.clone() };
        let key = (scope.id, asked.path.clone());
        if let Some(known) = self.extended.get(&key) {
            return Some((known.clone()?, inner));
        }
        let map = self.parse(asked).map(|mut map| {
            self.settle(&mut map, &inner);
            Rc::new(map)
        });
        self.extended.insert(key, map.clone());
        Some((map?, inner))
    }

    /// The variables of a file of variables, each at its line; none when it cannot be read, which is told.
    pub(crate) fn variables(&mut self, asked: &Asked, raw: bool, known: &Variables) -> Option<Vec<dotenv::Variable>> {
        let (file, text) = self.open(asked)?;
        match dotenv::read(&text, raw, known) {
            Ok(variables) => {
                let place = |variable: dotenv::Variable| {
                    let at = Position { file, ..variable.at };
                    dotenv::Variable { at, ..variable }
                };
                Some(variables.into_iter().map(place).collect())
            }
            Err(error) => {
                let at = Position { line: error.line, ..Position::start_of(file) };
                self.findings.error(at, error.kind.to_string());
                None
            }
        }
    }

    /// Whether the file is there, for files that need not be.
    pub(crate) fn is_there(&self, path: &str) -> bool {
        !matches!(self.files.text(path), Err(Unread::Missing | Unread::NoFile))
    }

    fn parse(&mut self, asked: &Asked) -> Option<Map> {
        let (file, text) = self.open(asked)?;
        yaml::parse(&text, file, &mut self.room, &mut self.findings)
    }

    /// Replaces the variables of a file and lets its paths start at the project's folder.
    fn settle(&mut self, map: &mut Map, scope: &Scope) {
        interpolate(map, &scope.variables, &mut self.interpolated, &mut self.findings);
        rebase(map, &scope.folder);
    }

    /// The text of a file and its number among those that were opened.
    fn open(&mut self, asked: &Asked) -> Option<(u16, String)> {
        let number = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        if self.names.len() >= limits::FILES {
            let at = asked.at.unwrap_or(Position::START);
            self.findings.error(at, format!("an app is made of more than the limit of {} files here", limits::FILES));
            return None;
        }
        let text = self.files.text(&asked.path);
        if asked.at.is_none() || text.is_ok() {
            self.names.push(self.files.name(&asked.path));
        }
        let text = match text {
            Ok(text) => text,
            Err(why) => {
                let at = asked.at.unwrap_or(Position::start_of(number));
                self.findings.error(at, format!("the file {} {why}", quote(&asked.path)));
                return None;
            }
        };
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > limits::PROJECT_BYTES {
            let message =
                format!("the files of the app have more than the limit of {} bytes here", limits::PROJECT_BYTES);
            self.findings.error(asked.at.unwrap_or(Position::start_of(number)), message);
            return None;
        }
        Some((number, text))
    }
}
