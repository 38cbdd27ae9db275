"""Files that are judged, and files that are answered with one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conformance.__main__ import main
from conformance.selftest.public_questions import Arrays, entries, save

Shown = pytest.CaptureFixture[str]


def gru(**results: torch.Tensor) -> Arrays:
    """A file's arrays: GRU(3, 4), 2 rows of 3 steps, and its output unless other results are given by entry."""
    torch.manual_seed(0)
    module, x = torch.nn.GRU(3, 4), torch.randn(3, 2, 3)
    with torch.no_grad():
        return entries(module, x, results or {"output": module(x)[0]})


def judge(path: Path, arrays: Arrays | None = None) -> int:
    if arrays is not None:
        save(path, arrays)
    return main(["judge", str(path)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "call.npz"


def changed(**arguments: Any) -> Arrays:
    """The file with other arguments of the module; None leaves one out."""
    arrays = gru()
    found = json.loads(str(arrays["module"])) | arguments
    text = json.dumps({name: value for name, value in found.items() if value is not None})
    return arrays | {"module": np.array(text)}


def test_sound_file_is_allowed(path: Path, capsys: Shown) -> None:
    assert judge(path, gru()) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["module", "GRU(3,", "4),", "float32,", "cpu"]
    assert shown[-1].startswith("allowed: ")
    assert max(map(len, shown)) <= 80


def test_two_results_are_judged_each(path: Path, capsys: Shown) -> None:
    output = gru()["output"]
    arrays = gru() | {"output.cpu": output, "output.cuda": output + np.float32(1e-3)}
    del arrays["output"]
    assert judge(path, arrays) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "not allowed: cuda, whose output" in said
    assert said.endswith("cpu is allowed")
    assert "cpu and cuda differ most at output" in said


def test_two_sound_results_are_told_what_they_may_differ_by(path: Path, capsys: Shown) -> None:
    arrays = gru()
    output = arrays.pop("output")
    assert judge(path, arrays | {"output.a": output, "output.b": np.nextafter(output, np.float32(1))}) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "allowed: a and b are results of correct implementations, at most " in said
    assert "apart where" in said


def test_result_without_a_label_has_a_name_beside_others(path: Path, capsys: Shown) -> None:
    arrays = gru()
    assert judge(path, arrays | {"output.cuda": arrays["output"] + 1}) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "GRU, (no label): every value" in said
    assert "DIFF (no label) and cuda differ most" in said
    assert said.endswith("; (no label) is allowed")
    assert judge(path, arrays | {"output.cuda": arrays["output"]}) == 0
    assert "allowed: (no label) and cuda are results" in " ".join(capsys.readouterr().out.split())


def test_long_labels_are_told_apart(path: Path, capsys: Shown) -> None:
    arrays, labels = gru(), ("computed-on-the-first-of-the-devices-1", "computed-on-the-first-of-the-devices-2")
    output = arrays.pop("output")
    assert judge(path, arrays | {f"output.{label}": output for label in labels}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("    computed")] == list(labels)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (-np.inf, "infinite")], ids=str)
def test_value_that_is_no_number_is_said_to_be_none(value: float, word: str, path: Path, capsys: Shown) -> None:
    arrays = gru()
    arrays["output"][1, 1, 2] = value
    assert judge(path, arrays) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"allowed; got is {word} " in said
    assert "no error is allowed" not in said
    assert said.endswith(f"unit 2 is {word} (clause B1)")


def test_measured_constants_judge_a_file_that_names_the_machine(path: Path, capsys: Shown) -> None:
    judge(path, changed(device="cpu", capability="AVX2", torch="2.13.0+cpu"))
    assert "measured on x86 with AVX2" in capsys.readouterr().out
    judge(path, changed(device="cuda:0", capability="AVX2", torch="2.13.0"))
    assert "union of correct implementations" in capsys.readouterr().out


@pytest.mark.parametrize("as_bits", [True, False])
def test_bfloat16_is_read_as_bits_or_as_float32(as_bits: bool, path: Path) -> None:
    module, x = torch.nn.RNN(3, 4).bfloat16(), torch.randn(3, 2, 3).bfloat16()
    with torch.no_grad():
        found = entries(module, x, {"output": module(x)[0]})
    if not as_bits:
        found = {n: v if n == "module" else _widened(v) for n, v in found.items()}
    assert judge(path, found) == 0


