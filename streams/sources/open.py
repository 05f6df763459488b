"""From options to a source: finds the files, tells their format, and refuses at once what cannot be read."""

from __future__ import annotations

import re
from dataclasses import asdict
from functools import partial
from pathlib import Path

from contracts.errors import UsageError
from streams.sources import globo, json_lines, mind, tables
from streams.sources.columns import Columns, columns_from
from streams.sources.files import beginning, files_at, line_estimate
from streams.sources.options import Format, SourceOptions
from streams.sources.source import Source
from streams.sources.synthetic import SyntheticSettings, synthetic_events

_NAME_CHARACTERS = 40
_JSONL = ("*.jsonl", "*.jsonl.gz", "*.ndjson", "*.ndjson.gz")
_CSV = ("*.csv", "*.csv.gz", "*.tsv", "*.tsv.gz")
_PARQUET = ("*.parquet",)
_HISTORIES = "before the impressions come the histories of their users"
_PARQUET_MAGIC = b"PAR1"
_IMPRESSIONS: dict[Format, tuple[str, ...]] = {"mind": mind.BEHAVIORS, "ebnerd": ("behaviors.parquet",)}


def open_source(options: SourceOptions) -> Source:
    """Return the log that the options name; its first rows have been looked at. Raises `UsageError`, `MissingInput`."""
    if options.data is None:
        return _synthetic(options)
    match options.format or told_format(options.data, bool(options.columns)):
        case "globo":
            return _globo(options.data, options)
        case "mind":
            return _mind(options.data, options)
        case "ebnerd":
            return _ebnerd(options.data, options)
        case "parquet":
            return _parquet(options.data, options)
        case "csv":
            return _csv(options.data, options)
        case "jsonl":
            return _jsonl(options.data, options)
        case "synthetic":
            raise UsageError("--format synthetic reads no --data", hint="Leave one of the two away.")


def told_format(data: Path, columns_named: bool) -> Format:
    """Tell the format of a file or folder from names and beginnings. Raises `UsageError` where they do not tell."""
    if data.is_dir():
        for told, names in _IMPRESSIONS.items():
            if any(next(data.glob(place + name), None) for name in names for place in ("", "*/")):
                return told
    files = files_at(data, *_JSONL, *_CSV, *_PARQUET)
    if all(re.search(r"\.(jsonl|ndjson)(\.gz)?$", file.name) for file in files):
        return "jsonl"
    if beginning(files[0], len(_PARQUET_MAGIC)) == _PARQUET_MAGIC:
        return _told_parquet(files[0], columns_named)
    if columns_named:
        return "csv"
    if files[0].name in mind.BEHAVIORS or mind.is_mind(files[0]):
        return "mind"
    if not set(globo.COLUMNS.needed()) - set(tables.header_of(files[0])):
        return "globo"
    raise _untold(data)


def _told_parquet(file: Path, columns_named: bool) -> Format:
    from streams.sources.ebnerd import is_ebnerd

    if columns_named:
        return "parquet"
    if is_ebnerd(file):
        return "ebnerd"
    raise _untold(file)


def _untold(data: Path) -> UsageError:
    return UsageError(
        f"what {data} holds cannot be told from its name and beginning",
        hint="Say --format jsonl, or --format csv or parquet with --columns user=COLUMN,item=COLUMN,time=COLUMN.",
    )


def _synthetic(options: SourceOptions) -> Source:
    if options.format not in (None, "synthetic"):
        raise UsageError(f"--format {options.format} needs a file", hint="Name it with --data PATH.")
    settings = options.synthetic
    return Source(
        name=_synthetic_name(settings),
        day_zone="UTC",
        read=partial(synthetic_events, settings),
        total=settings.total,
        disorder_ms=options.disorder_ms,
    )


def _globo(data: Path, options: SourceOptions) -> Source:
    _no_columns(options, "globo")
    return _tables("globo", globo.globo_files(data), globo.COLUMNS, options)


