//! No files of a crate import each other in a circle, as their `use` lines say it.
//!
//! A name that a module only hands on counts as its owner's, as far as that can be read. A module and its parts are one
//! thing in several files: what a part takes from a module that it is in does not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::rust_files;
use crate::support::source;

pub(super) const CRATES: &[&str] = &[
    "bench/src",
    "control-plane/src",
    "data-plane/src",
    "guard/src",
    "outbound/src",
    "harness/src",
    "standalone/src",
    "locks/src",
    "telemetry/src",
    "verify/src",
];

/// A module by its path in the crate; the crate itself is empty.
type Module = Vec<String>;

/// What a `use` line takes: its path, and the name that it has here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Import {
    path: Vec<String>,
    name: String,
    /// It is handed on, and may not be used here at all.
    is_handed_on: bool,
}

/// The modules of a crate with what they import, and the rest of their text.
struct House(BTreeMap<Module, (Vec<Import>, String)>);

/// Who takes what of whom.
type Arrows = BTreeMap<Module, BTreeMap<Module, BTreeSet<String>>>;

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let circles = CRATES.iter().filter_map(|folder| {
        let arrows = House::read(&source().join(folder)).arrows();
        let circle = circle(&arrows);
        circle.map(|circle| format!("{folder}: {}", describe(&circle, &arrows)))
    });
    let circles = circles.collect::<Vec<_>>();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

impl House {
    fn read(folder: &Path) -> Self {
        let files = rust_files(folder).into_iter();
        let files = files.filter(|file| !file.to_string_lossy().contains("tests"));
        let modules = files.filter_map(|file| {
            let text = fs::read_to_string(&file).expect("source is readable UTF-8");
            Some((module(folder, &file)?, read(&text)))
        });
        Self(modules.collect())
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (module, (imports, text)) in &self.0 {
            for import in imports {
                let is_used = !import.is_handed_on || has_word(text, &import.name);
                let Some(owner) = self.owner(&import.path, module, 0) else {
                    continue;
                };
                if is_used && !module.starts_with(&owner) {
                    let of_owner = arrows.entry(module.clone()).or_default();
                    let names = of_owner.entry(owner).or_default();
                    names.insert(import.name.clone());
                }
            }
        }
        arrows
    }

    /// The module that owns what a path leads to. None: it is another crate's.
    fn owner(&self, path: &[String], within: &Module, depth: usize) -> Option<Module> {
        let mut rest = path;
        let mut module = within.clone();
        match rest.first()?.as_str() {
            "crate" => (module, rest) = (Module::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    module.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let part = [within.as_slice(), &[first.to_owned()]].concat();
                if !self.0.contains_key(&part) {
                    return self.handed_on(rest, within, depth);
                }
            }
        }
        while let Some(first) = rest.first() {
            let part = [module.as_slice(), std::slice::from_ref(first)].concat();
            if !self.0.contains_key(&part) {
                break;
            }
            (module, rest) = (part, &rest[1..]);
        }
        self.handed_on(rest, &module, depth)
            .or_else(|| self.0.contains_key(&module).then_some(module))
    }

    /// The owner of what a module has by a `use` line of its own.
    fn handed_on(&self, path: &[String], module: &Module, depth: usize) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let (imports, _) = self.0.get(module)?;
        let import = imports.iter().find(|import| import.name == *first)?;
        if depth > 8 || import.path == path {
            return None;
        }
        let path = [import.path.as_slice(), rest].concat();
        self.owner(&path, module, depth + 1)
    }
}

/// The module that a file is. None: it is the program of a crate that is a library too.
fn module(folder: &Path, file: &Path) -> Option<Module> {
    let path = file.strip_prefix(folder).expect("it was found in there");
    let path = path.with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let mut parts = parts.collect::<Vec<_>>();
    match parts.last().map(String::as_str) {
        Some("main") if parts.len() == 1 && folder.join("lib.rs").exists() => return None,
        Some("lib" | "main") if parts.len() == 1 => parts.clear(),
        Some("mod") => {
            parts.pop();
        }
        _ => {}
    }
    Some(parts)
}

