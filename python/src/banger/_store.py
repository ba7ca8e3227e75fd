"""The managed images and the cache of blobs."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from ._files import OpenFile, fd_of
from ._image import Image
from ._native import (
    Cancellation,
    Handle,
    HostPath,
    call,
    flag,
    host_path,
    json_of,
    patient_call,
    patient_json_of,
    text,
)
from ._network import NetworkConfig
from ._options import (
    BootPlanOptions,
    BuildOptions,
    CheckOptions,
    CloneOptions,
    CommitOptions,
    ConnectionOptions,
    ImageBuildOptions,
    ImagePruneOptions,
    InspectOptions,
    KernelOptions,
    KernelPackOptions,
    KernelPullOptions,
    LogoutOptions,
    PruneOptions,
    PullOptions,
    PushOptions,
    RegisterOptions,
    VmRunOptions,
    options_of,
)
from ._task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Unpack

    from ._event import Progress

__all__ = ["Store", "build", "build_async"]


class Store(Handle):
    """The managed images of a state directory, and a cache of blobs. Threads may share it.

    Without directories it opens those of the user: `$XDG_STATE_HOME/banger` and `$XDG_CACHE_HOME/banger`.

    >>> import banger, tempfile
    >>> with tempfile.TemporaryDirectory() as work, banger.Store(work + "/state", work + "/cache") as store:
    ...     store.list()["images"]
    []
    """

    _free = "banger_store_free"

    def __init__(self, state: HostPath | None = None, cache: HostPath | None = None) -> None:
        pointer = ctypes.c_void_p()
        directories = (None if path is None else host_path(path) for path in (state, cache))
        call("banger_store_open", *directories, ctypes.byref(pointer))
        super().__init__(pointer)

    # Pull

    def pull(
        self,
        reference: str,
        *,
        progress: Progress | None = None,
        cancel: Cancellation | None = None,
        **options: Unpack[PullOptions],
    ) -> Image:
        """Pulls an image into the store, or finds it there, and returns it.

        `progress` is called with each `Event` on this thread, and at least every 200 ms. An exception that
        it raises, and Ctrl-C, stop the pull and come out of it.
        """
        with self._pull_task(reference, None, cancel, options) as task:
            task.drive(progress)
            return task.image()

    async def pull_async(
        self,
        reference: str,
        *,
        progress: Progress | None = None,
        cancel: Cancellation | None = None,
        **options: Unpack[PullOptions],
    ) -> Image:
        """As `pull`, for asyncio: the event loop goes on meanwhile. Cancelling the asyncio task stops it."""
        task = self._pull_task(reference, None, cancel, options)
        return await task.driven(progress, task.image)

    def pull_to_file(
        self,
        reference: str,
        file: HostPath,
        *,
        progress: Progress | None = None,
        cancel: Cancellation | None = None,
        **options: Unpack[PullOptions],
    ) -> Image:
        """Pulls an image to one file instead of the store, as `pull` does."""
        with self._pull_task(reference, file, cancel, options) as task:
            task.drive(progress)
            return task.image()

    async def pull_to_file_async(
        self,
        reference: str,
        file: HostPath,
        *,
        progress: Progress | None = None,
        cancel: Cancellation | None = None,
        **options: Unpack[PullOptions],
    ) -> Image:
        """As `pull_to_file`, for asyncio."""
        task = self._pull_task(reference, file, cancel, options)
        return await task.driven(progress, task.image)

    def pull_to_fd(
        self,
        reference: str,
        file: OpenFile,
        *,
        progress: Progress | None = None,
        cancel: Cancellation | None = None,
        **options: Unpack[PullOptions],
    ) -> Image:
        """Pulls an image into an open file, in place, with the bytes of `pull_to_file`.

        `file` is a file object or a file descriptor: of a regular file, also one in memory or without a name,
        or of a block device that is large enough. It is open for reading and writing. Its position is neither
        used nor moved. The path of the image is "/dev/fd/N".

        What the file held is lost. After an error a regular file is as it was or empty; a block device is as
        it was, or its first 4096 bytes are zeros and the others undefined.
        """
        with self._pull_to_fd_task(reference, file, cancel, options) as task:
            task.drive(progress)
            return task.image()

    async def pull_to_fd_async(
        self,
        reference: str,
        file: OpenFile,
        *,
        progress: Progress | None = None,
        cancel: Cancellation | None = None,
        **options: Unpack[PullOptions],
    ) -> Image:
        """As `pull_to_fd`, for asyncio."""
        task = self._pull_to_fd_task(reference, file, cancel, options)
        return await task.driven(progress, task.image)

    def _pull_to_fd_task(
        self, reference: str, file: OpenFile, cancel: Cancellation | None, options: PullOptions
    ) -> Task:
        with self._use() as store, options_of(options) as made, flag(cancel) as (_, stop):
            return Task.start("banger_pull_to_fd_start", store, text(reference), fd_of(file), made, stop)

    def _pull_task(
        self, reference: str, file: HostPath | None, cancel: Cancellation | None, options: PullOptions
    ) -> Task:
        with self._use() as store, options_of(options) as made, flag(cancel) as (_, stop):
            where = None if file is None else host_path(file)
            return Task.start("banger_pull_start", store, text(reference), where, made, stop)

    def register(
        self, rootfs: HostPath, *, cancel: Cancellation | None = None, **options: Unpack[RegisterOptions]
    ) -> Image:
        """Makes a managed image of the ext4 file `rootfs`, which stays as it is: the image gets a copy."""
        made = ctypes.c_void_p()
        with self._use() as store, options_of(options) as given, flag(cancel) as (stop, pointer):
            arguments = (store, host_path(rootfs), given, pointer, None, None, ctypes.byref(made))
            patient_call(stop, "banger_image_register", *arguments)
        return Image(made)

    def push(
        self,
        image: str,
        reference: str,
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[PushOptions],
    ) -> dict[str, Any]:
        """Pushes a managed image as a finished root file system; returns the document of `image push --json`.

        `reference` is a name in a registry, "oci:DIR[:NAME]" or "oci-archive:FILE[:NAME]". `pull` makes the
        same file of it, byte for byte.
        """
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            arguments = (store, text(image), text(reference), made, pointer, None, None)
            return _document(patient_json_of(stop, "banger_image_push", *arguments))

    def commit(
        self,
        disk: str,
        base: str,
        reference: str,
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[CommitOptions],
    ) -> dict[str, Any]:
        """Makes a container image of a disk; returns the document of `image commit --json`.

        `disk` is a managed image or the path of an ext4 file; a text with a slash is always a path. The image
        has the layers of the managed image `base`, from which the machine of the disk started, and one with
        what the disk changed. `reference` is a name in a registry, "oci:DIR[:NAME]" or
        "oci-archive:FILE[:NAME]".
        """
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            arguments = (store, text(disk), text(base), text(reference), made, pointer, None, None)
            return _document(patient_json_of(stop, "banger_image_commit", *arguments))

    # Managed images

    def list(self) -> dict[str, Any]:
        """Returns the document of `banger image list --json`: `images` and `damaged`."""
        with self._use() as store:
            return _document(json_of("banger_store_list", store))

    def find(self, wanted: str, *, cancel: Cancellation | None = None) -> Image:
        """Returns the image of a name, an id or the unique prefix of an id."""
        made = ctypes.c_void_p()
        with self._use() as store, flag(cancel) as (stop, pointer):
            patient_call(stop, "banger_store_find", store, text(wanted), pointer, ctypes.byref(made))
        return Image(made)

    def remove(self, wanted: str, *, cancel: Cancellation | None = None) -> None:
        """Removes an image. One in use, also by an `Image` that is not closed, is an `InUseError`."""
        with self._use() as store, flag(cancel) as (stop, pointer):
            patient_call(stop, "banger_store_remove", store, text(wanted), pointer)

    def rename(self, wanted: str, name: str, *, cancel: Cancellation | None = None) -> None:
        """Gives an image another name, which must be free."""
        with self._use() as store, flag(cancel) as (stop, pointer):
            patient_call(stop, "banger_store_rename", store, text(wanted), text(name), pointer)

    def export(
        self, wanted: str, file: HostPath, *, replace: bool = False, cancel: Cancellation | None = None
    ) -> None:
        """Copies the ext4 file of an image to `file`, with reflinks where the host has them."""
        with self._use() as store, flag(cancel) as (stop, pointer):
            arguments = (store, text(wanted), host_path(file), replace, pointer)
            patient_call(stop, "banger_store_export", *arguments)

    def clone(
        self,
        wanted: str,
        target: str,
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[CloneOptions],
    ) -> Image:
        """Copies an image for one machine, and returns the copy.

        A `target` with a slash is the path of an ext4 file, any other the name of a new managed image. The
        copy has another identity: no machine-id, host keys, random seeds and DHCP leases, and another UUID.
        """
        made = ctypes.c_void_p()
        with self._use() as store, options_of(options) as given, flag(cancel) as (stop, pointer):
            arguments = (store, text(wanted), text(target), given, pointer, ctypes.byref(made))
            patient_call(stop, "banger_store_clone", *arguments)
        return Image(made)

    def verify(self, wanted: str, *, cancel: Cancellation | None = None) -> dict[str, Any]:
        """Reads all of an image, and returns its `problems`: none where it is sound."""
        with self._use() as store, flag(cancel) as (stop, pointer):
            return _document(patient_json_of(stop, "banger_store_verify", store, text(wanted), pointer))

    def prune(
        self, *, cancel: Cancellation | None = None, **options: Unpack[ImagePruneOptions]
    ) -> dict[str, Any]:
        """Removes images that are not in use, and returns the document of `banger image prune --json`."""
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            return _document(patient_json_of(stop, "banger_store_prune", store, made, pointer))

    # Kernels

    def import_kernel(
        self, source: HostPath, *, cancel: Cancellation | None = None, **options: Unpack[KernelOptions]
    ) -> dict[str, Any]:
        """Imports a kernel, and returns the document of `banger kernel import --json`.

        `source` is "host", "image:NAME", "docker://HOST/NAME", "oci:DIR", "oci-archive:FILE",
        "docker-archive:FILE", an https address with `kernel_sha256`, or the path of a package, another tar, a
        kernel image, an ext4 file or a directory.
        """
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            arguments = (store, host_path(source), made, pointer, None, None)
            return _document(patient_json_of(stop, "banger_kernel_import", *arguments))

    def pull_kernel(
        self, wanted: str, *, cancel: Cancellation | None = None, **options: Unpack[KernelPullOptions]
    ) -> dict[str, Any]:
        """Pulls a kernel bundle, or an image with a kernel; returns the document of `kernel pull --json`.

        `wanted` is a name in `kernel_catalog`, or a reference.
        """
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            arguments = (store, text(wanted), made, pointer, None, None)
            return _document(patient_json_of(stop, "banger_kernel_pull", *arguments))

    def pack_kernels(
        self,
        wanted: str,
        directory: HostPath,
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[KernelPackOptions],
    ) -> dict[str, Any]:
        """Packs a kernel as a bundle, and returns the document of `banger kernel pack --json`.

        `directory` becomes an OCI layout; it is missing or empty.
        """
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            arguments = (store, text(wanted), host_path(directory), made, pointer, None, None)
            return _document(patient_json_of(stop, "banger_kernel_pack", *arguments))

    def list_kernels(self) -> dict[str, Any]:
        """Returns the document of `banger kernel list --json`: `kernels` and `damaged`."""
        with self._use() as store:
            return _document(json_of("banger_kernel_list", store))

    def show_kernel(self, wanted: str) -> dict[str, Any]:
        """Returns the document of the kernel of a name, an id or the unique prefix of an id."""
        with self._use() as store:
            return _document(json_of("banger_kernel_show", store, text(wanted)))

    def remove_kernel(self, wanted: str, *, cancel: Cancellation | None = None) -> None:
        """Removes a kernel. One in use is an `InUseError`."""
        with self._use() as store, flag(cancel) as (stop, pointer):
            patient_call(stop, "banger_kernel_remove", store, text(wanted), pointer)

    # Registries

    def inspect(
        self,
        reference: str,
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[InspectOptions],
    ) -> dict[str, Any]:
        """Returns the document of `banger image inspect --json`; no layer of the image is downloaded."""
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            arguments = (store, text(reference), made, pointer, None, None)
            return _document(patient_json_of(stop, "banger_image_inspect", *arguments))

    def login(
        self,
        registry: str,
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> dict[str, Any]:
        """Checks a credential at a registry and keeps it where podman and docker find it.

        Returns the document of `banger login --json`. `user` and `password`, or `identity_token`, are the
        credential. It goes to the user's own files, or to the first of `auth_file`.
        """
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            arguments = (store, text(registry), made, pointer)
            return _document(patient_json_of(stop, "banger_login", *arguments))

    def logout(
        self,
        registry: str | None = None,
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[LogoutOptions],
    ) -> dict[str, Any]:
        """Removes the credentials of a registry, or of all. Returns the document of `logout --json`."""
        wanted = None if registry is None else text(registry)
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            return _document(patient_json_of(stop, "banger_logout", store, wanted, made, pointer))

    # Booting

    def check_kernel(
        self,
        image: HostPath,
        kernel: str | None = None,
        *,
        cancel: Cancellation | None = None,
        **options: Unpack[CheckOptions],
    ) -> dict[str, Any]:
        """Checks a kernel for an image, and returns the document of `banger kernel check --json`.

        Its `outcome` is "error" if the kernel cannot start the image. `image` is a managed image or the path
        of an ext4 file; a text with a slash is always a path. Without `kernel` it is the image's own, or the
        only one for its processor.
        """
        return self._planned("banger_kernel_check", image, kernel, dict(options), cancel)

    def boot_plan(
        self,
        image: HostPath,
        kernel: str | None = None,
        *,
        network: NetworkConfig | None = None,
        cancel: Cancellation | None = None,
        **options: Unpack[BootPlanOptions],
    ) -> dict[str, Any]:
        """Plans the start of an image, and returns the document of `banger image boot-plan --json`.

        `image` and `kernel` are as for `check_kernel`. `network` reaches the guest by the kernel's command
        line.
        """
        given = {**dict(options), **(network._options() if network else {})}
        return self._planned("banger_boot_plan", image, kernel, given, cancel)

    def run_vm(
        self,
        image: str,
        argv: Sequence[str],
        *,
        kernel: str | None = None,
        env: Mapping[str, str] | None = None,
        cancel: Cancellation | None = None,
        **options: Unpack[VmRunOptions],
    ) -> dict[str, Any]:
        """Runs a program in a virtual machine with a copy of a managed image, and returns its output.

        It is the document of `banger vm run --json`: how the program ended, `stdout` and `stderr`. The
        machine and the copy are gone when this returns. Without `kernel` it is that of the image, else the
        only one for the image's processor. Needs QEMU.
        """
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        given = {**dict(options), "exec_argv": list(argv), "exec_env": variables or None}
        wanted = None if kernel is None else text(kernel)
        with self._use() as store, options_of(given) as made, flag(cancel) as (stop, pointer):
            arguments = (store, text(image), wanted, made, pointer, None, None)
            return _document(patient_json_of(stop, "banger_vm_run", *arguments))

    def build_image(
        self,
        base: str,
        name: str,
        steps: Sequence[str],
        *,
        kernel: str | None = None,
        cancel: Cancellation | None = None,
        **options: Unpack[ImageBuildOptions],
    ) -> Image:
        """Builds the managed image `name` from the managed image `base`, by steps in a virtual machine.

        Each step is "run:COMMAND", "script:FILE", "copy:FILE:/PATH", "env:NAME=VALUE" or "tools:docker". An
        older image of the name is replaced; if it was built by the same steps, it stays. `kernel` is as for
        `run_vm`.
        """
        made_image = ctypes.c_void_p()
        given = {**dict(options), "build_step": list(steps)}
        wanted = None if kernel is None else text(kernel)
        with self._use() as store, options_of(given) as made, flag(cancel) as (stop, pointer):
            arguments = (store, text(base), text(name), wanted, made, pointer, None, None)
            patient_call(stop, "banger_image_build", *arguments, ctypes.byref(made_image))
        return Image(made_image)

    def doctor(self) -> dict[str, Any]:
        """Returns the document of `banger doctor --json`: what this machine has and lacks."""
        with self._use() as store:
            return _document(json_of("banger_doctor", store))

    def _planned(
        self,
        function: str,
        image: HostPath,
        kernel: str | None,
        options: dict[str, Any],
        cancel: Cancellation | None,
    ) -> dict[str, Any]:
        wanted = None if kernel is None else text(kernel)
        with self._use() as store, options_of(options) as made, flag(cancel) as (stop, pointer):
            arguments = (store, host_path(image), wanted, made, pointer)
            return _document(patient_json_of(stop, function, *arguments))

    # Cache

    def cache_list(self) -> dict[str, Any]:
        """Returns the document of `banger image cache list --json`: `blobs`."""
        with self._use() as store:
            return _document(json_of("banger_cache_list", store))

    def cache_prune(self, **options: Unpack[PruneOptions]) -> dict[str, Any]:
        """Removes blobs from the cache, and returns the document of `banger image cache prune --json`."""
        with self._use() as store, options_of(options) as made:
            return _document(json_of("banger_cache_prune", store, made))

    def cache_verify(self, *, remove: bool = False, cancel: Cancellation | None = None) -> dict[str, Any]:
        """Hashes the blobs, and returns the document of `banger image cache verify --json`: `damaged`.

        Damaged blobs are removed if `remove` is true; the next pull downloads them again.
        """
        with self._use() as store, flag(cancel) as (stop, pointer):
            return _document(patient_json_of(stop, "banger_cache_verify", store, remove, pointer))


def _document(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"value": value}


def build(
    source: HostPath | None,
    file: HostPath,
    *,
    progress: Progress | None = None,
    cancel: Cancellation | None = None,
    **options: Unpack[BuildOptions],
) -> dict[str, Any]:
    """Builds the ext4 file `file` from a directory or a tar of the host.

    With `own_identity`, `source` may be None, for a file system with no file. Returns the document of
    `banger rootfs build --json`.

    >>> import banger, os, tempfile
    >>> with tempfile.TemporaryDirectory() as work:
    ...     os.makedirs(work + "/tree/etc")
    ...     built = banger.build(work + "/tree", work + "/tree.ext4", label="data")
    ...     with banger.Rootfs(built["path"]) as rootfs:
    ...         rootfs.listdir("/")
    ['etc', 'lost+found']
    """
    with _build_task(source, file, cancel, options) as task:
        task.drive(progress)
        return task.document()


async def build_async(
    source: HostPath | None,
    file: HostPath,
    *,
    progress: Progress | None = None,
    cancel: Cancellation | None = None,
    **options: Unpack[BuildOptions],
) -> dict[str, Any]:
    """As `build`, for asyncio."""
    task = _build_task(source, file, cancel, options)
    return await task.driven(progress, task.document)


def _build_task(
    source: HostPath | None, file: HostPath, cancel: Cancellation | None, options: BuildOptions
) -> Task:
    given = None if source is None else host_path(source)
    with options_of(options) as made, flag(cancel) as (_, stop):
        return Task.start("banger_build_start", given, host_path(file), made, stop)
