//! Test support for banger: real images, layers written byte by byte, a real
//! registry, and trees compared with what other tools make of them.
//!
//! A test that walks a real image through the pipeline reads like this:
//!
//! ```no_run
//! use banger_testkit::{Ignore, Image, Mounted, Registry, require, TAG};
//! use banger_testkit::{Access, assert_clean, assert_same_tree, reference_tree, snapshot};
//!
//! fn every_made_image_comes_out_right() {
//!     let registry = require!(Registry::start());
//!     for image in Image::ALL {
//!         let layout = require!(image.layout());
//!         require!(registry.push(&layout, TAG, image.name(), "1"));
//!         let ext4 = std::path::PathBuf::from("rootfs.ext4");
//!         // … pull registry.reference(image.name(), "1") into ext4 …
//!         require!(assert_clean(&ext4));
//!         let mounted = require!(Mounted::new(&ext4, Access::ReadOnly));
//!         let expected = snapshot(&require!(reference_tree(image)));
//!         assert_same_tree(&expected, &snapshot(mounted.path()), Ignore::MKFS);
//!     }
//! }
//! ```
//!
//! A behaviour is tested from a tar of its own: [`LayerBuilder`] and [`Entry`]
//! write any header, [`ImageBuilder`] and [`LayoutBuilder`] put layers into an OCI
//! layout or a docker archive, right or wrong.
//!
//! What needs a tool, root or a made image returns `Result<_, Skip>`;
//! [`require!`] turns the error into a printed `skipped: reason` and an early
//! return, and into a failure where the environment says `CI=true`.
//! `scripts/setup-tests` installs the tools; `scripts/make-test-images` makes the
//! images, which [`Image::layout`] does by itself when they are missing.
//!
//! # Limits
//!
//! Linux only. Helpers panic where a test would: on failures that say nothing
//! about the code under test but that the machine is broken.

mod acl;
mod compare;
mod compress;
mod e2fsck;
mod entry;
mod images;
mod kernel;
mod layer;
mod layout;
mod listing;
mod mount;
mod package;
mod proxies;
mod recovery;
mod reference;
mod registry;
mod scripted;
mod scripted_agent;
mod seed;
mod skip;
mod sparse;
pub mod tools;
mod upload;
mod upload_store;
mod weather;

pub use acl::{ACL_NO_ID, posix_acl};
pub use compare::{Entry as TreeEntry, Ignore, Snapshot, assert_same_tree, diff, diff_ignoring, snapshot};
pub use compress::{Compression, gzip, gzip_members, zstd, zstd_frames, zstd_skippable_frame};
pub use e2fsck::{
    assert_clean, assert_silent, assert_silent_after_kernel, check as e2fsck_check, copy_sparse, e2fscks,
    first_difference,
};
pub use entry::{BLOCK_BYTES, Entry, Format, pax_record, pax_record_of_length};
pub use images::{Image, TAG, debian_layers, debian_minbase, debian_systemd, third_party};
pub use kernel::{KernelBuilder, bz_image, kernel_module};
pub use layer::LayerBuilder;
pub use layout::{
    DOCKER_CONFIG, DOCKER_INDEX, DOCKER_MANIFEST, ImageBuilder, Layer, LayoutBuilder, OCI_CONFIG, OCI_INDEX,
    OCI_MANIFEST, descriptor, docker_archive, sha256_digest,
};
pub use listing::{Listed, Listing, assert_equal, listing};
pub use mount::{Access, Mounted};
pub use package::{Codec, PackageBuilder, ar};
pub use proxies::{ProxyKind, TestProxy};
pub use recovery::{Recovery, recover_copy, without_free_counts};
pub use reference::{ReferenceTree, reference_tree, umoci_unpack};
pub use registry::{Registry, RegistryOptions, make_self_signed};
pub use scripted::{Answer, Asked, BodyLength, ScriptedServer, part_of};
pub use scripted_agent::{AgentScript, ScriptedAgent};
pub use seed::{property_config, seed};
pub use skip::Skip;
pub use sparse::{SparseFile, SparseFormat};
pub use upload_store::UploadStore;
pub use weather::{Certificates, Fault, Forecast, Http2Fault, Weather, WeatherOptions};
