//! The specification of layers as a slow, obvious program: a map from paths to files, each layer
//! in two phases. First its whiteouts, all of them, hide paths of the lower layers; then its
//! entries are added in order (image specification, `layer.md`, "Applying Changesets").

use std::collections::{BTreeMap, BTreeSet};

/// A path as its components.
pub(crate) type Path = Vec<String>;

/// One entry of a layer.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    File { path: Path, text: String },
    Dir { path: Path, mode: u16 },
    Symlink { path: Path, target: String },
    HardLink { path: Path, target: Path },
    Whiteout { path: Path },
    Opaque { dir: Path },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File(String),
    Dir,
    Symlink(String),
    /// A hard link whose target is not there yet.
    Waiting,
}

/// What a path leads to. Paths with the same identity are hard links of one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) mtime: u64,
    pub(crate) identity: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The layers are wrong.
    Invalid(&'static str),
    /// The layer hides or changes a symlink that paths of the same layer lead through, makes or hides
    /// directories that a whiteout comes by through a symlink, or hides what a hard link of it names.
    /// What that means depends on the order, and no specification says.
    OrderMatters,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// All paths but the root.
    pub(crate) nodes: BTreeMap<Path, Node>,
    identities: usize,
    clock: u64,
    /// Symlinks that any path of the layer led through; symlinks that came or went.
    crossed: BTreeSet<Path>,
    changed: BTreeSet<Path>,
}

type Outcome<T> = Result<T, Refusal>;

impl Model {
    /// Applies a layer. The entry at position i has the time `first_mtime + i`.
    pub(crate) fn apply(&mut self, layer: &[Op], first_mtime: u64) -> Outcome<()> {
        self.crossed.clear();
        self.changed.clear();
        let lower = self.clone();
        let hides = layer.iter().any(|op| matches!(op, Op::Whiteout { .. } | Op::Opaque { .. }));
        let hidden = self.hide(layer);
        let mut pending = Vec::new();
        let mut outcome = Ok(());
        for (index, op) in layer.iter().enumerate() {
            self.clock = first_mtime + index as u64;
            if hides {
                // Wherever in the layer a whiteout might stand, its path is looked up.
                self.cross_all(layer, &lower, &hidden)?;
            }
            outcome = self.add(op, &mut pending);
            if outcome.is_err() {
                break;
            }
        }
        if hides {
            self.cross_all(layer, &lower, &hidden)?;
            // Also where the layer is wrong in this order: in another it may be right.
            if self.crossed.intersection(&self.changed).next().is_some() {
                return Err(Refusal::OrderMatters);
            }
        }
        outcome?;
        self.add_pending(pending)
    }

    /// First phase; returns what was hidden.
    fn hide(&mut self, layer: &[Op]) -> BTreeSet<Path> {
        let mut hidden = BTreeSet::new();
        for op in layer {
            let (dir, name) = match op {
                Op::Whiteout { path } => (&path[..path.len() - 1], path.last()),
                Op::Opaque { dir } => (&dir[..], None),
                _ => continue,
            };
            let Some(mut top) = self.look_up(dir) else { continue };
            top.extend(name.cloned());
            let below = |path: &&Path| path.starts_with(&top) && (name.is_some() || path.len() > top.len());
            hidden.extend(self.nodes.keys().filter(below).cloned());
        }
        for path in &hidden {
            self.remove_one(path);
        }
        hidden
    }

    /// Second phase, one entry.
    fn add<'l>(&mut self, op: &'l Op, pending: &mut Vec<(&'l Op, Path, usize)>) -> Outcome<()> {
        let (path, kind, mode) = match op {
            Op::Whiteout { .. } | Op::Opaque { .. } => return Ok(()),
            Op::File { path, text } => (path, Kind::File(text.clone()), 0o644),
            Op::Dir { path, mode } => (path, Kind::Dir, *mode),
            Op::Symlink { path, target } => (path, Kind::Symlink(target.clone()), 0o777),
            Op::HardLink { path, target } => {
                let place = self.make_place(path)?;
                let same_place = self.target_place(target).as_ref() == Some(&place);
                match self.link_target(target)? {
                    Some(node) => self.replace(place, node),
                    // To itself, while that waits for its own target.
                    None if same_place && self.nodes.contains_key(&place) => {}
                    None => {
                        let node = self.node(Kind::Waiting, 0);
                        pending.push((op, place.clone(), node.identity));
                        self.replace(place, node);
                    }
                }
                return Ok(());
            }
        };
        let place = self.make_place(path)?;
        let is_dir = |node: &Node| node.kind == Kind::Dir;
        if kind == Kind::Dir && self.nodes.get(&place).is_some_and(is_dir) {
            let node = self.nodes.get_mut(&place).unwrap();
            (node.mode, node.mtime) = (mode, self.clock);
        } else {
            let node = self.node(kind, mode);
            self.replace(place, node);
        }
        Ok(())
    }

