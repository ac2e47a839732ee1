//! Builds the tree from the parser's events, one at a time and without recursion.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::place::Places;
use super::{Entry, Map, Mark, Node, Room, Text, Value};
use crate::finding::{Findings, Position, one_line, quote};
use crate::limits;

/// Reads the one document of a file, whose aliases may take what is left of the room. Findings hold at least one
/// error when there is none.
pub(crate) fn parse(text: &str, file: u16, room: &mut Room, findings: &mut Findings) -> Option<Map> {
    if text.len() > limits::FILE_BYTES {
        let message = format!("the file has {} bytes, more than the limit of {}", text.len(), limits::FILE_BYTES);
        findings.error(Position::start_of(file), message);
        return None;
    }
    let mut builder = Builder {
        places: Places::new(file, text),
        findings,
        room,
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        root: None,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.event(event, &span),
            Err(error) => builder.not_yaml(text, &error),
        };
        if step.is_err() {
            return None;
        }
    }
    let root = builder.root.take();
    match root {
        Some(Node { value: Value::Map(map), .. }) => Some(map),
        Some(Node { at, value: Value::Text(_) | Value::List(_) | Value::Broken, .. }) => {
            findings.error(at, "a compose file is a mapping that starts with a key such as `services:`");
            None
        }
        Some(Node { value: Value::Nothing, .. }) | None => {
            findings.error(Position::start_of(file), "the file is empty");
            None
        }
    }
}

/// Nothing more can be learnt from the file; the reason is among the findings.
struct Stop;

/// What a tag says of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tagged {
    /// Nothing that matters here.
    Not,
    /// It is text, whatever it looks like.
    Text,
    /// How it is laid over another file's.
    Marked(Mark),
}

impl Tagged {
    const fn mark(self) -> Mark {
        if let Self::Marked(mark) = self { mark } else { Mark::Merge }
    }
}

/// A finished value with what it would cost to repeat it.
#[derive(Clone)]
struct Built {
    node: Node,
    weight: usize,
    /// Levels of lists and mappings in it.
    height: usize,
}

/// A list or mapping whose end has not come yet.
struct Frame {
    at: Position,
    anchor: usize,
    mark: Mark,
    weight: usize,
    height: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { map: Map, merges: Vec<Entry>, seen: BTreeMap<String, Position>, key: Option<Key> },
}

/// A key that waits for its value.
struct Key {
    text: String,
    at: Position,
    /// A plain `<<`.
    merge: bool,
    /// Not to be kept: a duplicate, or no text.
    void: bool,
}