def _widened(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def gradients() -> Arrays:
    """An LSTM's results and gradients of the sum of its output."""
    module, x = torch.nn.LSTM(3, 4), torch.randn(3, 2, 3, requires_grad=True)
    output, (h_n, c_n) = module(x)
    output.sum().backward()
    arrays = entries(module, x, {"output": output, "h_n": h_n, "c_n": c_n, "cotangent.output": torch.ones_like(output)})
    named = {"input": x, **dict(module.named_parameters())}
    return arrays | {f"grad.{name}": value.grad.numpy() for name, value in named.items() if value.grad is not None}


def test_gradients_are_judged(path: Path, capsys: Shown) -> None:
    arrays = gradients()
    assert judge(path, arrays) == 0
    arrays["grad.weight_hh_l0"] = arrays["grad.weight_hh_l0"] * np.float32(1.01)
    assert judge(path, arrays) == 1
    assert "gradient of weight_hh_l0" in capsys.readouterr().out


def test_packed_rows_end_with_their_lengths(path: Path, capsys: Shown) -> None:
    x = torch.randn(4, 2, 3)
    module = torch.nn.GRU(3, 4)
    with torch.no_grad():
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, [4, 2])
        output = torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0])[0]
    x[2:, 1] = float("nan")
    arrays = entries(module, x, {"output": output}) | {"lengths": np.array([4, 2])}
    assert judge(path, arrays) == 0
    capsys.readouterr()
    assert judge(path, arrays | {"output": output.numpy() + (output.numpy() == 0)}) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "got 1 0x1p+0 documented 0 padding: row 1 has 2 steps" in said
    assert "row 1, step 2, unit 0 is padding and not 0 (clause B1)" in said


def test_safetensors_are_read(tmp_path: Path, capsys: Shown) -> None:
    pytest.importorskip("safetensors", reason="it comes with the extra dev alone")
    from safetensors.torch import save_file

    module, x = torch.nn.RNN(3, 4).bfloat16(), torch.randn(3, 2, 3).bfloat16()
    found = entries(module, x, {})
    with torch.no_grad():
        named = {"input": x, "output": module(x)[0].contiguous(), **module.state_dict()}
    path = tmp_path / "call.safetensors"
    save_file(named, path, {"module": str(found["module"])})
    assert judge(path) == 0
    save_file(named, path)
    assert judge(path) == 4
    save_file(named, path, {"module": "9" * 20_000})
    assert judge(path) == 4
    if hasattr(torch, "float8_e4m3fn"):
        save_file(named | {"output": named["output"].to(torch.float8_e4m3fn)}, path, {"module": str(found["module"])})
        assert judge(path) == 4
    path.write_bytes(b"\xff" * 100)
    assert judge(path) == 4
    without, long, *narrow, damaged = capsys.readouterr().err.splitlines()
    assert "metadata module: missing" in without
    assert "longer than 10,000 characters" in long
    assert all("entry output: of type float8_e4m3fn; store plain numbers" in line for line in narrow)
    assert "no readable safetensors file" in damaged


def without(name: str) -> Arrays:
    arrays = gru()
    del arrays[name]
    return arrays