    /// Hard links whose target was not there yet.
    fn add_pending(&mut self, mut pending: Vec<(&Op, Path, usize)>) -> Outcome<()> {
        loop {
            let before = pending.len();
            let mut left = Vec::new();
            for (op, place, identity) in pending {
                let Op::HardLink { target, .. } = op else { unreachable!() };
                // A later entry has taken the path, or that of a directory on the way, and wins.
                if self.nodes.get(&place).is_none_or(|node| node.identity != identity) {
                    continue;
                }
                match self.link_target(target)? {
                    Some(node) => self.replace(place, node),
                    None => left.push((op, place, identity)),
                }
            }
            match left.len() {
                0 => return Ok(()),
                count if count == before => return Err(Refusal::Invalid("hard link to nothing")),
                _ => pending = left,
            }
        }
    }

    fn target_place(&mut self, target: &Path) -> Option<Path> {
        let mut place = self.look_up(&target[..target.len() - 1])?;
        place.push(target.last().unwrap().clone());
        Some(place)
    }

    fn link_target(&mut self, target: &Path) -> Outcome<Option<Node>> {
        let found = self.target_place(target);
        let node = found.and_then(|place| self.nodes.get(&place).cloned());
        match node {
            Some(node) if node.kind == Kind::Dir => Err(Refusal::Invalid("hard link to a directory")),
            node => Ok(node.filter(|node| node.kind != Kind::Waiting)),
        }
    }

    /// Looks up every path of the layer now and in the lower layers, to know the symlinks on the
    /// way, and whether a hard link names what is hidden.
    fn cross_all(&mut self, layer: &[Op], lower: &Self, hidden: &BTreeSet<Path>) -> Outcome<()> {
        let mut lower = lower.clone();
        for op in layer {
            let (path, target) = match op {
                Op::File { path, .. }
                | Op::Dir { path, .. }
                | Op::Symlink { path, .. }
                | Op::Whiteout { path } => (&path[..path.len() - 1], None),
                Op::HardLink { path, target } => (&path[..path.len() - 1], Some(target)),
                Op::Opaque { dir } => (&dir[..], None),
            };
            let places = [self.look_up(path), lower.look_up(path)];
            let led_elsewhere = places.iter().flatten().any(|place| place[..] != *path);
            let hides = matches!(op, Op::Whiteout { .. } | Op::Opaque { .. });
            if hides && led_elsewhere && places[0] != places[1] {
                return Err(Refusal::OrderMatters);
            }
            if let Some(target) = target {
                self.look_up(&target[..target.len() - 1]);
                if let Some(mut place) = lower.look_up(&target[..target.len() - 1]) {
                    place.push(target.last().unwrap().clone());
                    if hidden.contains(&place) {
                        return Err(Refusal::OrderMatters);
                    }
                }
            }
        }
        self.crossed.append(&mut lower.crossed);
        Ok(())
    }

    /// Where the entry `path` goes: its parents are resolved, and made where they are missing.
    fn make_place(&mut self, path: &[String]) -> Outcome<Path> {
        let (name, dir) = path.split_last().unwrap();
        let mut place = self.walk(dir, true)?.unwrap();
        place.push(name.clone());
        Ok(place)
    }

    fn look_up(&mut self, path: &[String]) -> Option<Path> {
        self.walk(path, false).ok().flatten()
    }

    /// Follows `path` to a directory. What is missing or no directory is made one, or ends the walk.
    fn walk(&mut self, path: &[String], make: bool) -> Outcome<Option<Path>> {
        let mut todo: Vec<String> = path.iter().rev().cloned().collect();
        let mut here = Path::new();
        let mut hops = 0;
        while let Some(name) = todo.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    here.pop();
                    continue;
                }
                _ => here.push(name),
            }
            match self.nodes.get(&here).map(|node| node.kind.clone()) {
                Some(Kind::Dir) => {}
                Some(Kind::Symlink(target)) => {
                    hops += 1;
                    self.crossed.insert(here.clone());
                    if hops > 40 {
                        return Err(Refusal::Invalid("symlink loop"));
                    }
                    here.pop();
                    if target.starts_with('/') {
                        here.clear();
                    }
                    todo.extend(target.split('/').rev().map(str::to_owned));
                }
                _ if !make => return Ok(None),
                _ => {
                    let node = self.node(Kind::Dir, 0o755);
                    self.replace(here.clone(), node);
                }
            }
        }
        Ok(Some(here))
    }

    fn node(&mut self, kind: Kind, mode: u16) -> Node {
        self.identities += 1;
        Node { kind, mode, mtime: self.clock, identity: self.identities }
    }

    fn replace(&mut self, place: Path, node: Node) {
        self.remove_all(&place);
        if matches!(node.kind, Kind::Symlink(_)) {
            self.changed.insert(place.clone());
        }
        self.nodes.insert(place, node);
    }

    fn remove_all(&mut self, place: &Path) {
        let gone: Vec<Path> = self.nodes.keys().filter(|path| path.starts_with(place)).cloned().collect();
        for path in gone {
            self.remove_one(&path);
        }
    }

    fn remove_one(&mut self, path: &Path) {
        if let Some(Node { kind: Kind::Symlink(_), .. }) = self.nodes.remove(path) {
            self.changed.insert(path.clone());
        }
    }
}
