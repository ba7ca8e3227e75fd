//! The paths in one file, and what it defines and re-exports.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, Meta, Path, UseTree, Visibility};

/// Segments of a path in the code.
pub(super) type Segments = Vec<String>;

/// What one file says.
#[derive(Clone, Debug, Default)]
pub(super) struct FilePaths {
    /// Names that it defines, those of modules inside it left out.
    pub(super) defined: BTreeSet<String>,
    /// Names that it re-exports, each with the path behind it.
    pub(super) exported: BTreeMap<String, Segments>,
    /// Modules of which it re-exports everything.
    pub(super) exported_globs: Vec<Segments>,
    /// Names that it imports for itself.
    pub(super) imported: BTreeMap<String, Segments>,
    /// All other paths, each with the modules inside the file that it is in.
    pub(super) used: BTreeSet<(Segments, Segments)>,
}

impl FilePaths {
    /// Adds what the code of one file says; a library and its program share their root.
    pub(super) fn read(&mut self, code: &str) -> syn::Result<()> {
        let file = syn::parse_file(code)?;
        let mut reader = PathReader { paths: self, inside: Vec::new() };
        reader.visit_file(&file);
        Ok(())
    }
}

struct PathReader<'a> {
    paths: &'a mut FilePaths,
    /// The modules inside the file that the reader is in.
    inside: Segments,
}

impl PathReader<'_> {
    fn use_path(&mut self, segments: Segments) {
        if segments.len() > 1 {
            self.paths.used.insert((self.inside.clone(), segments));
        }
    }

    fn use_tree(&mut self, before: &Segments, tree: &UseTree, is_exported: bool) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Segments>();
        match tree {
            UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree, is_exported),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(before, tree, is_exported);
                }
            }
            UseTree::Glob(_) if is_exported => self.paths.exported_globs.push(before.clone()),
            // The module itself, whatever is used of it.
            UseTree::Glob(_) => self.use_path(before.iter().cloned().chain(["*".to_owned()]).collect()),
            UseTree::Name(name) => self.use_name(with(&name.ident), name.ident.to_string(), is_exported),
            UseTree::Rename(name) => self.use_name(with(&name.ident), name.rename.to_string(), is_exported),
        }
    }

    fn use_name(&mut self, mut segments: Segments, mut name: String, is_exported: bool) {
        if name == "self" {
            segments.pop();
            name = segments.last().cloned().unwrap_or_default();
        }
        if is_exported {
            self.paths.exported.insert(name, segments);
        } else {
            if self.inside.is_empty() {
                self.paths.imported.insert(name, segments.clone());
            }
            self.use_path(segments);
        }
    }

    /// Finds paths in what a macro is given: names with `::` between them.
    fn use_tokens(&mut self, tokens: TokenStream) {
        let (mut segments, mut colons) = (Segments::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.use_path(std::mem::take(&mut segments));
                    }
                    segments.push(name.to_string());
                }
                other => {
                    self.use_path(std::mem::take(&mut segments));
                    if let TokenTree::Group(group) = other {
                        self.use_tokens(group.stream());
                    }
                }
            }
            colons = 0;
        }
        self.use_path(segments);
    }
}

impl<'code> Visit<'code> for PathReader<'_> {
    fn visit_item(&mut self, item: &'code Item) {
        let (attributes, name) = attributes_and_name(item);
        if attributes.iter().any(is_for_tests) {
            return;
        }
        if self.inside.is_empty() {
            self.paths.defined.extend(name);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'code ItemMod) {
        self.inside.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.inside.pop();
    }

    fn visit_item_use(&mut self, item: &'code ItemUse) {
        let is_exported = self.inside.is_empty() && !matches!(item.vis, Visibility::Inherited);
        self.use_tree(&Segments::new(), &item.tree, is_exported);
    }

    fn visit_path(&mut self, path: &'code Path) {
        self.use_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'code Macro) {
        self.visit_path(&call.path);
        self.use_tokens(call.tokens.clone());
    }

    // `pub(super)` needs nothing of the parent.
    fn visit_visibility(&mut self, _: &'code Visibility) {}

    // Arguments of attributes are code; what derives and comments hold is not.
    fn visit_attribute(&mut self, attribute: &'code Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.use_tokens(list.tokens.clone());
        }
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<Path>().is_ok_and(|condition| condition.is_ident("test"))
}

fn attributes_and_name(item: &Item) -> (&[Attribute], Option<String>) {
    let (attributes, name) = match item {
        Item::Const(item) => (&item.attrs, Some(&item.ident)),
        Item::Enum(item) => (&item.attrs, Some(&item.ident)),
        Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
        Item::Static(item) => (&item.attrs, Some(&item.ident)),
        Item::Struct(item) => (&item.attrs, Some(&item.ident)),
        Item::Trait(item) => (&item.attrs, Some(&item.ident)),
        Item::Type(item) => (&item.attrs, Some(&item.ident)),
        Item::Union(item) => (&item.attrs, Some(&item.ident)),
        Item::Impl(item) => (&item.attrs, None),
        Item::Mod(item) => (&item.attrs, None),
        Item::Use(item) => (&item.attrs, None),
        _ => return (&[], None),
    };
    (attributes, name.map(ToString::to_string))
}
