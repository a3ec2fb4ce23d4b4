"""The directive ``mlff-command``: sections with usage, text and options of a command and all commands below it.

They come from click, as `mlff COMMAND --help` does; a command's module is imported when its section is made.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

CODE = re.compile(r"`([^`]+)`")


class CommandDirective(Directive):
    """``mlff-command:: train`` or, for a command in a group, ``mlff-command:: data import``."""

    required_arguments = 1
    optional_arguments = 10

    def run(self) -> list[nodes.Node]:
        from mlff.cli.main import main

        context = click.Context(main, info_name="mlff")
        for name in self.arguments:
            command = main if name == "mlff" else context.command.get_command(context, name)
            if command is None:
                raise self.error(f"mlff has no command {' '.join(self.arguments)!r}")
            if name != "mlff":
                context = click.Context(command, info_name=name, parent=context)
        return [self.section(context)]

    def section(self, context: click.Context) -> nodes.section:
        """The command of the context, then one section inside for each of its own commands."""
        title = context.command_path
        section = nodes.section(ids=[nodes.make_id(title)], names=[nodes.fully_normalize_name(title)])
        section += nodes.title(title, title)
        usage = " ".join([title, *context.command.collect_usage_pieces(context)])
        section += nodes.literal_block(usage, usage, language="none")
        section += paragraphs(context.command.help or "")
        section += options(context)
        if isinstance(context.command, click.Group):
            for name in context.command.list_commands(context):
                command = context.command.get_command(context, name)
                section += self.section(click.Context(command, info_name=name, parent=context))
        self.state.document.note_implicit_target(section, section)
        return section


def paragraphs(text: str) -> Iterator[nodes.Node]:
    """Paragraphs of click's help: those that begin with a backspace character keep their lines."""
    for part in inspect.cleandoc(text).split("\f")[0].split("\n\n"):
        lines = part.strip("\n")
        if lines.startswith("\b"):
            kept = inspect.cleandoc(lines.removeprefix("\b"))
            yield nodes.literal_block(kept, kept, language="none")
        elif lines.strip():
            yield nodes.paragraph("", "", *words(" ".join(lines.split())))


def words(text: str) -> Iterator[nodes.Node]:
    """Text with what stands in backticks as code."""
    for position, part in enumerate(CODE.split(text)):
        if part:
            yield nodes.literal(part, part) if position % 2 else nodes.Text(part)


def options(context: click.Context) -> Iterator[nodes.Node]:
    """A list of the options, with the words of `--help`."""
    records = [parameter.get_help_record(context) for parameter in context.command.get_params(context)]
    entries = nodes.definition_list()
    for names, text in filter(None, records):
        meaning = nodes.definition("", nodes.paragraph("", "", *words(text)))
        entries += nodes.definition_list_item("", nodes.term("", "", nodes.literal(names, names)), meaning)
    if entries.children:
        yield entries


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("mlff-command", CommandDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
