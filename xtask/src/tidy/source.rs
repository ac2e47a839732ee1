//! One source file: how long it and its functions are, what its errors hold, what it encodes.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, File, ImplItem, ItemEnum, ItemImpl, ItemMod, Type};

use super::Finding;

/// A function is a screen long at most.
const FUNCTION_LINES: usize = 70;
/// A file is one idea long at most.
const FILE_LINES: usize = 600;

/// A type that implements `Wire` or `Record` under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// The name of its golden file.
    pub(crate) name: String,
    /// The type.
    pub(crate) type_name: String,
}

/// Checks lengths and errors.
pub(crate) fn check(place: &str, text: &str, file: &File) -> Vec<Finding> {
    let mut reader = Reader { place, findings: Vec::new(), tested: 0 };
    reader.visit_file(file);
    let lines = text.lines().count() - reader.tested;
    if lines > FILE_LINES {
        let what = format!("{lines} lines without tests, {FILE_LINES} are one idea");
        reader.findings.push(Finding::new(place, "file", what));
    }
    reader.findings
}

/// The types that a file gives a name on the wire or on the disk.
pub(crate) fn encoded(file: &File) -> Vec<Encoded> {
    let mut collector = Collector { found: Vec::new() };
    collector.visit_file(file);
    collector.found
}

struct Reader<'a> {
    place: &'a str,
    findings: Vec<Finding>,
    /// Lines inside test modules.
    tested: usize,
}

impl Reader<'_> {
    fn function(&mut self, name: &str, span: Span) {
        let lines = length(span);
        if lines > FUNCTION_LINES {
            let place = format!("{}:{}", self.place, span.start().line);
            let what = format!("{name} has {lines} lines, {FUNCTION_LINES} are a screen");
            self.findings.push(Finding::new(place, "function", what));
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if is_test(&module.attrs) {
            self.tested += length(module.span());
        } else {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig.ident.to_string(), function.block.span());
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig.ident.to_string(), function.block.span());
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        if derives_error(&item.attrs) {
            for variant in &item.variants {
                if is_only_text(&variant.fields) {
                    let place = format!("{}:{}", self.place, variant.span().start().line);
                    let what =
                        format!("{}::{} holds nothing but a text; say what it was about", item.ident, variant.ident);
                    self.findings.push(Finding::new(place, "error", what));
                }
            }
        }
    }
}

struct Collector {
    found: Vec<Encoded>,
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let Some((_, path, _)) = &item.trait_ else { return };
        let is_codec = path.segments.last().is_some_and(|part| part.ident == "Wire" || part.ident == "Record");
        // A generic implementation takes its name from the type inside, which has its own.
        let name = item.items.iter().find_map(literal_name).filter(|_| is_codec);
        if let (Some(name), Type::Path(path)) = (name, &*item.self_ty) {
            let type_name = path.path.segments.last().map(|part| part.ident.to_string()).unwrap_or_default();
            self.found.push(Encoded { name, type_name });
        }
    }
}

/// The text of `const NAME: … = "…"`.
fn literal_name(item: &ImplItem) -> Option<String> {
    let ImplItem::Const(constant) = item else { return None };
    let syn::Expr::Lit(literal) = &constant.expr else { return None };
    match &literal.lit {
        syn::Lit::Str(text) if constant.ident == "NAME" => Some(text.value()),
        _ => None,
    }
}

fn length(span: Span) -> usize {
    span.end().line - span.start().line + 1
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn derives_error(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let mut error = false;
        // A derive that cannot be parsed would not have compiled.
        let _ = attribute.parse_nested_meta(|meta| {
            error |= meta.path.segments.last().is_some_and(|part| part.ident == "Error");
            Ok(())
        });
        error
    })
}

/// Whether the only content is one `String`.
fn is_only_text(fields: &Fields) -> bool {
    let mut types = fields.iter().map(|field| &field.ty);
    let (first, second) = (types.next(), types.next());
    let text = |kind: &Type| matches!(kind, Type::Path(path) if path.path.segments.last().is_some_and(|part| part.ident == "String"));
    let anonymous_or_message = |field: &syn::Field| {
        field.ident.as_ref().is_none_or(|name| {
            ["message", "text", "msg", "error", "what", "reason"].contains(&name.to_string().as_str())
        })
    };
    second.is_none() && first.is_some_and(text) && fields.iter().all(anonymous_or_message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        let file = syn::parse_file(text).unwrap();
        check("x.rs", text, &file).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_planted_long_function_is_caught() {
        let function = |lines: usize| format!("fn long() {{\n{}}}\n", "    call();\n".repeat(lines));
        assert!(rules(&function(68)).is_empty());
        assert_eq!(rules(&function(69)), ["function"]);
        assert_eq!(rules(&format!("struct A;\nimpl A {{\n{}}}\n", function(69))), ["function"]);
        assert!(rules(&format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(69))).is_empty());
    }

    #[test]
    fn a_planted_long_file_is_caught() {
        assert!(rules(&"// line\n".repeat(600)).is_empty());
        assert_eq!(rules(&"// line\n".repeat(601)), ["file"]);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// line\n".repeat(600));
        assert!(rules(&format!("{}{tests}", "// line\n".repeat(590))).is_empty());
    }

    #[test]
    fn a_planted_error_of_text_is_caught() {
        let check = |variant: &str| rules(&format!("#[derive(Debug, thiserror::Error)]\nenum E {{ {variant} }}\n"));
        assert_eq!(check("A(String)"), ["error"]);
        assert_eq!(check("A { message: String }"), ["error"]);
        assert!(check("A { path: String, source: Io }").is_empty());
        assert!(check("A { name: String }").is_empty());
        assert!(rules("enum NotAnError { A(String) }").is_empty());
    }

    #[test]
    fn encoded_types_are_found() {
        let text = "impl Wire for Vote { const NAME: &'static str = \"vote\"; const LIMIT: usize = 1; }\n\
                    impl<T: Wire> Wire for Signed<T> { const NAME: &'static str = T::NAME; const LIMIT: usize = 1; }\n\
                    #[cfg(test)]\nmod tests { impl Record for Fake { const NAME: &'static str = \"fake\"; } }\n";
        let found = encoded(&syn::parse_file(text).unwrap());
        assert_eq!(found, [Encoded { name: "vote".into(), type_name: "Vote".into() }]);
    }
}
