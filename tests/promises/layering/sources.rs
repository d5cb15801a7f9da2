//! Reads the imports among the files of a crate from the paths in their code.
//!
//! A path counts as an import from the file that defines the name, not from the modules that
//! re-export it. Code under `#[cfg(test)]` does not count.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, mem,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, ItemUse, Macro, UseTree, Visibility,
    buffer::{Cursor, TokenBuffer},
    visit::{self, Visit},
};

/// The importing and the defining file.
pub(super) type Edge = (PathBuf, PathBuf);

/// The imported names.
pub(super) type Imports = BTreeMap<Edge, BTreeSet<String>>;

/// The files of one crate.
pub(super) struct Crate {
    pub(super) files: Vec<File>,
    /// The index of each module's file.
    modules: HashMap<Vec<String>, usize>,
}

#[derive(Default)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) source: String,
    module: Vec<String>,
    /// The names of the items that the file defines.
    items: BTreeSet<String>,
    /// The path of each name that the file imports.
    uses: HashMap<String, Vec<String>>,
    /// All paths in the code, except re-exports.
    pub(super) paths: BTreeSet<Vec<String>>,
    /// The number of modules within the file around the visited code.
    inline_modules: usize,
}

impl Crate {
    pub(super) fn read(folder: &str, root: &str) -> Self {
        let mut files = Vec::new();
        read_folder(Path::new(folder), &mut |path| {
            let module = path.strip_prefix(folder).unwrap().with_extension("");
            let mut module: Vec<_> = module
                .iter()
                .map(|name| name.to_str().unwrap().to_owned())
                .collect();
            if path.ends_with("mod.rs") || module.join("/") + ".rs" == root {
                module.pop();
            }
            if !module.iter().any(|name| name == "tests") {
                files.push(File::parse(path, fs::read_to_string(path).unwrap(), module));
            }
        });
        Self {
            files,
            modules: HashMap::new(),
        }
    }

    pub(super) fn index(mut self) -> Self {
        let modules = self.files.iter().enumerate();
        self.modules = modules
            .map(|(index, file)| (file.module.clone(), index))
            .collect();
        assert!(self.modules.len() > 10, "the sources were not found");
        self
    }

    pub(super) fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for file in &self.files {
            for path in &file.paths {
                let Some((used, name)) = self.definition(file, path, 0) else {
                    continue;
                };
                if used.path != file.path {
                    let edge = (file.path.clone(), used.path.clone());
                    imports.entry(edge).or_default().insert(name);
                }
            }
        }
        imports
    }

    /// The file that defines what `path` names in `file`, and the name there. `None` for modules and
    /// for names of other crates.
    fn definition(&self, file: &File, path: &[String], depth: usize) -> Option<(&File, String)> {
        assert!(depth < 20, "{}: {path:?} has no end", file.path.display());
        let (mut module, mut rest) = match path[0].as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (file.module.clone(), &path[1..]),
            "super" => (parent(&file.module), &path[1..]),
            name if file.items.contains(name) || self.child(&file.module, name).is_some() => {
                (file.module.clone(), path)
            }
            name => {
                let used = [file.uses.get(name)?, &path[1..]].concat();
                // An import of a crate, such as `use url` or `use ::time`, names itself.
                return (used[0] != *name).then(|| self.definition(file, &used, depth + 1))?;
            }
        };
        loop {
            let (name, after) = rest.split_first()?;
            let current = &self.files[*self.modules.get(&module)?];
            if name == "super" {
                module = parent(&module);
            } else if name == "self" {
                // Stays in the module.
            } else if let Some(child) = self.child(&module, name) {
                module = child;
            } else if let Some(used) = current
                .uses
                .get(name)
                .filter(|_| !current.items.contains(name))
            {
                return self.definition(current, &[used, after].concat(), depth + 1);
            } else {
                return Some((current, name.clone()));
            }
            rest = after;
        }
    }

    fn child(&self, module: &[String], name: &str) -> Option<Vec<String>> {
        let child = [module, &[name.to_owned()]].concat();
        self.modules.contains_key(&child).then_some(child)
    }
}