struct Builder<'a> {
    places: Places<'a>,
    findings: &'a mut Findings,
    room: &'a mut Room,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Built>,
    root: Option<Node>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Stop> {
        let at = self.places.position(&span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document(at),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = self.tag(tag.as_deref(), at);
                self.scalar(&text, style, anchor, tagged, span)
            }
            Event::SequenceStart(anchor, tag) => {
                let mark = self.tag(tag.as_deref(), at).mark();
                self.open(at, anchor, mark, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let mark = self.tag(tag.as_deref(), at).mark();
                let (map, merges, seen) = (Map::default(), Vec::new(), BTreeMap::new());
                self.open(at, anchor, mark, Content::Map { map, merges, seen, key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn document(&mut self, at: Position) -> Result<(), Stop> {
        if self.root.is_some() {
            self.findings.error(at, "a second document starts here; a compose file is one document");
            return Err(Stop);
        }
        Ok(())
    }

    /// What a tag makes of its value.
    fn tag(&mut self, tag: Option<&Tag>, at: Position) -> Tagged {
        let Some(tag) = tag else {
            return Tagged::Not;
        };
        if tag.is_yaml_core_schema() {
            return if tag.suffix == "str" { Tagged::Text } else { Tagged::Not };
        }
        let name = format!("{}{}", tag.handle, tag.suffix);
        match name.as_str() {
            "!" => Tagged::Text,
            "!reset" => Tagged::Marked(Mark::Reset),
            "!override" => Tagged::Marked(Mark::Override),
            _ => {
                self.findings.error(at, format!("the tag {} is not understood; remove it", quote(&name)));
                Tagged::Not
            }
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tagged: Tagged,
        span: &Span,
    ) -> Result<(), Stop> {
        let at = self.places.position(&span.start);
        let plain = style == ScalarStyle::Plain;
        let nothing = plain && tagged != Tagged::Text && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let value = if nothing {
            Value::Nothing
        } else {
            Value::Text(Text { text: text.to_owned(), inside: self.places.inside(span, text) })
        };
        let node = Node { at, value, mark: tagged.mark() };
        let built = Built { node, weight: limits::VALUE_WEIGHT + text.len(), height: 0 };
        self.weigh(built.weight, at)?;
        if anchor != 0 {
            self.weigh(built.weight, at)?;
            self.anchors.insert(anchor, built.clone());
        }
        if self.key_is_next() {
            self.key(text, plain, at);
            return Ok(());
        }
        self.attach(built);
        Ok(())
    }

    fn key_is_next(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: &str, plain: bool, at: Position) {
        let Some(Frame { content: Content::Map { seen, key, .. }, weight, .. }) = self.stack.last_mut() else {
            return;
        };
        *weight += limits::VALUE_WEIGHT + text.len();
        let before = seen.get(text).copied();
        match before {
            Some(first) => {
                let remedy = if text == "<<" { "; merge several as `<<: [*a, *b]`" } else { "" };
                let message = format!("the key {} is already on line {}{remedy}", quote(text), first.line);
                self.findings.error(at, message);
            }
            None => {
                seen.insert(text.to_owned(), at);
            }
        }
        *key = Some(Key { text: text.to_owned(), at, merge: plain && text == "<<", void: before.is_some() });
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Stop> {
        let cost = self.anchors.get(&anchor).map(|built| (built.weight, built.height));
        let Some((weight, height)) = cost else {
            self.findings.error(at, "the alias stands inside the value that it names");
            return Err(Stop);
        };
        // Weighed before it is copied, so that what does not fit is never made.
        self.deep(height, at)?;
        self.weigh(weight, at)?;
        let Some(mut built) = self.anchors.get(&anchor).cloned() else {
            return Ok(());
        };
        if self.key_is_next() {
            // A wrong key is wrong where it is used, a wrong value where it is written.
            built.node.at = at;
            if let Value::Text(Text { text, .. }) = &built.node.value {
                self.key(text, false, at);
                return Ok(());
            }
        }
        self.attach(built);
        Ok(())
    }

    fn open(&mut self, at: Position, anchor: usize, mark: Mark, content: Content) -> Result<(), Stop> {
        self.deep(1, at)?;
        self.weigh(limits::VALUE_WEIGHT, at)?;
        // A list or mapping in the place of a key is read to its end and dropped with its value.
        self.stack.push(Frame { at, anchor, mark, weight: limits::VALUE_WEIGHT, height: 1, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(Frame { at, anchor, mark, weight, height, content }) = self.stack.pop() else {
            return Ok(());
        };
        let value = match content {
            Content::List(list) => Value::List(list),
            Content::Map { map, merges, seen, .. } => Value::Map(self.merged(map, merges, seen)),
        };
        let built = Built { node: Node { at, value, mark }, weight, height };
        if anchor != 0 {
            self.weigh(weight, at)?;
            self.anchors.insert(anchor, built.clone());
        }
        self.attach(built);
        Ok(())
    }

    /// Puts a finished value where it belongs: into the open list or mapping, or at the root.
    fn attach(&mut self, built: Built) {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(built.node);
            return;
        };
        frame.weight += built.weight;
        frame.height = frame.height.max(built.height + 1);
        match &mut frame.content {
            Content::List(list) => list.push(built.node),
            Content::Map { map, merges, key, .. } => match key.take() {
                None => {
                    let at = built.node.at;
                    self.findings.error(at, format!("a key is text, not {}", built.node.noun()));
                    *key = Some(Key { text: String::new(), at, merge: false, void: true });
                }
                Some(Key { void: true, .. }) => {}
                Some(Key { text, at, merge, .. }) => {
                    let entry = Entry { key: text, at, node: built.node };
                    if merge { merges.push(entry) } else { map.entries.push(entry) }
                }
            },
        }
    }

    fn merged(&mut self, mut map: Map, merges: Vec<Entry>, mut seen: BTreeMap<String, Position>) -> Map {
        let mut sources = Vec::new();
        for merge in merges {
            match merge.node.value {
                Value::Map(source) => sources.push(source),
                Value::List(list) => {
                    for node in list {
                        match node.value {
                            Value::Map(source) => sources.push(source),
                            _ => self.findings.error(node.at, format!("a merge takes mappings, not {}", node.noun())),
                        }
                    }
                }
                _ => {
                    let message = format!("a merge takes a mapping or a list of mappings, not {}", merge.node.noun());
                    self.findings.error(merge.node.at, message);
                }
            }
        }
        for entry in sources.into_iter().flat_map(|source| source.entries) {
            if !seen.contains_key(&entry.key) {
                seen.insert(entry.key.clone(), entry.at);
                map.entries.push(entry);
            }
        }
        map
    }

    fn deep(&mut self, more: usize, at: Position) -> Result<(), Stop> {
        if self.stack.len() + more > limits::DEPTH {
            self.findings.error(at, format!("values nest more than {} deep here", limits::DEPTH));
            return Err(Stop);
        }
        Ok(())
    }

    fn weigh(&mut self, more: usize, at: Position) -> Result<(), Stop> {
        if !self.room.take(more) {
            self.findings.error(at, "with its aliases written out, the file becomes too large here");
            return Err(Stop);
        }
        Ok(())
    }

    fn not_yaml(&mut self, text: &str, error: &ScanError) -> Result<(), Stop> {
        let at = self.places.position(error.marker());
        let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        match line.get(..indent).and_then(|indent| indent.find('\t')) {
            Some(tab) => {
                // Everything before the tab is spaces, so its byte is its column.
                let at = Position { column: u32::try_from(tab).unwrap_or(u32::MAX).saturating_add(1), ..at };
                self.findings.error(at, "a tab cannot indent; use spaces");
            }
            None => self.findings.error(at, sentence(error.info())),
        }
        Err(Stop)
    }
}

/// The parser's sentences that people meet most, in words that say what to do.
fn sentence(info: &str) -> String {
    const WORDS: [(&str, &str); 10] = [
        ("invalid indentation in quoted scalar", "a quote opens here and never closes, or its lines are not indented"),
        ("found unknown anchor", "the alias names no anchor; write `&name` before the value it repeats"),
        (
            "mapping values are not allowed",
            "a `:` does not fit here; indent keys alike, or quote a value that holds `: `",
        ),
        ("found unexpected end of stream", "a quote opens here and never closes"),
        ("block sequence entries are not allowed", "a list starts on its own line, not behind a key or value"),
        ("expected ',' or ']'", "a list that opened with `[` never closes, or misses a comma"),
        ("expected ',' or '}'", "a mapping that opened with `{` never closes, or misses a comma"),
        ("could not find expected ':'", "a key without its `:`"),
        ("expected <block end>", "the indentation fits no line above"),
        ("recursion limit", "values nest too deep here"),
    ];
    let known = WORDS.iter().find(|(part, _)| info.contains(part));
    known.map_or_else(
        || format!("this is not YAML: {}", one_line(info, limits::REASON_CHARACTERS)),
        |(_, words)| (*words).to_owned(),
    )
}
