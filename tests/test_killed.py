"""A run that is killed loses no file, and what it leaves behind is gone after the next run."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from dlclint.model.draft import open_draft
from dlclint.model.writing import write_model
from dlclint.writing import Temporary, clear, write_whole

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
SYSTEM_CALLS = {"open", "os.rename", "os.remove", "os.chmod", "fcntl.flock"}


def run_in_child(work: Callable[[], object], last: int) -> int:
    """Run in a child that is killed before a call of the system, the first being 1; returns its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = 0

    def count(event: str, _: Any) -> None:
        nonlocal calls
        if event in SYSTEM_CALLS:
            calls += 1
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def killed_at_each_call(work: Callable[[], object]) -> Iterator[None]:
    """Run in children that are killed before their first, second ... call, up to one that ends."""
    for last in range(1, 500):
        status = run_in_child(work, last)
        yield
        if status == 0:
            return
        assert status == -signal.SIGKILL
    raise AssertionError("the work does not end")


def external_model(folder: Path) -> Path:
    """A model of two weights, in a folder whose data must be copied where the model goes elsewhere."""
    folder.mkdir()
    weights = [numpy_helper.from_array(np.full((4, 4), i, np.float32), f"w{i}") for i in range(2)]
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(2)]
    ends = [helper.make_tensor_value_info(name, 1, [4, 4]) for name in ("x0", "x2")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = folder / "in.onnx"
    onnx.save(model, path, save_as_external_data=True, location="in.data", size_threshold=0)
    return path


def test_a_model_with_external_data(tmp_path: Path) -> None:
    source = external_model(tmp_path / "source")
    before = {path.name: path.read_bytes() for path in source.parent.iterdir()}
    output = tmp_path / "out" / "out.onnx"
    output.parent.mkdir()
    draft = open_draft(source)
    whole, kills = 0, 0
    for _ in killed_at_each_call(lambda: write_model(draft, output)):
        kills += 1
        clear(output.parent)
        left = {path.name for path in output.parent.iterdir()}
        if "out.onnx" in left:
            whole += 1
            data = {
                tensor.external_data[0].value
                for tensor in onnx.load(output, load_external_data=False).graph.initializer
            }
            assert left == {"out.onnx", *data}
            onnx.checker.check_model(str(output))
        else:
            assert left == set()
        for name in left:
            (output.parent / name).unlink()
        assert {path.name: path.read_bytes() for path in source.parent.iterdir()} == before
    assert whole >= 1
    assert kills > 8


def test_a_text_in_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "m.encodings"
    path.write_text("old", "utf-8")
    for _ in killed_at_each_call(lambda: write_whole(path, "new")):
        clear(tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["m.encodings"]
        assert path.read_text("utf-8") in ("old", "new")
    assert path.read_text("utf-8") == "new"


def test_what_lives_is_left_alone(tmp_path: Path) -> None:
    temporary = Temporary(tmp_path / "model.onnx", ".onnx", claims=tmp_path / "model.onnx.data")
    (tmp_path / "model.onnx.data").write_bytes(b"data")
    temporary.claim()
    os.utime(temporary.path, (0, 0))
    clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {temporary.path.name, "model.onnx.data"}
    os.close(temporary.handle)
    temporary._unlock()
    clear(tmp_path)  # it is old, and no process has it locked
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what is dead and not reaped")
def test_what_a_dead_process_left_goes_even_where_no_parent_reaps_it(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # dead, but still there
    left = tmp_path / f".out.onnx.dlclint-{child}-abcdefgh.onnx"
    left.write_bytes(b"x")
    clear(tmp_path)
    assert not left.exists()
    os.waitpid(child, 0)


def test_files_that_only_look_alike_are_left_alone(tmp_path: Path) -> None:
    dead = 2**22 + 1  # beyond the largest process number of Linux
    (tmp_path / "m.onnx.data").write_bytes(b"of someone else")
    (tmp_path / "empty.data").touch()
    names = {
        ".dlclint-cache",
        f"m.dlclint-{dead}-abcdefgh.onnx",
        f".m.dlclint-{dead}-short",
        ".m.onnx.abcdefgh.onnx",
    }
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / f".m.onnx.data.dlclint-{dead}-i1-abcdefgh.onnx").touch()  # of another inode
    (tmp_path / f".m.onnx.data.dlclint-{dead}-i0-abcdefgh.onnx").touch()  # not yet made
    (tmp_path / f".empty.data.dlclint-{dead}-abcdefgh.onnx").touch()  # which claims nothing
    clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names, "m.onnx.data", "empty.data"}


def test_names_of_any_length(tmp_path: Path) -> None:
    for name in ("a" * 250, "日" * 80, "é" * 120):
        write_whole(tmp_path / name, "text")
        assert (tmp_path / name).read_text("utf-8") == "text"
