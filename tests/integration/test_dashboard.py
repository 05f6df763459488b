"""The dashboard in a real browser: what it shows, clicks, hostile text, two steps back, outages, a phone, no mouse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from contracts import served as served_chain
from contracts.bases import OpenBase
from contracts.layout import Layout
from infra.ports import free_ports
from tests.support.bases import CUT, Tiny, append_round, serve, tiny_base
from tests.support.browser import Browser
from tests.support.days import HALF_HOUR, a_day, a_round, damage, have_a_next_base, have_nights, publish, refuse
from tests.support.serving import served

OPERATOR = {"FRESHET_SERVING_OPERATOR_TOKEN": "may roll back"}
HOSTILE = "\"><img src=x onerror=alert(1)><script>alert(2)</script>&lt;b&gt;'"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def rich(layout: Layout) -> OpenBase:
    base = a_day(layout, 6)
    refuse(layout, base)
    have_nights(layout, base, "planned", "retrained", "refused", why="worse")
    have_a_next_base(layout, base)
    return base


def test_the_page_shows_a_day_and_the_browser_complains_of_nothing(layout: Layout, browser: Browser) -> None:
    rich(layout)
    with served(layout) as (port, _):
        browser.open(port)
        browser.wait_for("#headline", "Version 7 on base tiny")
        assert "A version after 7 was refused, by recall." in browser.text("#attention")
        assert "Recall@20 of" in browser.text("#recall")
        assert browser.count("#recall svg path.line") == 2
        assert browser.count("#recall svg rect.bar") == 6
        assert browser.count("#versions tbody tr") == 8  # and the one that was refused
        assert "folding" in browser.text("#bases")
        assert browser.count("#counts .bad") == 0
        assert "operator_token_file" in browser.text("#versions")
        assert (browser.unnamed(), browser.complaints()) == ([], [])


def test_what_is_published_is_shown_by_itself_and_what_was_unfolded_stays_so(layout: Layout, browser: Browser) -> None:
    base = a_day(layout, 2)
    with served(layout) as (port, _):
        browser.open(port)
        browser.wait_for("#headline", "Version 3")
        browser.click("#gates-3 summary")
        browser.click("#recall-table summary")
        a_round(layout, base, 3)
        publish(layout, base, CUT + 3 * HALF_HOUR)
        browser.wait_for("#headline", "Version 4")
        assert browser.ask("return [byId('gates-3').open, byId('gates-4').open, byId('recall-table').open]") == [
            True,
            False,
            True,
        ]
        assert browser.complaints() == []


def test_a_user_is_shown_before_and_after_the_last_publish(layout: Layout, browser: Browser) -> None:
    base = a_day(layout, 2)
    assert base.manifest.partitions == 2
    arms = {"FRESHET_CONFIG": str(layout.root / "config")}
    (layout.root / "config").mkdir()
    text = '[[arm]]\nname = "control"\nshare = 0.5\nserves = "frozen"\n'
    (layout.root / "config" / "serving.toml").write_text(text)
    with served(layout, **arms) as (port, _):
        browser.open(port)
        browser.wait_for("#headline", "Version 3")
        assert "control" in browser.text("#now")
        browser.type("#user", "u1")
        browser.press(Keys.ENTER)
        browser.wait_for("#user-answer", "User u1")
        said = browser.text("#user-answer")
        assert "entered" in said
        assert "left with version 3" in said
        for column in ("before: version 2", "now: version 3", "arm control: version 3"):
            assert column in said
        assert browser.count("#user-answer tbody tr") >= 20
        nan = "{version: 1, items: [{item_id: 'i1', score: null}]}"
        said = browser.ask(f"return answersTable({{now: {nan}, entered: [], left: [], arms: []}}).textContent")
        assert "i1 no number" in said
        for user in ("nobody", "..", "a/b?c#d", "ü\u202e"):
            browser.type("#user", user)
            browser.click("#user-form button")
            browser.wait_for("#user-answer", f"User {user}")
        assert "common row: this user has none" in browser.text("#user-answer")
        assert (browser.unnamed(), browser.complaints()) == ([], [])


def test_hostile_ids_names_and_reasons_are_text_and_nothing_else(layout: Layout, browser: Browser) -> None:
    base = tiny_base(layout, Tiny(item_name=HOSTILE))
    append_round(layout, base, 1)
    serve(layout, base)
    append_round(layout, base, 2)
    serve(layout, base, who=HOSTILE, why=HOSTILE)
    refuse(layout, base, HOSTILE)
    have_nights(layout, base, "planned", "refused", why=HOSTILE)
    with served(layout, **OPERATOR) as (port, _):
        browser.open(port)
        browser.wait_for("#headline", "Version 2")
        browser.type("#user", HOSTILE)
        browser.click("#user-form button")
        browser.wait_for("#user-answer", HOSTILE)
        assert HOSTILE in browser.text("#versions")
        assert HOSTILE in browser.text("#attention")
        assert HOSTILE in browser.text("#bases")
        assert (browser.count("img"), browser.count("script"), browser.count("main b")) == (0, 1, 0)
        browser.look_as(380, 800, "light")
        assert browser.ask("return document.documentElement.scrollWidth") <= 380
        assert browser.complaints() == []


def test_a_rollback_takes_two_steps_a_name_a_reason_and_the_right_token(layout: Layout, browser: Browser) -> None:
    a_day(layout, 3)
    with served(layout, **OPERATOR) as (port, _):
        browser.open(port)
        browser.wait_for("#headline", "Version 4")
        assert browser.count("#back-to-4") == 0
        browser.click("#back-to-2")
        browser.wait_for("#rollback-plan", "what version 2 showed")
        assert "4, of 2 partitions" in browser.text("#rollback-plan")
        browser.click("#rollback-do")
        assert browser.count("dialog[open] #who:invalid") == 1  # nothing is sent without a name
        browser.type("#who", "Anna")
        browser.type("#why", "odd answers")
        browser.type("#operator", "a guess")
        browser.click("#rollback-do")
        browser.wait_for("#rollback-fault", "the token of an operator is needed. It is what `operator_token_file`")
        assert served_chain.chain(layout).head_number() == 4
        assert (browser.focus(), browser.find("#operator").get_property("value")) == ("operator", "")
        browser.type("#operator", "may roll back")
        browser.click("#rollback-do")
        browser.wait(lambda: browser.count("dialog[open]") == 0)
        browser.wait_for("#headline", "Version 5")
        browser.wait_for("#attention", "Version 2 is served again, by Anna at the dashboard: odd answers")
        assert browser.ask("return JSON.stringify(sessionStorage) + JSON.stringify(localStorage)") == "{}{}"
    head = served_chain.head(layout)
    assert head
    assert (head.number, head.body.action, head.body.content_of) == (5, "rollback", 2)


def test_a_rollback_decided_on_what_is_no_longer_served_is_not_made(layout: Layout, browser: Browser) -> None:
    base = a_day(layout, 3)
    with served(layout, **OPERATOR) as (port, _):
        browser.open(port)
        browser.wait_for("#headline", "Version 4")
        browser.click("#back-to-2")
        browser.wait_for("#rollback-plan", "what version 2 showed")
        a_round(layout, base, 4)
        publish(layout, base, CUT + 4 * HALF_HOUR)
        for field, text in (("#who", "Anna"), ("#why", "odd"), ("#operator", "may roll back")):
            browser.type(field, text)
        browser.click("#rollback-do")
        browser.wait_for("#rollback-fault", "version 5 is served by now, no longer version 4")
    assert served_chain.chain(layout).head_number() == 5


def test_a_rollback_can_be_looked_at_and_left_without_a_mouse(layout: Layout, browser: Browser) -> None:
    a_day(layout, 3)
    with served(layout, **OPERATOR) as (port, _):
        browser.open(port)
        browser.wait_for("#headline", "Version 4")
        browser.press(Keys.TAB)
        assert browser.ask("return document.activeElement.className") == "skip"
        browser.tab_to("back-to-3")
        browser.press(Keys.ENTER)
        browser.wait(lambda: browser.focus() == "who")
        browser.tab_to("rollback-do")
        browser.press(Keys.ESCAPE)
        browser.wait(lambda: browser.focus() == "back-to-3")
        assert browser.count("dialog[open]") == 0


def test_a_server_with_a_token_is_opened_by_it(layout: Layout, browser: Browser) -> None:
    a_day(layout, 1)
    with served(layout, FRESHET_SERVING_TOKEN="open", **OPERATOR) as (port, _):
        browser.open(port)
        browser.wait(lambda: browser.focus() == "token")
        assert not browser.find("main").is_displayed()
        for wrong in ("shut", "ключ"):
            browser.type("#token", wrong)
            browser.press(Keys.ENTER)
            browser.wait_for("#token-fault", "That is not the token.")
        browser.type("#token", "open")
        browser.press(Keys.ENTER)
        browser.wait_for("#headline", "Version 2")
        assert not browser.find("#token-form").is_displayed()


def nothing(layout: Layout) -> None:
    assert not layout.served().exists()


def without_deltas(layout: Layout) -> None:
    serve(layout, tiny_base(layout))


def with_a_damaged_version(layout: Layout) -> None:
    a_day(layout, 3)
    damage(next(layout.served().glob("*2.json")))


def with_a_damaged_shard(layout: Layout) -> None:
    a_day(layout, 3)
    damage(next(layout.shards("events", 1).glob("*4.json")))


def with_damaged_validation(layout: Layout) -> None:
    a_day(layout, 3)
    damage(next(layout.deltas("tiny", 0).glob("*2-*.jsonl")))


def with_damaged_nights(layout: Layout) -> None:
    have_nights(layout, a_day(layout, 3), "planned")
    damage(next(layout.nights("events").glob("*1.json")))


def without_milvus(layout: Layout) -> None:
    a_day(layout, 3)


@pytest.mark.parametrize(
    ("state", "headline", "said", "shown"),
    [
        (nothing, "Nothing is served yet", "Nothing is served yet.", "#attention"),
        (without_deltas, "Version 1", "Nothing.", "#versions tbody tr"),
        (with_a_damaged_version, "Version 4", "is damaged at", "#recall svg"),
        (with_a_damaged_shard, "Version 4", "Samples and deltas:", "#recall svg"),
        (with_damaged_validation, "Version 4", "Recall of version 3:", "#counts tbody tr"),
        (with_damaged_nights, "Version 4", "Nights:", "#counts tbody tr"),
        (without_milvus, "Version 4", "exact, for Milvus is away", "#counts tbody tr"),
    ],
)
def test_a_part_that_is_away_is_named_and_the_rest_is_shown(
    layout: Layout, browser: Browser, state: Callable[[Layout], None], headline: str, said: str, shown: str
) -> None:
    state(layout)
    milvus = {"FRESHET_SERVING_SEARCH": "milvus", "FRESHET_SERVING_MILVUS_URI": f"http://127.0.0.1:{free_ports(1)[0]}"}
    wanted = {**milvus, "FRESHET_SERVING_TIMEOUT_SECONDS": "0.5"} if state is without_milvus else {}
    with served(layout, **wanted) as (port, _):
        browser.open(port)
        browser.wait_for("#headline", headline)
        browser.wait_for("#attention", said)
        assert browser.count(shown) > 0
        assert [line for line in browser.complaints() if "status of" not in line] == []


def test_a_server_that_is_away_is_told_beside_what_was_known_and_is_found_again(
    layout: Layout, browser: Browser
) -> None:
    a_day(layout, 2)
    with served(layout) as (port, process):
        browser.open(port)
        browser.wait_for("#headline", "Version 3")
        process.kill()
        process.wait()
        browser.wait_for("#told", "The server does not answer")
        assert "What stands here is from" in browser.text("#told")
        assert browser.count("#recall svg") == 1
        browser.type("#user", "u1")
        browser.click("#user-form button")
        browser.wait_for("#user-answer", "The server does not answer.")
    with served(layout, FRESHET_SERVING_PORT=str(port)):
        browser.wait(lambda: browser.text("#told") == "")


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1080, "dark"), (1400, "light")])
def test_everything_can_be_read_on_a_phone_and_a_screen_by_day_and_by_night(
    layout: Layout, browser: Browser, scheme: str, width: int
) -> None:
    rich(layout)
    with served(layout, **OPERATOR) as (port, _):
        browser.look_as(width, 800, scheme)
        browser.open(port)
        browser.wait_for("#headline", "Version 7")
        browser.type("#user", "u1")
        browser.press(Keys.ENTER)
        browser.wait_for("#user-answer", "User u1")
        browser.ask("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert (browser.faint(), browser.spilled()) == ([], [])
        assert browser.ask("return document.documentElement.scrollWidth") <= width
        small = "return [...document.querySelectorAll('button, input, select')].filter((one) => one.offsetHeight)"
        assert browser.ask(f"{small}.filter((one) => one.offsetHeight < 32).map((one) => one.id)") == []
        browser.ask("byId('back-to-6').click()")
        browser.wait_for("#rollback-plan", "what version 6 showed")
        assert browser.faint() == []
