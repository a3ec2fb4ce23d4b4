"""The tree is what docs/architecture.md says: layers, names, sizes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "mlff").rglob("*.py"))


def test_modules_import_only_from_the_layers_below():
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", ["utils", "util", "misc", "common", "helpers"])
def test_no_file_is_named_for_nothing(name):
    assert not [path for path in SOURCES if path.stem == name]


def test_every_package_of_the_tree_is_on_the_map():
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = {path.parent.name for path in SOURCES if path.parent.parent == ROOT / "mlff"}
    assert not {name for name in packages if f"`{name}/`" not in text}


def test_every_file_that_the_documents_name_exists():
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    pattern = re.compile(r"`((?:mlff|tests|docs|examples|benchmarks|models)/[\w./-]*\w/?)`")
    placeholder = re.compile(r"your|(/|_)x\.py$|^mlff/_models$")  # a file of the reader's, a folder of the wheel's
    missing = {
        f"{document.name}: {name}"
        for document in documents
        for name in pattern.findall(document.read_text())
        if not (ROOT / name).exists() and not placeholder.search(name)
    }
    assert not missing


def test_nothing_unpickles_but_what_is_asked_to():
    unpickling = re.compile(
        r"torch\.load\(|pickle\.loads?\(|allow_pickle\s*=\s*True|yaml\.(unsafe_load\(|load\((?!.*SafeLoader\)))"
    )
    found = {"/".join(path.parts[-2:]) for path in SOURCES if unpickling.search(path.read_text())}
    own = {each for each in found if each.endswith("/own_process.py")}
    assert len(own) == 1  # from the pipe of a process that it started, as multiprocessing does
    assert found - own == {"external/mace.py", "external/nequip.py"}  # `mlff convert --trust-pickle`


def test_no_module_changes_the_default_dtype_or_device():
    settings = re.compile(r"set_default_(dtype|device|tensor_type)|np\.random\.seed\(")
    found = ["/".join(path.parts[-2:]) for path in SOURCES if settings.search(path.read_text())]
    assert found == ["models/adapter.py"]  # while a package builds a model: tests/models/test_adapters.py