REFUSED: dict[str, tuple[Arrays, str]] = {
    "no input": (without("input"), "entry input: missing"),
    "no arguments": (without("module"), "entry module: missing"),
    "no parameter": (without("weight_hh_l0"), "entry weight_hh_l0: missing; add it, of shape (12, 4)"),
    "no result": (without("output"), "no result; add output"),
    "no JSON": (gru() | {"module": np.array("{")}, "entry module: no JSON"),
    "deep JSON": (gru() | {"module": np.array("[" * 9_000)}, "entry module: no JSON"),
    "long number": (gru() | {"module": np.array("9" * 9_000)}, "entry module: no JSON"),
    "long text": (gru() | {"module": np.array("9" * 20_000)}, "longer than"),
    "list": (gru() | {"module": np.array("[]")}, "no JSON object"),
    "no text": (
        gru() | {"module": np.array(3)},
        "of type int64; store JSON text, as numpy.array(json.dumps(arguments))",
    ),
    "bytes": (gru() | {"module": np.array(b"{}")}, "of type |S2; store JSON text"),
    "texts": (gru() | {"module": np.array(["{}"] * 20_000)}, "entry module: several texts; store JSON text"),
    "unknown key": (changed(dropout=0.5), "unknown key dropout"),
    "unknown cell": (changed(cell="lstmp"), "cell is 'lstmp'"),
    "wrong cell": (changed(cell="lstm"), "entry weight_ih_l0: has shape (12, 3); give (16, 3)"),
    "list as cell": (changed(cell=["gru"]), "cell is ['gru']"),
    "missing key": (changed(dtype=None), "dtype is missing"),
    "true as a size": (changed(hidden_size=True), "hidden_size is True"),
    "huge size": (changed(num_layers=10**30), "num_layers is"),
    "projection": (changed(proj_size=2), "has no projection"),
    "device": (changed(device="\x1b[31mcuda"), "give a device"),
    "unknown entry": (gru() | {"weights": np.zeros(3, np.float32)}, "entry weights: unknown"),
    "escape": (gru() | {"\x1b[31mred": np.zeros(3, np.float32)}, r"entry \x1b[31mred: unknown"),
    "escape in a label": (gru() | {"output.\x1b[31mred": gru()["output"]}, r"entry output.\x1b[31mred: its label has"),
    "long label": (gru() | {"grad.input." + "x" * 41: gru()["output"]}, "not 1 to 40 of them"),
    "label of an input": (gru() | {"input.cuda": gru()["input"]}, "store input once for all"),
    "label of a cotangent": (gru() | {"cotangent.h_n.a": gru()["input"]}, "store cotangent.h_n once for all"),
    "gradient of nothing": (gru() | {"grad.weight_zz": gru()["input"]}, "entry grad.weight_zz: no gradient of this"),
    "cotangent of nothing": (gru() | {"cotangent.x": gru()["input"]}, "those of output, h_n, c_n"),
    "other parameter": (gru() | {"weight_hr_l0": gru()["input"]}, "no parameter of this module; correct the entry mod"),
    "results": (gru() | {f"output.{i}": gru()["output"] for i in range(16)}, "17 results, up to 16 are judged"),
    "no rows": (gru() | {"input": np.zeros((3, 0, 3), np.float32)}, "has no numbers, in shape (3, 0, 3)"),
    "axes": (gru() | {"output": np.zeros((1, 3, 2, 4), np.float32)}, "has 4 axes"),
    "wrong shape": (gru() | {"output": np.zeros((3, 2, 5), np.float32)}, "documented is (3, 2, 4)"),
    "wrong states": (gru() | {"h_0": np.zeros((2, 4), np.float32)}, "entry h_0: has shape (2, 4); give (1, 2, 4)"),
    "cell state": (gru() | {"c_0": np.zeros((1, 2, 4), np.float32)}, "entry "),
    "NaN": (gru() | {"input": np.full((3, 2, 3), np.nan, np.float32)}, "entry input: holds NaN"),
    "other dtype": (gru() | {"output": np.full((3, 2, 4), 0.1)}, "holds numbers that float32 does not store"),
    "integers": (gru() | {"output": np.zeros((3, 2, 4), np.int64)}, "entry output: of type int64"),
    "complex": (gru() | {"output": np.zeros((3, 2, 4), complex)}, "store plain numbers"),
    "lengths": (gru() | {"lengths": np.array([2, 2])}, "entry lengths: give numbers from 1 to 3"),
    "gradient alone": (without("output") | {"grad.input": np.zeros((3, 2, 3), np.float32)}, "of which call?"),
    "gradient": (gru() | {"grad.input": np.zeros((3, 2, 3), np.float32)}, "of which loss?"),
}


@pytest.mark.parametrize(("arrays", "said"), REFUSED.values(), ids=REFUSED)
def test_unusable_file_is_answered_with_one_line_and_exit_code_4(
    arrays: Arrays, said: str, path: Path, capsys: Shown
) -> None:
    assert judge(path, arrays) == 4
    refused(capsys, said)


def refused(capsys: Shown, said: str) -> None:
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert said in shown.err
    assert "call.npz: " in shown.err
    assert shown.err.isprintable() or shown.err.rstrip("\n").isprintable()


def member(path: Path, name: str, content: bytes) -> None:
    """Adds a member to a sound file."""
    save(path, gru())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)


def header(descr: str, shape: str) -> bytes:
    """The beginning of an npy file that claims a type and shape."""
    return as_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")


