//! The directory of containerd, also while containerd writes to it.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use banger_oci::PullError;
use banger_testkit::{Skip, require, tools};
use banger_tree::{ErrorKind, Failure as _};
use camino::Utf8PathBuf;

use crate::pull_support::*;
use crate::source_support::*;

/// A running containerd with the image of [`two_layers`], which is in a layout, too.
struct Containerd {
    service: Child,
    bench: Bench,
    root: Utf8PathBuf,
}

impl Drop for Containerd {
    fn drop(&mut self) {
        drop(self.service.kill());
        drop(self.service.wait());
    }
}

impl Containerd {
    fn start() -> Result<Self, Skip> {
        tools::root("containerd")?;
        tools::tool("ctr")?;
        let bench = Bench::new();
        let (dir, root) = (bench.path(), bench.path().join("root"));
        let config = format!(
            "version = 2\nroot = \"{root}\"\nstate = \"{dir}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
             [grpc]\naddress = \"{dir}/c.sock\"\n"
        );
        std::fs::write(dir.join("config.toml"), config).unwrap();
        let mut command = tools::command("containerd")?;
        command.args(["--config", dir.join("config.toml").as_str()]);
        let service = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut containerd = Self { service, bench, root };
        let end = Instant::now() + Duration::from_secs(60);
        while tools::try_run(containerd.ctr(&["version"])).is_err() {
            assert!(Instant::now() < end, "containerd does not answer");
            assert!(containerd.service.try_wait().unwrap().is_none(), "containerd has ended");
            thread::sleep(Duration::from_millis(50));
        }
        write_two_layers(&dir.join("layout"));
        let mut layout = banger_testkit::LayoutBuilder::new();
        layout.add_tagged(&two_layers(), NAME);
        std::fs::write(dir.join("app.tar"), layout.archive()).unwrap();
        let archive = dir.join("app.tar");
        for namespace in ["default", "k8s.io"] {
            let import = ["--namespace", namespace, "image", "import", "--no-unpack", archive.as_str()];
            tools::run(containerd.ctr(&import));
        }
        Ok(containerd)
    }

    fn ctr(&self, arguments: &[&str]) -> &'static mut Command {
        let mut command = tools::command("ctr").unwrap();
        command.args(["--address", self.bench.path().join("c.sock").as_str()]).args(arguments);
        Box::leak(Box::new(command))
    }

    fn tag(&self, names: &[String]) {
        let arguments = ["image", "tag", "--force", NAME];
        let names = names.iter().map(String::as_str);
        tools::run(self.ctr(&arguments.into_iter().chain(names).collect::<Vec<_>>()));
    }
}

#[test]
fn an_image_of_containerd_is_that_of_its_layout() {
    let containerd = require!(Containerd::start());
    let (bench, root) = (&containerd.bench, &containerd.root);
    let wanted = bench.pull(&format!("oci:{}:2", bench.path().join("layout"))).unwrap();
    let (digest, layers) = (&wanted.digest, tars(&wanted));
    // Enough names for a tree of pages.
    let names: Vec<String> =
        (0..150).map(|at| format!("docker.io/library/{}:{at}", "long-name-".repeat(15))).collect();
    for some in names.chunks(50) {
        containerd.tag(some);
    }
    for reference in [
        format!("containerd:{root}:{NAME}"),
        format!("containerd:{root}:app:2"),
        format!("containerd:{root}:{}", names[149]),
        format!("containerd:{root}:k8s.io:{NAME}"),
        format!("containerd:{root}:k8s.io:app:2@{digest}"),
        format!("containerd:{root}@{digest}"),
    ] {
        let image = bench.pull(&reference).unwrap_or_else(|error| panic!("{reference}: {error}"));
        assert_eq!((&image.digest, tars(&image)), (digest, layers.clone()), "{reference}");
        assert_eq!(image.reference.to_string(), reference);
    }
    for (reference, says) in [
        (format!("containerd:{root}:app:3"), "it has docker.io/library/app:2"),
        (format!("containerd:{root}:none:x:1"), "the namespaces default, k8s.io"),
        (format!("containerd:{root}:app:2@{}", banger_oci::Digest::of(b"x")), "it has docker.io"),
    ] {
        let error = bench.pull(&reference).unwrap_err();
        assert!(matches!(&error, PullError::UnknownImage { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    // A database that is written all the while gives the right image each time.
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..8 {
                containerd.tag(&[
                    format!("docker.io/library/app:r{round}"),
                    format!("docker.io/library/b:{round}"),
                ]);
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            let image = bench.pull(&format!("containerd:{root}:{NAME}")).unwrap();
            assert_eq!(image.digest, *digest);
        }
    });
}

#[test]
fn a_damaged_directory_of_containerd_is_said() {
    let mut containerd = require!(Containerd::start());
    drop(containerd.service.kill());
    drop(containerd.service.wait());
    let (bench, root) = (&containerd.bench, &containerd.root);
    let reference = format!("containerd:{root}:{NAME}");
    let wanted = bench.pull(&reference).unwrap().digest;
    let database = root.join("io.containerd.metadata.v1.bolt/meta.db");
    let whole = std::fs::read(&database).unwrap();
    let refused = |bytes: &[u8]| {
        std::fs::write(&database, bytes).unwrap();
        let error = bench.pull(&reference).unwrap_err();
        assert_eq!((error.code(), error.kind()), (1162, ErrorKind::Damaged), "{error}");
        assert!(error.to_string().contains("is damaged"), "{error}");
    };
    refused(b"");
    refused(b"no database");
    refused(&whole[..100]);
    refused(&whole[..4096]);
    // Both meta pages are wrong; one of them may be.
    let page = page_size(&whole);
    let mut both = whole.clone();
    (both[20], both[page + 20]) = (!both[20], !both[page + 20]);
    refused(&both);
    let mut older = whole.clone();
    let newer = if transaction(&whole, 0) > transaction(&whole, page) { 0 } else { page };
    older[page - newer + 20] ^= 1;
    std::fs::write(&database, &older).unwrap();
    assert_eq!(bench.pull(&reference).unwrap().digest, wanted);
    // Pages behind the meta pages, at random: the right image or an error.
    let mut state = banger_testkit::seed() | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..=random(4) {
            let at = random(end);
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        std::fs::write(&database, &bytes).unwrap();
        match bench.pull(&reference) {
            Ok(image) => assert_eq!(image.digest, wanted),
            Err(error) => assert_one_line(&error),
        }
    }
    std::fs::write(&database, &whole).unwrap();
    let blobs = root.join("io.containerd.content.v1.content/blobs/sha256");
    let blob = blobs.join(bench.pull(&reference).unwrap().layers[0].descriptor.digest.hex());
    std::fs::remove_file(&blob).unwrap();
    let error = bench.pull(&reference).unwrap_err();
    assert!(error.to_string().contains("it lacks the blob"), "{error}");
    std::fs::remove_file(&database).unwrap();
    let error = bench.pull(&reference).unwrap_err();
    assert_eq!((error.code(), error.kind()), (1162, ErrorKind::NotFound), "{error}");
}

fn page_size(database: &[u8]) -> usize {
    usize::try_from(u32::from_le_bytes(database[24..28].try_into().unwrap())).unwrap()
}

fn transaction(database: &[u8], page: usize) -> u64 {
    u64::from_le_bytes(database[page + 64..page + 72].try_into().unwrap())
}
