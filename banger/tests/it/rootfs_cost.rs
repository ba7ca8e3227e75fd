//! What the commands on ext4 files cost: with twice the names, entries, extents or arguments, twice as
//! much. Counted in blocks asked for and path components looked up, not in seconds.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use banger::rootfs::{
    ChangeOwner, Destination, Edit, GuestPath, MakeDirectory, MakeLink, ModeChange, Move, Operand,
    OwnerChange, Put, PutSource, Remove, Rootfs as _, Timestamp, View,
};
use banger::{Cancellation, InjectRequest, inject_rootfs};
use banger_ext4::{EditorEffort, Ext4Editor};
use banger_testkit::{Skip, require, tools};
use camino::Utf8Path;
use tempfile::TempDir;

/// Names, entries or arguments of the smallest case.
const COUNT: usize = 300;

/// Which directories an image has.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Lists of names, as `mkfs.ext4 -d` leaves them.
    Lists,
    /// Lists of names that no index may ever be made of.
    NoIndex,
    /// Hash trees, made by the kernel.
    Indexed,
}

struct Fixture {
    dir: TempDir,
    image: PathBuf,
    count: usize,
}

impl Fixture {
    /// Makes an image with `count` files in `/d` and `count` entries below `/tree`.
    fn new(kind: Kind, count: usize) -> Result<Self, Skip> {
        let dir = tempfile::tempdir().unwrap();
        let (model, image) = (dir.path().join("model"), dir.path().join("image"));
        fs::create_dir_all(model.join("d")).unwrap();
        fs::create_dir_all(model.join("etc")).unwrap();
        fs::write(model.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:7:8::/:/bin/sh\n").unwrap();
        fs::create_dir_all(model.join("empty")).unwrap();
        for number in 0..count {
            fs::write(model.join(format!("d/{}", name(number))), "x").unwrap();
            let below = model.join(format!("tree/{}", number / 50));
            fs::create_dir_all(&below).unwrap();
            fs::write(below.join(name(number)), "x").unwrap();
        }
        let options = if matches!(kind, Kind::NoIndex) { "^dir_index" } else { "dir_index" };
        let mut mkfs = tools::command("mkfs.ext4")?;
        mkfs.args(["-q", "-b", "1024", "-O", options, "-N", "8000", "-J", "size=16", "-d"]);
        tools::run(mkfs.arg(&model).arg(&image).arg("64M"));
        if matches!(kind, Kind::Indexed) {
            // The editor makes an index as soon as there is a reason to: -D is how e2fsck does.
            let mut fsck = tools::command("e2fsck")?;
            let _status = fsck.args(["-fyD"]).arg(&image).output().unwrap();
        }
        Ok(Self { dir, image, count })
    }

    fn open(&self) -> Ext4Editor {
        Ext4Editor::open_to_edit(Utf8Path::from_path(&self.image).unwrap()).unwrap()
    }
}

fn name(number: usize) -> String {
    // So long that a few of them fill a block.
    format!("{number:06}-{}", "n".repeat(60))
}

fn path(text: &str) -> GuestPath {
    GuestPath::parse(text).unwrap()
}

fn operand(text: &str) -> Operand {
    Operand::parse(text.as_bytes()).unwrap()
}

fn paths(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("/d/{}", name(number)))
}