def as_header(text: str, version: int = 1) -> bytes:
    """The beginning of an npy file whose header is a text."""
    line = f"{text}\n".encode("latin1")
    return b"\x93NUMPY" + bytes([version, 0]) + len(line).to_bytes(2, "little") + line


NO_HEADER = "entry h_0: no header of an array of numbers; write it with numpy.savez"

HOSTILE: dict[str, tuple[bytes, str]] = {
    "objects": (header("'|O'", "(1,)") + b"cos\nsystem\n(S'true'\ntR.", "Python objects, which are not read"),
    "ten gigabytes": (header("'<f4'", "(2500000000,)"), "entry h_0: too large"),
    "more than it has": (header("'<f4'", "(100, 200, 4)"), "header and its length disagree"),
    "negative": (header("'<f4'", "(-1, 2, 4)"), "entry h_0: no readable array"),
    "code": (header("'<f4'", "__import__('os').abort()"), NO_HEADER),
    "long header": (header("'<f4'", "(1, 2, 4)" + " " * 20_000), NO_HEADER),
    "no dictionary": (as_header("[1]"), NO_HEADER),
    "open bracket": (as_header("{'descr': "), NO_HEADER),
    "open brackets": (as_header("(" * 3_000), NO_HEADER),
    "signs": (as_header("-" * 9_000 + "1"), NO_HEADER),
    "no text": (as_header("\xff"), NO_HEADER),
    "other format": (as_header("{}", version=9), NO_HEADER),
    "subarray": (header("('<f4', (100000000,))", "(1,)"), "store plain numbers"),
    "nothing": (b"", NO_HEADER),
}


@pytest.mark.parametrize(("content", "said"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_array_is_refused_before_it_is_read(content: bytes, said: str, path: Path, capsys: Shown) -> None:
    member(path, "h_0.npy", content)
    assert judge(path) == 4
    refused(capsys, said)


def test_warnings_of_a_header_are_not_shown(path: Path) -> None:
    member(path, "h_0.npy", header("'<f4'", "(1L, 2L, 4L)") + bytes(32))
    with warnings.catch_warnings(record=True) as shown:
        assert judge(path) == 0
    assert shown == []


def test_encrypted_member_is_refused(path: Path, capsys: Shown) -> None:
    save(path, gru())
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert judge(path) == 4
    refused(capsys, "encrypted; write the file without a password")


def test_folder_is_none(path: Path, capsys: Shown) -> None:
    path.mkdir()
    assert judge(path) == 4
    refused(capsys, "a folder or a device; give the path of an npz")


def test_file_that_cannot_be_opened_says_why(path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    save(path, gru())
    monkeypatch.setattr(Path, "open", refuse)
    assert judge(path) == 4
    refused(capsys, "Permission denied; give the path of an npz or safetensors file that can be read")


def test_truncated_archive_is_refused(path: Path, capsys: Shown) -> None:
    save(path, gru())
    path.write_bytes(path.read_bytes()[:-200])
    assert judge(path) == 4
    refused(capsys, "no readable npz file")


def test_damaged_member_is_refused(path: Path, capsys: Shown) -> None:
    save(path, gru(), zipfile.ZIP_DEFLATED)
    damaged = bytearray(path.read_bytes())
    damaged[100:140] = bytes(40)
    path.write_bytes(damaged)
    assert judge(path) == 4
    refused(capsys, "no readable")


def test_entry_that_is_stored_twice_is_refused(path: Path, capsys: Shown) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        member(path, "input.npy", header("'<f4'", "(0,)"))
    assert judge(path) == 4
    refused(capsys, "entry input: stored twice")


def test_exit_codes_of_the_command(path: Path) -> None:
    """Of a process of its own: an allowed file's, and that of a file which is not there."""
    save(path, gru())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (os.getcwd(), *sys.path)))}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "conformance", "judge", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for arguments in ([str(path)], [str(path.with_name("absent.npz"))])
    ]
    (allowed, _), (nothing, refusal) = (process.communicate() for process in started)
    assert [process.returncode for process in started] == [0, 4]
    assert "allowed: " in allowed
    assert (nothing, len(refusal.splitlines())) == ("", 1)


@pytest.mark.parametrize("argv", [["judge"], ["judge", "a.npz", "--seed", "-1"], ["judge", "a", "b"]], ids=str)
def test_wrong_argument_has_exit_code_4(argv: list[str], capsys: Shown) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 4
    assert len(capsys.readouterr().err.splitlines()) == 1
