"""A real browser for tests, and questions to the page in it that a person would answer by looking."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from infra.chromium import Chromium

PATIENCE_S = 60

# Text that stands out too little from what is behind it: its element, and the ratio (WCAG 2.2 wants 4.5 at least).
_FAINT = """
const channel = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const parsed = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = (node) => {
  for (; node; node = node.parentElement) {
    const colour = parsed(getComputedStyle(node).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const faint = [];
for (const node of document.querySelectorAll('body *')) {
  const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  if (!text || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(node.tagName) || !node.getClientRects().length) continue;
  const style = getComputedStyle(node), front = node instanceof SVGElement ? style.fill : style.color;
  const [one, other] = [light(parsed(front)), light(behind(node))].sort((a, b) => b - a);
  const ratio = (one + 0.05) / (other + 0.05);
  if (ratio < 4.5) faint.push(`${node.tagName} ${node.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return faint;
"""

# Inputs and buttons without a name, headers without a scope, pictures without a description.
_UNNAMED = """
const bare = [];
for (const node of document.querySelectorAll('input, select')) if (!node.labels.length) bare.push(node.id);
for (const node of document.querySelectorAll('button')) if (!node.textContent.trim()) bare.push(node.outerHTML);
for (const node of document.querySelectorAll('th')) if (!node.scope) bare.push(node.textContent);
for (const node of document.querySelectorAll('table')) if (!node.caption) bare.push(node.textContent.slice(0, 40));
for (const node of document.querySelectorAll('svg')) if (!node.getAttribute('aria-label')) bare.push('svg');
for (const node of document.querySelectorAll('section')) if (!document.getElementById(node.getAttribute('aria-labelledby'))) bare.push('section');
return bare;
"""  # noqa: E501


class Browser:
    """One tab of a headless Chromium; `close` ends it."""

    def __init__(self, chromium: Chromium) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium.browser
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900"):
            options.add_argument(argument)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium refuses root otherwise
        self.driver = webdriver.Chrome(options=options, service=Service(chromium.driver))

    def close(self) -> None:
        """End the browser and its driver."""
        self.driver.quit()

    def open(self, port: int) -> None:
        """Open the page of a server on this machine, as if for the first time."""
        self.driver.get("about:blank")
        self.complaints()
        self.driver.get(f"http://127.0.0.1:{port}/")
        self.driver.execute_script("sessionStorage.clear()")
        self.driver.refresh()

    def find(self, selector: str) -> WebElement:
        """Return the one element of a CSS selector."""
        (found,) = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found

    def count(self, selector: str) -> int:
        """Return how many elements there are."""
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def text(self, selector: str) -> str:
        """Return what a person can read of an element."""
        return self.find(selector).text

    def wait(self, what: Callable[[], object]) -> None:
        """Wait until something holds."""
        WebDriverWait(self.driver, PATIENCE_S).until(lambda _: what())

    def wait_for(self, selector: str, text: str) -> None:
        """Wait until an element says something."""
        self.wait(lambda: text in self.text(selector))

    def type(self, selector: str, text: str) -> None:
        """Type into an empty field."""
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def click(self, selector: str) -> None:
        """Click, as with a mouse."""
        self.find(selector).click()

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def tab_to(self, identity: str, most: int = 80) -> None:
        """Press Tab until the focus is at an element."""
        for _ in range(most):
            if self.focus() == identity:
                return
            self.press(Keys.TAB)
        raise AssertionError(f"Tab does not lead to {identity}")

    def focus(self) -> str:
        """Return the id of what has the focus."""
        return str(self.ask("return document.activeElement.id"))

    def ask(self, script: str) -> Any:
        """Run a script, as a person with the developer tools would, and return what it returns."""
        return self.driver.execute_script(script)

    def complaints(self) -> list[str]:
        """Return what the browser has complained of since the last question: errors, and what the policy forbade."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log if entry["level"] in {"SEVERE", "WARNING"}]

    def look_as(self, width: int, height: int, scheme: str) -> None:
        """Look at it at this width (CSS pixels), in the light or the dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        scheme_wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme_wanted)

    def faint(self) -> list[str]:
        """Return the texts that stand out too little."""
        return list(self.ask(_FAINT))

    def spilled(self) -> list[str]:
        """Return the parts whose content is wider than they are; what scrolls by itself is not."""
        wide = "[...document.querySelectorAll('.card')].filter((one) => one.scrollWidth > one.clientWidth)"
        return list(self.ask(f"return {wide}.map((one) => one.textContent.slice(0, 60))"))

    def unnamed(self) -> list[str]:
        """Return what a screen reader could not name."""
        return list(self.ask(_UNNAMED))
