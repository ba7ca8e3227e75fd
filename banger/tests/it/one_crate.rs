//! What a program that embeds banger writes: every name comes from `banger`, and nothing else is needed.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use banger::rootfs::{Destination, Edit, MakeDirectory, Operand, Put, PutSource, Remove, View};
use banger::{
    Advice, AttributeChange, Attributes, Backend, BuildRequest, BuiltFile, Cancellation, Credential,
    CredentialSource, Digest, Dirs, Entrypoint, Error, ErrorContext, ErrorKind, ErrorReport, Event,
    EventHandler, Ext4Editor, Ext4Error, Failure, FileType, FlattenError, GuestAgents, GuestOptions,
    GuestPath, ImageName, ImageRecord, ImageStore, InitMode, InjectError, InjectReport, InjectRequest,
    Limits, Metadata, MetadataEntry, MetadataKind, OwnershipReport, Platform, PullError, PullOptions,
    PullRequest, PulledFile, Reference, Rootfs, RootfsError, Setting, Stat, StoreError, Timestamp,
    Verification, VerifyReport, Xattrs, apply_ownership, embedded_guest, inject_guest_agents,
};
use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder};
use camino::{Utf8Path, Utf8PathBuf};

/// A host with a layout to pull from.
struct Host {
    _dir: tempfile::TempDir,
    path: Utf8PathBuf,
    dirs: Dirs,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let tar = LayerBuilder::new().dir("etc").file("etc/hostname", "vm\n").file("bin/app", "app").finish();
        LayoutBuilder::of(&ImageBuilder::new().layer(tar)).write(path.join("layout").as_std_path());
        let dirs = Dirs::new(path.join("state"), path.join("cache"));
        Self { _dir: dir, path, dirs }
    }

    fn request(&self) -> PullRequest {
        let reference: Reference = format!("oci:{}:latest", self.path.join("layout")).parse().unwrap();
        let mut request = PullRequest::new(reference);
        request.guest = None;
        request.file_system.size = banger::ImageSize::Bytes(64 << 20);
        request
    }
}

fn guest_path(text: &str) -> GuestPath {
    GuestPath::parse(text).unwrap()
}

#[test]
fn the_whole_pipeline_needs_one_crate() {
    let host = Host::new();
    let cancellation = Cancellation::new();
    let digests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&digests);
    let events = EventHandler::new(move |event| {
        if let Event::Resolved { blobs, .. } = event {
            seen.lock().unwrap().extend(blobs.iter().map(|blob| blob.digest.clone()));
        }
        ControlFlow::Continue(())
    });
    let pulled: PulledFile = banger::pull(&host.request(), &host.dirs, &events, &cancellation).unwrap();
    let record: &ImageRecord = &pulled.record;
    let layers: Vec<String> = record.layers.iter().map(|layer| layer.digest.clone()).collect();
    assert_eq!(*digests.lock().unwrap(), layers);
    assert!(layers[0].parse::<Digest>().is_ok());

    let store = ImageStore::new(&host.dirs.state);
    let verified: Verification = store.verify(record.name.as_str(), &cancellation).unwrap();
    assert!(verified.is_sound());
    assert!("app".parse::<ImageName>().is_ok());

    edits(&pulled.path, &cancellation);
    below_the_edits(&pulled.path);

    let request = InjectRequest::default()
        .with_guest(GuestOptions::default().with_init(InitMode::Banger))
        .with_architecture("amd64".to_owned())
        .with_entrypoint(Entrypoint::default().with_argv(vec!["/bin/app".to_owned()]));
    match embedded_guest("amd64") {
        Some(_) => {
            let report: InjectReport = banger::inject_file(&pulled.path, &request, &cancellation).unwrap();
            assert!(!report.is_unchanged());
        }
        None => {
            let error = banger::inject_file(&pulled.path, &request, &cancellation).unwrap_err();
            assert_eq!((error.code(), error.kind()), (810, ErrorKind::NotFound));
        }
    }
    let built: BuiltFile = banger::build_rootfs(
        &BuildRequest::new(host.path.join("layout/blobs")),
        &host.path.join("built.ext4"),
        &EventHandler::none(),
        &cancellation,
    )
    .unwrap();
    assert_eq!(built.backend, Backend::Native.name());
}

fn edits(file: &Utf8Path, cancellation: &Cancellation) {
    banger::rootfs::edit(file, Timestamp::from_seconds(7), cancellation, |edit: &mut Edit<'_>| {
        let content = PutSource::Reader(&mut &b"guest\n"[..]);
        edit.make_directory(&guest_path("/srv/www"), &MakeDirectory::default().with_parents(true))?;
        edit.put(vec![content], &Destination::parse(b"/etc/hostname")?, &Put::default())?;
        edit.remove(&Operand::parse(b"/none")?, Remove::default().with_force(true))
    })
    .unwrap();
    let rootfs: Ext4Editor = banger::rootfs::open(file).unwrap();
    let stat: Stat = rootfs.stat(&guest_path("/srv/www")).unwrap().unwrap();
    assert_eq!(stat.file_type, FileType::Directory);
    assert_eq!(rootfs.read(&guest_path("/etc/hostname")).unwrap(), b"guest\n");
    assert!(View::new(&rootfs).unwrap().entry(&guest_path("/etc")).is_ok());
    let report: VerifyReport = rootfs.verify().unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

