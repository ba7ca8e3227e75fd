"""Builds the wheel with libbanger.so inside.

BANGER_LIBRARY names the library to put in; without it cargo builds one from the workspace around this
directory, with the profile BANGER_PROFILE ("release"). BANGER_WHEEL_PLATFORM is the platform in the wheel's
name, in the place of this machine's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent


def built_library() -> Path:
    """Returns the library that cargo builds from the workspace."""
    workspace = HERE.parent
    if not (workspace / "banger-ffi" / "Cargo.toml").exists():
        raise SystemExit("set BANGER_LIBRARY to a libbanger.so: the Rust sources are not here")
    command = ["cargo", "build", "--locked", "--package", "banger-ffi"]
    command += ["--profile", os.environ.get("BANGER_PROFILE", "release")]
    command += ["--message-format", "json-render-diagnostics"]
    output = subprocess.run(command, cwd=workspace, check=True, stdout=subprocess.PIPE).stdout
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "banger":
            for name in message["filenames"]:
                if name.endswith(".so"):
                    return Path(name)
    raise SystemExit("cargo has built no libbanger.so")


class BuildWithLibrary(build_py):
    """Copies the library beside the modules, without what only a debugger reads."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        named = os.environ.get("BANGER_LIBRARY")
        library = Path(named) if named else built_library()
        place = Path(self.build_lib) / "banger" / "libbanger.so"
        shutil.copyfile(library, place)
        if shutil.which("strip"):
            subprocess.run(["strip", "--strip-unneeded", str(place)], check=True)
        place.chmod(0o755)


class PlatformWheel(bdist_wheel):
    """A wheel for any Python 3 of one platform."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        platform = os.environ.get("BANGER_WHEEL_PLATFORM") or super().get_tag()[2]
        return "py3", "none", platform


class PlatformDistribution(Distribution):
    """A distribution that belongs into the directory of the platform's packages."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    cmdclass={"bdist_wheel": PlatformWheel, "build_py": BuildWithLibrary},
    distclass=PlatformDistribution,
)
