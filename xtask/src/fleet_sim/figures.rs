//! The measured figures that the simulation starts from. `docs/fleet.md` ("What the simulation starts from") says how they
//! were measured.

/// What one host does to get an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HostWork {
    /// Bytes that it fetches.
    pub(super) fetched_bytes: f64,
    /// CPU seconds, those of the downloads among them.
    pub(super) cpu_seconds: f64,
    /// Bytes that it writes to its disk: the image and what the cache keeps.
    pub(super) written_bytes: f64,
}

/// One image and its next version, in which the top layer changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageFigures {
    /// A conversion without anything in the cache.
    pub(super) convert: HostWork,
    /// A conversion of the next version.
    pub(super) convert_next: HostWork,
    /// A fetch of all windows.
    pub(super) fetch: HostWork,
    /// A fetch of the next version, with the windows of the first one in the cache.
    pub(super) fetch_next: HostWork,
    /// CPU seconds of a push of all windows.
    pub(super) push_cpu_seconds: f64,
    /// CPU seconds of a push of the next version.
    pub(super) push_next_cpu_seconds: f64,
}

/// Debian with systemd, and an application of 40 MB in a layer above it.
pub(super) const IMAGE: ImageFigures = ImageFigures {
    convert: HostWork { fetched_bytes: 105.7e6, cpu_seconds: 1.27, written_bytes: 418e6 },
    convert_next: HostWork { fetched_bytes: 15.9e6, cpu_seconds: 1.20, written_bytes: 328e6 },
    fetch: HostWork { fetched_bytes: 95.2e6, cpu_seconds: 1.26, written_bytes: 407e6 },
    fetch_next: HostWork { fetched_bytes: 4.1e6, cpu_seconds: 1.56, written_bytes: 315e6 },
    push_cpu_seconds: 2.27,
    push_next_cpu_seconds: 1.79,
};

/// Bytes a second that the disk of a host writes: `docs/benchmarks.md`, "Where the time goes".
pub(super) const DISK_BYTES_PER_SECOND: f64 = 300e6;
