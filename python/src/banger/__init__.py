"""Container image to bootable ext4 root file system.

    with banger.Store() as store, store.pull("debian:bookworm") as image:
        store.export(image.id, "disk.ext4")
    with banger.Rootfs("disk.ext4", edit=True) as rootfs:
        rootfs.write("/etc/hostname", "vm1\\n")
        rootfs.commit()

- `Store` pulls images and manages them, `Image` is one of them; `build` takes a directory or a tar.
- `Rootfs` looks into an ext4 file and edits it; `Metadata` has the owner and permissions of every path.
- `Guest` talks to what runs inside of a virtual machine.
- All exceptions of the library are `BangerError`; those that fit are also `FileNotFoundError` and so on.
- `Cancellation` stops calls from any thread. Ctrl-C stops them, too.

All objects are context managers and can be closed more than once. Calls block, and release the GIL meanwhile;
`Store.pull_async`, `Store.pull_to_file_async` and `build_async` are for asyncio. Do not fork without exec
while a call runs.
"""

from ._entry import DirEntry, Stat
from ._errors import (
    AccessError,
    ArgumentError,
    BangerError,
    CancelledError,
    DamagedError,
    ExistsError,
    GuestError,
    InternalError,
    InUseError,
    LimitError,
    NetworkError,
    NoSpaceError,
    NotFoundError,
    UnsupportedError,
)
from ._event import Event, Progress
from ._guest import Completed, Exec, Exit, Guest
from ._image import Image
from ._metadata import Metadata, MetadataEntry
from ._native import Cancellation, GuestPath, HostPath, features, version
from ._network import NetworkConfig
from ._options import (
    BootPlanOptions,
    BuildOptions,
    CheckOptions,
    CloneOptions,
    CommitOptions,
    ConnectionOptions,
    ExecOptions,
    FindOptions,
    GuestOptions,
    ImageBuildOptions,
    ImagePruneOptions,
    InjectOptions,
    InspectOptions,
    KernelOptions,
    KernelPackOptions,
    KernelPullOptions,
    LogoutOptions,
    PruneOptions,
    PullOptions,
    PushOptions,
    PutOptions,
    RegisterOptions,
    RootfsOptions,
    VmRunOptions,
)
from ._rootfs import Rootfs
from ._store import Store, build, build_async
from ._version import VERSION as __version__

__all__ = [
    "AccessError",
    "ArgumentError",
    "BangerError",
    "BootPlanOptions",
    "BuildOptions",
    "Cancellation",
    "CancelledError",
    "CheckOptions",
    "CloneOptions",
    "CommitOptions",
    "Completed",
    "ConnectionOptions",
    "DamagedError",
    "DirEntry",
    "Event",
    "Exec",
    "ExecOptions",
    "ExistsError",
    "Exit",
    "FindOptions",
    "Guest",
    "GuestError",
    "GuestOptions",
    "GuestPath",
    "HostPath",
    "Image",
    "ImageBuildOptions",
    "ImagePruneOptions",
    "InUseError",
    "InjectOptions",
    "InspectOptions",
    "InternalError",
    "KernelOptions",
    "KernelPackOptions",
    "KernelPullOptions",
    "LimitError",
    "LogoutOptions",
    "Metadata",
    "MetadataEntry",
    "NetworkConfig",
    "NetworkError",
    "NoSpaceError",
    "NotFoundError",
    "Progress",
    "PruneOptions",
    "PullOptions",
    "PushOptions",
    "PutOptions",
    "RegisterOptions",
    "Rootfs",
    "RootfsOptions",
    "Stat",
    "Store",
    "UnsupportedError",
    "VmRunOptions",
    "__version__",
    "build",
    "build_async",
    "features",
    "version",
]
# Tracebacks and documentation name the objects as the user does.
for _name in __all__:
    _made = globals()[_name]
    if getattr(_made, "__module__", "").startswith("banger."):
        _made.__module__ = "banger"
del _name, _made