def _csv(data: Path, options: SourceOptions) -> Source:
    return _tables("csv", files_at(data, *_CSV), _columns(options, "csv"), options)


def _mind(data: Path, options: SourceOptions) -> Source:
    _no_columns(options, "mind")
    files = mind.mind_files(data)
    mind.check_mind(files)
    return Source(
        name=_file_name("mind", data),
        day_zone="UTC",
        read=partial(mind.read_mind, files),
        files=files.behaviors + files.news,
        uneven=_HISTORIES,
    )


def _ebnerd(data: Path, options: SourceOptions) -> Source:
    from streams.sources import ebnerd  # brings pyarrow

    _no_columns(options, "ebnerd")
    files = ebnerd.ebnerd_files(data)
    ebnerd.check_ebnerd(files)
    return Source(
        name=_file_name("ebnerd", data),
        day_zone="UTC",
        read=partial(ebnerd.read_ebnerd, files),
        total=ebnerd.events_in(files),
        files=files.behaviors + files.histories + files.articles,
        uneven=_HISTORIES,
    )


def _parquet(data: Path, options: SourceOptions) -> Source:
    from streams.sources import parquet  # brings pyarrow

    files = files_at(data, *_PARQUET)
    columns = parquet.timed(files, _columns(options, "parquet"))
    parquet.check_parquet(files, columns)
    return Source(
        name=_file_name("parquet", data),
        day_zone="UTC",
        read=partial(parquet.read_parquet, files, columns),
        total=parquet.rows_in(files),
        sort_hint=parquet.sort_hint(files, columns),
        disorder_ms=options.disorder_ms,
        files=tuple(files),
    )


def _tables(format_name: str, files: list[Path], columns: Columns, options: SourceOptions) -> Source:
    tables.check_tables(files, columns)
    return Source(
        name=_file_name(format_name, options.data or files[0]),
        day_zone=globo.DAY_ZONE if format_name == "globo" else "UTC",
        read=partial(tables.read_tables, files, columns),
        total=line_estimate(files) or None,
        sort_hint=tables.sort_hint(files, columns),
        disorder_ms=options.disorder_ms,
        files=tuple(files),
    )


def _jsonl(data: Path, options: SourceOptions) -> Source:
    files = files_at(data, *_JSONL)
    columns = _columns(options, "jsonl") if options.columns else None
    json_lines.check_lines(files, columns)
    read = partial(json_lines.read_events, files) if columns is None else partial(json_lines.read_rows, files, columns)
    return Source(
        name=_file_name("jsonl", data),
        day_zone="UTC",
        read=read,
        total=line_estimate(files) or None,
        sort_hint=json_lines.sort_hint(files, columns),
        disorder_ms=options.disorder_ms,
        files=tuple(files),
    )


def _columns(options: SourceOptions, format_name: str) -> Columns:
    if not options.columns:
        raise UsageError(
            f"--format {format_name} needs to know the columns", hint="Say --columns user=NAME,item=NAME,time=NAME."
        )
    return columns_from(options.columns, options.context_columns, options.number_columns, options.time_unit)


def _no_columns(options: SourceOptions, format_name: str) -> None:
    if options.columns:
        raise UsageError(
            f"--columns says nothing about --format {format_name}",
            hint="Leave it away, or use --format csv or parquet.",
        )


def _file_name(format_name: str, path: Path) -> str:
    stem = re.sub(r"(\.(csv|tsv|jsonl|ndjson|parquet))?(\.gz)?$", "", path.resolve().name)
    return f"{format_name}-{re.sub(r'[^A-Za-z0-9_-]+', '_', stem)}"[:_NAME_CHARACTERS].rstrip("-_")


def _synthetic_name(settings: SyntheticSettings) -> str:
    usual = asdict(SyntheticSettings())
    other = [f"{key}{value}" for key, value in asdict(settings).items() if value != usual[key]]
    return re.sub(r"[^A-Za-z0-9.-]", "", "-".join(["synthetic", *other]))