/// The imports of a file, and its text without them, comments and tests.
fn read(text: &str) -> (Vec<Import>, String) {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let (mut imports, mut rest, mut open) = (Vec::new(), String::new(), None::<(bool, String)>);
    for line in lines {
        let begun = line.split_once("use ").filter(|(before, _)| {
            before.is_empty() || (before.starts_with("pub") && before.ends_with(' '))
        });
        match (&mut open, begun) {
            (Some((_, tree)), _) => tree.push_str(line.trim()),
            (None, Some((before, tree))) => open = Some((!before.is_empty(), tree.to_owned())),
            (None, None) => rest.extend([line, "\n"]),
        }
        if let Some((is_handed_on, tree)) = open.take_if(|(_, tree)| tree.ends_with(';')) {
            expand(&[], tree.trim_end_matches(';'), is_handed_on, &mut imports);
        }
    }
    (imports, rest)
}

/// Takes a tree of imports apart.
fn expand(before: &[String], tree: &str, is_handed_on: bool, imports: &mut Vec<Import>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let head = head
            .split("::")
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let head = [before, &head.map(str::to_owned).collect::<Vec<_>>()].concat();
        let group = group.strip_suffix('}').expect("a group is closed");
        for part in parts(group) {
            expand(&head, part, is_handed_on, imports);
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
    let path = path.split("::").map(|part| part.trim().to_owned());
    let mut path = [before, &path.collect::<Vec<_>>()].concat();
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let last = path.last().expect("a path has parts").clone();
    imports.push(Import {
        name: if alias.is_empty() {
            last
        } else {
            alias.to_owned()
        },
        path,
        is_handed_on,
    });
}

/// What stands between the commas of a group, groups within it whole.
fn parts(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[begin..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|char: char| !char.is_alphanumeric() && char != '_')
        .any(|other| other == word)
}

/// Modules that lead to each other, if there are any: the path from one back to itself.
fn circle(arrows: &Arrows) -> Option<Vec<Module>> {
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|module| {
        let mut path = Vec::new();
        walk(module, arrows, &mut path, &mut done)
    })
}

fn walk(
    module: &Module,
    arrows: &Arrows,
    path: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<Module>> {
    if let Some(begin) = path.iter().position(|earlier| earlier == module) {
        return Some(path[begin..].to_vec());
    }
    if done.contains(module) {
        return None;
    }
    path.push(module.clone());
    let next = arrows.get(module).into_iter().flat_map(BTreeMap::keys);
    let found = next
        .into_iter()
        .find_map(|next| walk(next, arrows, path, done));
    path.pop();
    done.insert(module.clone());
    found
}

fn describe(circle: &[Module], arrows: &Arrows) -> String {
    let next = circle.iter().cycle().skip(1);
    let steps = circle.iter().zip(next).map(|(module, next)| {
        let names = arrows.get(module).and_then(|of| of.get(next));
        let names = names.map(|names| names.iter().cloned().collect::<Vec<_>>().join(", "));
        let [module, next] = [module, next].map(|module| module.join("::"));
        format!("{module} takes {} of {next}", names.unwrap_or_default())
    });
    steps.collect::<Vec<_>>().join("; ")
}

#[test]
fn a_circle_is_found_and_named_and_a_part_may_look_back() {
    let house = |files: &[(&str, &str)]| {
        let modules = files.iter().map(|(path, text)| {
            let module = path.split("::").filter(|part| !part.is_empty());
            (module.map(str::to_owned).collect::<Module>(), read(text))
        });
        House(modules.collect()).arrows()
    };
    let found = house(&[
        ("", "mod a;\nmod b;\npub use a::{One, Two as Deux};\n"),
        ("a", "use crate::{\n    b::{self, Three},\n};\n"),
        ("b", "use super::Deux;\n"),
    ]);
    let named = circle(&found).expect("there is one");
    assert_eq!(
        describe(&named, &found),
        "a takes Three, b of b; b takes Deux of a"
    );
    let none = house(&[
        (
            "a",
            "mod part;\npub(crate) use self::part::Part;\nstruct Own(Part);\n",
        ),
        ("a::part", "use super::Own;\nuse std::sync::Arc;\n"),
        ("b", "use crate::a::Part;\n"),
    ]);
    assert_eq!(circle(&none), None);
}
