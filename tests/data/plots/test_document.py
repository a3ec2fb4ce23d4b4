"""docs/plots.md: its example runs as written."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[3] / "docs" / "plots.md"


def test_the_example_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert code is not None
    exec(code.group(1), {})
    assert (tmp_path / "torsion.pdf").read_bytes().startswith(b"%PDF")
