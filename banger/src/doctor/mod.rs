//! What a machine has and lacks: for building images, and for booting them.
//!
//! ```no_run
//! use banger::Dirs;
//! use banger::doctor::{DoctorHost, DoctorStatus, examine_host};
//!
//! let report = examine_host(&DoctorHost::of_process(Dirs::of_user()?));
//! for item in report.items.iter().filter(|item| item.status != DoctorStatus::Ok) {
//!     println!("{}: {}, needed for {}", item.name, item.found, item.needed_for);
//! }
//! # Ok::<(), banger::Error>(())
//! ```

mod credentials;
mod devices;
mod directories;
mod examine;
mod host;
mod item;
mod kernels;
mod packages;
mod programs;

pub use examine::examine_host;
pub use host::DoctorHost;
pub use item::{DoctorItem, DoctorReport, DoctorStatus};