fn below_the_edits(file: &Utf8Path) {
    let mut rootfs: Box<dyn Rootfs> = Box::new(Ext4Editor::open_to_edit(file).unwrap());
    let attributes = Attributes { uid: 7, xattrs: Xattrs::default(), ..Attributes::with_mode(0o600) };
    let metadata =
        Metadata::new(vec![MetadataEntry::new(guest_path("/etc/hostname"), MetadataKind::File, attributes)]);
    let report: OwnershipReport = apply_ownership(&mut *rootfs, &metadata).unwrap();
    assert_eq!(report.entries, 1);
    let change = AttributeChange { gid: Some(8), ..AttributeChange::default() };
    rootfs.set_attributes(&guest_path("/etc/hostname"), &change).unwrap();
    rootfs.commit().unwrap();
    let error: RootfsError = rootfs.read(&guest_path("/none")).unwrap_err();
    assert!(matches!(error, RootfsError::NotFound { .. }));
}

/// What is not called above has its names here.
#[test]
fn every_stage_has_its_names() {
    fn failure<E: std::error::Error>() -> &'static str {
        std::any::type_name::<E>()
    }
    for name in
        [failure::<PullError>(), failure::<FlattenError>(), failure::<Ext4Error>(), failure::<InjectError>()]
    {
        assert!(name.ends_with("Error"), "{name}");
    }
    let _: fn(&mut dyn Rootfs, &GuestAgents) -> Result<InjectReport, InjectError> = inject_guest_agents;
    let mut request = PullRequest::new("debian:bookworm".parse().unwrap());
    let options: &mut PullOptions = &mut request.pull;
    options.platform = Some("linux/arm64".parse::<Platform>().unwrap());
    options.credentials =
        CredentialSource::Fixed(Credential::Password { user: "me".into(), password: "x".into() });
    assert!(Limits::default().budget().limit(banger::Cost::Layers) > 0);
}

#[test]
fn an_error_tells_a_program_all_it_decides_by() {
    let host = Host::new();
    let output = host.path.join("there.ext4");
    std::fs::write(&output, "something").unwrap();
    let (events, cancellation) = (EventHandler::none(), Cancellation::new());
    let error: Error =
        banger::pull_to_file(&host.request(), &output, &host.dirs, &events, &cancellation).unwrap_err();
    assert_eq!((error.kind(), error.code(), error.is_transient()), (ErrorKind::Exists, 503, false));
    assert_eq!(error.message(), format!("{output} exists already"));
    let advice: Advice = error.advice().unwrap();
    assert_eq!(advice.setting(), Some(Setting("force")));
    let context: ErrorContext = error.context();
    assert_eq!(context.get("path"), Some(output.as_str()));
    let report: ErrorReport = error.report();
    let json: serde_json::Value = serde_json::from_str(&error.to_json()).unwrap();
    assert_eq!(json, serde_json::to_value(&report).unwrap());
    assert_eq!(
        json,
        serde_json::json!({
            "version": 1, "code": 503, "kind": "exists", "message": format!("{output} exists already"),
            "advice": "choose another file, or replace it with the option `force`", "context": {"path": output},
        })
    );

    cancellation.cancel();
    let error = banger::pull(&host.request(), &host.dirs, &events, &cancellation).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Cancelled, 505));
    assert!(error.advice().is_none() && error.os_error().is_none());

    let missing = host.path.join("no/where.ext4");
    let error = banger::pull_to_file(&host.request(), &missing, &host.dirs, &events, &Cancellation::new())
        .unwrap_err();
    assert_eq!((error.kind(), error.os_error()), (ErrorKind::NotFound, Some(2)), "{error}");
    let failure: &dyn Failure = &error;
    assert_eq!(failure.code(), 504);

    let error = Error::from(ImageStore::new(&host.dirs.state).find("nothing").unwrap_err());
    assert!(matches!(error, Error::Store(StoreError::NotFound { .. })));
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, 400));
}

/// The text of an error is the message alone: it names no flag and no command of the command line.
#[test]
fn texts_of_the_library_name_no_flags() {
    let host = Host::new();
    let image = host.path.join("image.ext4");
    banger::pull_to_file(&host.request(), &image, &host.dirs, &EventHandler::none(), &Cancellation::new())
        .unwrap();
    let edit = |work: &dyn Fn(&mut Edit<'_>) -> Result<(), banger::rootfs::EditError>| {
        banger::rootfs::edit(&image, Timestamp::from_seconds(7), &Cancellation::new(), |edit| work(edit))
            .unwrap_err()
    };
    let operand = |text: &str| Operand::parse(text.as_bytes()).unwrap();
    let errors = [
        "ntfs".parse::<Backend>().map_err(Error::from).unwrap_err(),
        banger::parse_uuid("x").map_err(Error::from).unwrap_err(),
        banger::parse_init_mode("systemd").map_err(Error::from).unwrap_err(),
        edit(&|edit| edit.remove(&operand("/none"), Remove::default()).map(drop)),
        edit(&|edit| edit.remove(&operand("/etc"), Remove::default()).map(drop)),
        edit(&|edit| edit.make_directory(&guest_path("/etc"), &MakeDirectory::default()).map(drop)),
        edit(&|edit| edit.make_directory(&guest_path("/a/b/c"), &MakeDirectory::default()).map(drop)),
        edit(&|edit| edit.check_exists(&operand("/none"))),
    ];
    for error in errors {
        let advice = error.advice().expect("there is something to do").to_string();
        for text in [error.message(), advice] {
            assert!(!text.contains("--") && !text.contains("`banger "), "{text}");
            assert!(!text.contains('\n') && !text.contains('{'), "{text}");
        }
    }
}
