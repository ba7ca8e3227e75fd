"""Exceptions by kind."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest

import banger
from banger import _abi, _errors


def test_a_missing_image_is_a_missing_file(store: banger.Store) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        store.find("nothing")
    error = caught.value
    assert isinstance(error, banger.NotFoundError)
    assert isinstance(error, banger.BangerError)
    assert (error.code, error.kind, error.errno) == (400, "not-found", errno.ENOENT)
    assert error.context["wanted"] == "nothing"
    assert not error.is_transient
    assert error.message in str(error)
    assert "--" not in str(error)


def test_an_error_names_its_file(store: banger.Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        banger.Rootfs(tmp_path / "missing.ext4")
    assert caught.value.filename == str(tmp_path / "missing.ext4")


def test_a_registry_that_is_down(store: banger.Store) -> None:
    with pytest.raises(ConnectionError) as caught:
        store.pull("127.0.0.1:1/a", plain_http=True, attempts=1)
    assert isinstance(caught.value, banger.NetworkError)
    assert caught.value.code == 107


@pytest.mark.parametrize(
    ("options", "raised"),
    [
        ({"nonsense": 1}, TypeError),
        ({"name": 1}, banger.ArgumentError),
        ({"name": "a\0b"}, ValueError),
        ({"own_identity": True}, banger.ArgumentError),
        ({"size_bytes": -1}, ValueError),
        ({"size_bytes": 1 << 64}, ValueError),
        ({"size_bytes": True}, banger.ArgumentError),
        ({"inodes": 1 << 40}, banger.ArgumentError),
        ({"platform": object()}, TypeError),
        ({"backend": "none such"}, banger.ArgumentError),
        ({"user": "without password"}, ValueError),
        ({"size_bytes": 1}, banger.BangerError),
    ],
)
def test_options_that_make_no_sense(
    store: banger.Store, layout: str, options: dict[str, object], raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        store.pull(layout, **options)  # type: ignore[arg-type]
    assert store.list()["images"] == []


def test_none_leaves_an_option_at_its_default(store: banger.Store, layout: str) -> None:
    store.pull(layout, name=None, size_bytes=None).close()  # type: ignore[arg-type]


def test_a_reference_that_is_none(store: banger.Store) -> None:
    for reference in ("", "UPPER CASE", "a\udcff"):
        with pytest.raises(banger.ArgumentError):
            store.pull(reference)
    with pytest.raises(ValueError, match="null"):
        store.pull("a\0b")


def test_errors_can_be_pickled(store: banger.Store) -> None:
    with pytest.raises(banger.NotFoundError) as caught:
        store.find("nothing")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is banger.NotFoundError
    assert (str(again), again.code, again.context) == (str(caught.value), 400, caught.value.context)
    assert again.errno == errno.ENOENT


def test_every_kind_has_an_exception() -> None:
    kinds = {
        name[len("BANGER_KIND_") :].lower().replace("_", "-")
        for name in vars(_abi)
        if name.startswith("BANGER_KIND_")
    }
    assert kinds == set(_errors._BY_KIND)
    for kind, exception in _errors._BY_KIND.items():
        error = exception({"kind": kind, "code": 1, "message": "m", "context": {}})
        assert isinstance(error, OSError) == (error._errno_of_kind != 0)
        assert str(error) == "m"
    unknown = _errors.error_of(b'{"kind":"new","code":999,"message":"m"}', is_transient=True, errno=0)
    assert type(unknown) is banger.BangerError
    assert unknown.is_transient
