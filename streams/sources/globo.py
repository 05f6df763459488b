"""News clicks of Globo.com (G1) as published with Moreira et al. 2018, "News Session-Based Recommendations Using Deep
Neural Networks" (DLRS, 10.1145/3270323.3270328): csv of one click a row, sorted by `click_timestamp`, days of Brasilia.
"""

from __future__ import annotations

from pathlib import Path

from streams.sources.columns import Columns
from streams.sources.files import files_at

DAY_ZONE = "America/Sao_Paulo"
COLUMNS = Columns(
    user="user_id",
    item="click_article_id",
    time="click_timestamp",
    discrete=(
        ("environment", "click_environment"),
        ("deviceGroup", "click_deviceGroup"),
        ("os", "click_os"),
        ("country", "click_country"),
        ("region", "click_region"),
        ("referrer_type", "click_referrer_type"),
    ),
)


def globo_files(path: Path) -> list[Path]:
    """Return the file, or a folder's daily files in the order of their days. Raises `MissingInput`."""
    return files_at(path, "clicks_*.csv", "clicks_*.csv.gz")
