"""``chisep lesions``: segment, grade, compare and report lesions."""

from __future__ import annotations

import typer

from .agree import agree_command
from .follow import follow_command
from .grade import grade_command
from .report import report_command
from .segment import segment_command

app = typer.Typer(name="lesions", help="Segment, grade, compare and report lesions.", no_args_is_help=True)

# One line for each command, in the order of the work.
app.command("segment")(segment_command)
app.command("grade")(grade_command)
app.command("agree")(agree_command)
app.command("follow")(follow_command)
app.command("report")(report_command)
