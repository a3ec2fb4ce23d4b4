"""The site's pages hang together; `make docs` builds them, runs the tour and fails on a warning."""

import re
import shlex
from pathlib import Path

import click
import pytest

from mlff.cli.main import main

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.relative_to(DOCS).parts[0].startswith("_"))
TOUR = [path for path in PAGES if path.parent.name == "tour" and path.stem != "index"]
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def of(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


def toctree_entries(page: Path) -> set[Path]:
    """The pages that a page lists."""
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    names = [line.strip() for block in blocks for line in block.splitlines() if line.strip() and line[0] != ":"]
    return {(page.parent / f"{name}.md").resolve() for name in names}


def test_every_page_can_be_reached_from_the_first_one():
    reached, new = set(), {(DOCS / "index.md").resolve()}
    while new:
        page = new.pop()
        assert page.is_file(), f"a toctree lists {of(page)}, which is not there"
        reached.add(page)
        new |= toctree_entries(page) - reached
    missing = {of(page) for page in PAGES if page.resolve() not in reached}
    assert not missing, "put these pages into the toctree of docs/howto/index.md, docs/models-index.md or docs/inside.md"


@pytest.mark.parametrize("page", PAGES, ids=of)
def test_the_pages_that_a_page_names_exist(page):
    named = re.findall(r"\bdocs/([\w/-]+\.md)\b", page.read_text())
    linked = [link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()) if link.endswith(".md")]
    assert not [name for name in named if not (DOCS / name).is_file()]
    assert not [link for link in linked if not (page.parent / link).is_file()]


def command_lines(page: Path) -> list[str]:
    """Every ``mlff ...`` line of the shell blocks, continuation lines joined, without its comment."""
    blocks = "\n".join(re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
    return [line.split("#")[0].strip() for line in blocks.splitlines() if line.strip().startswith("mlff ")]


@pytest.mark.parametrize("page", [page for page in PAGES if command_lines(page)], ids=of)
def test_the_commands_of_a_page_parse(page):
    for line in command_lines(page):
        words = shlex.split(re.sub(r"\$\(.*?\)(?= |$)", "SUBSTITUTED", line))[1:]
        command: click.Command = main
        context = click.Context(main)
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(context, words[0])
            assert found is not None, f"`{line}`: no such command"
            command, words = found, words[1:]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        options = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= known | {"--help", "--version", "-h"}, f"`{line}`"


@pytest.mark.parametrize("page", TOUR, ids=of)
def test_a_page_of_the_tour_is_a_notebook_that_checks_what_it_claims(page):
    text = page.read_text()
    assert "kernelspec:" in text.split("---")[1], "the header of a MyST notebook"
    cells = CELL.findall(text)
    code = "\n".join("\n".join(line for line in cell.splitlines() if not line.startswith(":")) for cell in cells)
    compile(code, of(page), "exec")
    assert code.count("assert ") >= 3


@pytest.mark.parametrize("page", TOUR, ids=of)
def test_a_page_of_the_tour_is_read_in_ten_minutes(page):
    words = len(CELL.sub("", page.read_text()).split())
    assert words < 1500  # 200 a minute, and time for code and pictures
