"""Files appear whole or not at all, with the permissions of any new file."""

import os
import stat

import pytest

from utils.errors import UserError
from utils.files import atomic_path, write_text


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX systems")
def test_permissions_are_those_of_a_new_file(tmp_path, monkeypatch):
    """The process's umask counts, and is not changed for a moment to find it out: it is that of all threads."""
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("other threads make files now, too"))
        write_text(tmp_path / "new.txt", "text")
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == 0o640


def test_the_old_file_stays_if_writing_fails(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text(f"{1 / 0}")
    assert path.read_text() == "old"
    assert [found.name for found in path.parent.iterdir()] == ["file.txt"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write new\.txt"):
        write_text(tmp_path / "file" / "new.txt", "")
