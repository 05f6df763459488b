"""What `freshet experiment` prints of an experiment."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from trainer.experiments.report import intervals, monolith_rows, rows, verdict
from trainer.experiments.results import ArmFigures, Experiment


def print_found(found: Experiment, page: Path) -> None:
    """Print every arm of every run, what was not made, and where the page is."""
    console = Console()
    table = Table(title=f"{found.name}: {found.asks}", title_justify="left")
    table.add_column("run")
    table.add_column("arm")
    truth = any(figures.truth for _, _, figures in rows(found))
    for name in ("@20 all", "@20 active", "of all clicks", "AUC", *(["truth"] if truth else [])):
        table.add_column(name, justify="right")
    for run, arm, figures in rows(found):
        table.add_row(run.name, arm.replace("_", " "), *_cells(figures))
    console.print(table)
    if intervals(found):
        beside = Table("published every", "our AUC", "our recall@20", "Monolith's AUC", title="points gained")
        for row in monolith_rows(found):
            beside.add_row(*row)
        console.print(beside)
    console.print(verdict(found), highlight=False)
    for left in found.not_made:
        console.print(f"not made: {left}", highlight=False)
    console.print(f"the page         {page}", highlight=False, soft_wrap=True)


def _cells(figures: ArmFigures) -> list[str]:
    whole, active = figures.slices["all"], figures.slices["active"]
    spreads = [whole.recall20, active.recall20, whole.recall20_all]
    cells = [f"{each.mean:.4f} ± {each.deviation:.4f}" if each.deviation else f"{each.mean:.4f}" for each in spreads]
    truth = [f"{figures.truth.mean:.4f}"] if figures.truth else []
    return [*cells, f"{whole.auc.mean:.4f}", *truth]