/// A command on the image of a fixture.
type Command = fn(&mut Edit<'_>, &Fixture);

fn read_only(fixture: &Fixture, look: impl Fn(&View<'_>)) -> EditorEffort {
    let editor = fixture.open();
    let before = editor.effort();
    look(&View::new(&editor).unwrap());
    since(before, editor.effort())
}

fn edited(fixture: &Fixture, command: Command) -> EditorEffort {
    let mut editor = fixture.open();
    let before = editor.effort();
    let mut edit = Edit::new(&mut editor, Timestamp::from_seconds(1), &Cancellation::default());
    command(&mut edit, fixture);
    edit.commit().unwrap();
    since(before, editor.effort())
}

fn since(before: EditorEffort, after: EditorEffort) -> EditorEffort {
    let mut effort = EditorEffort::default();
    effort.block_reads = after.block_reads - before.block_reads;
    effort.lookups = after.lookups - before.lookups;
    effort
}

/// Checks efforts for n, 2n and 4n.
#[track_caller]
fn assert_linear(what: &str, efforts: &[EditorEffort]) {
    for count in [|effort: &EditorEffort| effort.block_reads, |effort: &EditorEffort| effort.lookups] {
        let [once, twice, four] = [0, 1, 2].map(|at| count(&efforts[at]));
        // An index that grows a level costs a little more; n² would be eight times as much and more.
        let most = |times: u64| once * times * 3 / 2 + 500;
        assert!(twice <= most(2) && four <= most(4), "{what}: {efforts:?}");
        assert!(four > 0 || count(&efforts[2]) == 0, "{what} did nothing");
    }
}

const COMMANDS: [(&str, Command); 13] = [
    ("put of n arguments", |edit, fixture| {
        let file = fixture.dir.path().join("model/etc/passwd");
        for number in 0..fixture.count {
            let to = format!("/empty/{}", name(number));
            let destination = Destination::parse(to.as_bytes()).unwrap();
            edit.put(vec![PutSource::Path(file.clone())], &destination, &Put::default()).unwrap();
        }
    }),
    ("put -r of n files over n files", |edit, fixture| {
        let source = PutSource::Path(fixture.dir.path().join("model/d"));
        edit.put(vec![source], &Destination::parse(b"/").unwrap(), &Put::default()).unwrap();
    }),
    ("put -r of a tree", |edit, fixture| {
        let source = PutSource::Path(fixture.dir.path().join("model/tree"));
        edit.put(vec![source], &Destination::parse(b"/new").unwrap(), &Put::default()).unwrap();
    }),
    ("mkdir", |edit, fixture| {
        for number in 0..fixture.count {
            edit.make_directory(&path(&format!("/d/dir-{number}")), &MakeDirectory::default()).unwrap();
        }
    }),
    ("ln", |edit, fixture| {
        let targets: Vec<String> = paths(fixture.count).collect();
        let targets: Vec<&[u8]> = targets.iter().map(String::as_bytes).collect();
        edit.link(&targets, &Destination::parse(b"/empty").unwrap(), MakeLink::default()).unwrap();
    }),
    ("ln -s", |edit, fixture| {
        let how = MakeLink::default().with_symbolic(true);
        for number in 0..fixture.count {
            let link = Destination::parse(format!("/d/link-{number}").as_bytes()).unwrap();
            edit.link(&[b"x"], &link, how).unwrap();
        }
    }),
    ("mv within a directory", |edit, fixture| {
        for from in paths(fixture.count) {
            let to = Destination::parse(format!("{from}-new").as_bytes()).unwrap();
            edit.rename(&[operand(&from)], &to, Move::default()).unwrap();
        }
    }),
    ("mv to another", |edit, fixture| {
        let sources: Vec<Operand> = paths(fixture.count).map(|path| operand(&path)).collect();
        edit.rename(&sources, &Destination::parse(b"/empty/").unwrap(), Move::default()).unwrap();
    }),
    ("rm", |edit, fixture| {
        for path in paths(fixture.count) {
            edit.remove(&operand(&path), Remove::default()).unwrap();
        }
    }),
    ("rm -r", |edit, _| {
        let how = Remove::default().with_recursive(true);
        edit.remove(&operand("/d"), how).unwrap();
        edit.remove(&operand("/tree"), how).unwrap();
    }),
    ("chmod", |edit, fixture| {
        let change: ModeChange = "600".parse().unwrap();
        for path in paths(fixture.count) {
            edit.change_mode(&operand(&path), &change, false).unwrap();
        }
        edit.change_mode(&operand("/tree"), &change, true).unwrap();
    }),
    ("chown", |edit, fixture| {
        let owner = OwnerChange::parse(b"app:").unwrap();
        let how = |recursive| ChangeOwner::default().with_recursive(recursive).with_dereference(true);
        for path in paths(fixture.count) {
            edit.change_owner(&operand(&path), &owner, how(false)).unwrap();
        }
        edit.change_owner(&operand("/tree"), &owner, how(true)).unwrap();
    }),
    ("rm and put in turns", |edit, fixture| {
        for path in paths(fixture.count) {
            edit.remove(&operand(&path), Remove::default()).unwrap();
            let to = Destination::parse(path.as_bytes()).unwrap();
            edit.put(vec![PutSource::Reader(&mut &b"y"[..])], &to, &Put::default()).unwrap();
        }
    }),
];

#[test]
fn commands_cost_as_much_as_they_have_to_do() {
    for kind in [Kind::Lists, Kind::NoIndex, Kind::Indexed] {
        let fixtures: Vec<Fixture> = require!(
            [1, 2, 4].into_iter().map(|times| Fixture::new(kind, COUNT * times)).collect::<Result<_, _>>()
        );
        let check = |what: &str, measure: &dyn Fn(&Fixture) -> EditorEffort| {
            let efforts: Vec<EditorEffort> = fixtures.iter().map(measure).collect();
            assert_linear(&format!("{what} on {kind:?}"), &efforts);
        };
        check("ls", &|fixture| {
            read_only(fixture, |view| {
                assert_eq!(view.list(&path("/d")).unwrap().entries.len(), fixture.count);
            })
        });
        check("ls -R", &|fixture| {
            read_only(fixture, |view| drop(view.list_all(&GuestPath::root()).unwrap()))
        });
        check("cat", &|fixture| {
            read_only(fixture, |view| {
                for name in paths(fixture.count) {
                    view.check_file(&path(&name)).unwrap();
                    view.copy_to(&path(&name), &mut Vec::new()).unwrap();
                }
            })
        });
        check("stat", &|fixture| {
            read_only(fixture, |view| {
                paths(fixture.count).for_each(|name| drop(view.entry(&path(&name)).unwrap()))
            })
        });
        for (what, command) in COMMANDS {
            let before: Vec<PathBuf> =
                fixtures.iter().map(|fixture| fixture.image.with_extension("bak")).collect();
            for (fixture, copy) in fixtures.iter().zip(&before) {
                tools::run(
                    require!(tools::command("cp")).arg("--sparse=always").arg(&fixture.image).arg(copy),
                );
            }
            check(what, &|fixture| edited(fixture, command));
            require!(banger_testkit::assert_silent(&fixtures[2].image));
            for (fixture, copy) in fixtures.iter().zip(&before) {
                fs::rename(copy, &fixture.image).unwrap();
            }
        }
        check("inject", &|fixture| {
            let mut editor = fixture.open();
            let before = editor.effort();
            inject_rootfs(&mut editor, &InjectRequest::default()).unwrap();
            editor.commit().unwrap();
            since(before, editor.effort())
        });
        check("resize", &|fixture| {
            let mut editor = fixture.open();
            let before = editor.effort();
            let times = u64::try_from(fixture.count / COUNT).unwrap();
            editor.grow((64 << 20) + (times << 30)).unwrap();
            since(before, editor.effort())
        });
    }
}

/// Blocks of ones and of zeros in turns, so that each second one is an extent.
struct Stripes {
    blocks: usize,
    at: usize,
}

impl Read for Stripes {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let rest = (self.blocks * 4096).saturating_sub(self.at).min(buffer.len());
        for byte in &mut buffer[..rest] {
            *byte = u8::from((self.at / 4096).is_multiple_of(2));
            self.at += 1;
        }
        Ok(rest)
    }
}

#[test]
fn files_of_many_extents_cost_as_much_as_their_extents() {
    let all: Vec<[EditorEffort; 3]> = [1, 2, 4]
        .into_iter()
        .map(|times| {
            let fixture = require_ok(Fixture::new(Kind::Lists, 10));
            let mut editor = fixture.open();
            let mut stages = Vec::new();
            let start = editor.effort();
            let mut edit = Edit::new(&mut editor, Timestamp::from_seconds(1), &Cancellation::default());
            let mut stripes = Stripes { blocks: 2000 * times, at: 0 };
            let to = Destination::parse(b"/striped").unwrap();
            edit.put(vec![PutSource::Reader(&mut stripes)], &to, &Put::default()).unwrap();
            edit.commit().unwrap();
            stages.push(since(start, editor.effort()));
            let start = editor.effort();
            let mut bytes = Vec::new();
            View::new(&editor).unwrap().copy_to(&path("/striped"), &mut bytes).unwrap();
            assert_eq!((bytes.len(), bytes[0], bytes[4096]), (2000 * times * 4096, 1, 0));
            stages.push(since(start, editor.effort()));
            let start = editor.effort();
            editor.remove(&path("/striped")).unwrap();
            editor.commit().unwrap();
            stages.push(since(start, editor.effort()));
            stages.try_into().unwrap()
        })
        .collect();
    for (at, what) in ["put", "cat", "rm"].into_iter().enumerate() {
        let efforts: Vec<EditorEffort> = all.iter().map(|stages| stages[at]).collect();
        assert_linear(what, &efforts);
    }
}

fn require_ok<T>(value: Result<T, Skip>) -> T {
    value.unwrap_or_else(|_| panic!("mkfs.ext4 is missing"))
}

/// A tree so deep that each path from the root would be a long walk.
#[test]
fn deep_trees_cost_as_much_as_their_directories() {
    let fixture = require!(Fixture::new(Kind::Lists, 10));
    let mut efforts: Vec<(EditorEffort, EditorEffort, EditorEffort)> = Vec::new();
    for depth in [200, 400, 800] {
        let mut editor = fixture.open();
        let mut at = GuestPath::root();
        for _ in 0..depth {
            at = at.join(b"down").unwrap();
            editor.create_dir(&at, &banger::rootfs::Attributes::with_mode(0o755)).unwrap();
        }
        let start = editor.effort();
        assert_eq!(View::new(&editor).unwrap().list_all(&path("/down")).unwrap().len(), depth);
        let listed = editor.effort();
        let mut edit = Edit::new(&mut editor, Timestamp::from_seconds(1), &Cancellation::default());
        edit.change_mode(&operand("/down"), &"700".parse().unwrap(), true).unwrap();
        drop(edit);
        let changed = editor.effort();
        let mut edit = Edit::new(&mut editor, Timestamp::from_seconds(1), &Cancellation::default());
        edit.remove(&operand("/down"), Remove::default().with_recursive(true)).unwrap();
        drop(edit);
        efforts.push((since(start, listed), since(listed, changed), since(changed, editor.effort())));
    }
    assert_linear("ls -R", &efforts.iter().map(|(effort, ..)| *effort).collect::<Vec<_>>());
    assert_linear("chmod -R", &efforts.iter().map(|(_, effort, _)| *effort).collect::<Vec<_>>());
    assert_linear("rm -r", &efforts.iter().map(|(.., effort)| *effort).collect::<Vec<_>>());
}

/// `rootfs build` reads a host's directory once: a bound far away, for a machine that is busy.
#[test]
fn a_build_of_many_names_ends() {
    let fixture = require!(Fixture::new(Kind::Lists, 4 * COUNT));
    let started = std::time::Instant::now();
    let request =
        banger::BuildRequest::new(camino::Utf8PathBuf::try_from(fixture.dir.path().join("model")).unwrap());
    let file = camino::Utf8PathBuf::try_from(fixture.dir.path().join("built")).unwrap();
    banger::build_rootfs(&request, &file, &banger::EventHandler::none(), &Cancellation::default()).unwrap();
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    let names = |file: &Path| {
        let editor = Ext4Editor::open(Utf8Path::from_path(file).unwrap()).unwrap();
        editor.read_dir(&path("/d")).unwrap().len()
    };
    assert_eq!(names(file.as_std_path()), names(&fixture.image));
}