fn parent(module: &[String]) -> Vec<String> {
    module[..module.len() - 1].to_vec()
}

fn read_folder(folder: &Path, read: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(&path, read);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            read(&path);
        }
    }
}

impl File {
    fn parse(path: &Path, source: String, module: Vec<String>) -> Self {
        let syntax = syn::parse_file(&source).unwrap();
        let mut file = Self {
            path: path.to_owned(),
            source,
            module,
            ..Self::default()
        };
        if !syntax.attrs.iter().any(is_for_tests) {
            file.items = syntax.items.iter().filter_map(item_name).collect();
            file.visit_file(&syntax);
        }
        file
    }

    fn add_use(&mut self, tree: &UseTree, mut path: Vec<String>, is_reexport: bool) {
        let (name, alias) = match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                return self.add_use(&tree.tree, path, is_reexport);
            }
            UseTree::Group(group) => {
                let add = |tree| self.add_use(tree, path.clone(), is_reexport);
                return group.items.iter().for_each(add);
            }
            UseTree::Glob(_) => {
                let is_own = ["crate", "self", "super"].contains(&path[0].as_str());
                assert!(
                    !is_own,
                    "{} imports {}::*",
                    self.path.display(),
                    path.join("::")
                );
                return;
            }
            UseTree::Name(tree) => (&tree.ident, &tree.ident),
            UseTree::Rename(tree) => (&tree.ident, &tree.rename),
        };
        let alias = if name == "self" {
            path.last().unwrap().clone()
        } else {
            alias.to_string()
        };
        if name != "self" {
            path.push(name.to_string());
        }
        for segment in path.iter_mut().take(self.inline_modules) {
            if segment == "super" {
                "self".clone_into(segment);
            }
        }
        if !is_reexport {
            self.paths.insert(path.clone());
        }
        self.uses.insert(alias, path);
    }

    /// Adds the paths among the tokens of a macro.
    fn add_paths(&mut self, mut cursor: Cursor) {
        let (mut path, mut colons) = (Vec::new(), 0);
        while !cursor.eof() {
            if let Some((ident, after)) = cursor.ident() {
                if colons != 2 {
                    self.paths
                        .extend(Some(mem::take(&mut path)).filter(|path| !path.is_empty()));
                }
                path.push(ident.to_string());
                (colons, cursor) = (0, after);
            } else if let Some((inside, _, _, after)) = cursor.any_group() {
                self.add_paths(inside);
                (colons, cursor) = (0, after);
            } else {
                let punct = cursor.punct();
                colons = if punct.is_some_and(|(punct, _)| punct.as_char() == ':') {
                    colons + 1
                } else {
                    0
                };
                cursor = cursor.token_tree().expect("the buffer has more tokens").1;
            }
        }
        self.paths
            .extend(Some(path).filter(|path| !path.is_empty()));
    }
}

impl<'ast> Visit<'ast> for File {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.inline_modules += 1;
        visit::visit_item_mod(self, item);
        self.inline_modules -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        self.add_use(&item.tree, Vec::new(), is_reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.paths.insert(segments.collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.visit_path(&item.path);
        self.add_paths(TokenBuffer::new2(item.tokens.clone()).begin());
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|condition| condition == "test" || condition == "doctest")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn item_name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Mod(item) if item.content.is_some() => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

#[test]
fn paths_are_read_from_uses_code_and_macros() {
    let source = "use crate::{jose::{Key, web}, web::Oten};
        // crate::comment
        pub use self::reexport::X;
        #[cfg(test)]
        use crate::tests::Y;
        fn f() { let x = crate::store::X; debug!(a: crate::seal::Z, \"crate::text\") }";
    let file = File::parse(
        Path::new("src/x.rs"),
        source.to_owned(),
        vec!["x".to_owned()],
    );
    let paths: Vec<_> = file.paths.iter().map(|path| path.join("::")).collect();
    let paths = paths.iter().filter(|path| path.contains("::"));
    let expected = [
        "crate::jose::Key",
        "crate::jose::web",
        "crate::seal::Z",
        "crate::store::X",
        "crate::web::Oten",
    ];
    assert!(paths.eq(expected.iter()), "{:?}", file.paths);
}
