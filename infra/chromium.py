"""Chromium and its driver, Debian's packages: the browser in which the dashboard is tested."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from contracts.errors import MissingServer
from infra.apt import install_packages, may_install, refresh_lists

PACKAGES = ("chromium", "chromium-driver")
BROWSER, DRIVER = "chromium", "chromedriver"


@dataclass(frozen=True)
class Chromium:
    """Where the browser and its driver are."""

    browser: str
    driver: str


def find_chromium() -> Chromium:
    """Return what is installed. Raises `MissingServer`."""
    browser, driver = shutil.which(BROWSER), shutil.which(DRIVER)
    if not browser or not driver:
        packages = " ".join(PACKAGES)
        raise MissingServer("There is no Chromium with its driver.", hint=f"On Debian: apt-get install {packages}.")
    return Chromium(browser, driver)


def install_chromium(log: Callable[[str], None]) -> None:
    """Install both with apt-get where one is missing and that is allowed; else `find_chromium` says what to install."""
    if not (shutil.which(BROWSER) and shutil.which(DRIVER)) and may_install():
        refresh_lists()
        install_packages(PACKAGES, log)
