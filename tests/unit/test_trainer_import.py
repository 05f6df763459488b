"""A model that somebody else trained, from its files to an answer: imported, learned on, published, judged."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import freshet
from contracts import nights
from contracts.bases import CONTEXT_ENCODER, DENSE, BaseStore, OpenBase
from contracts.catalogue import Catalogue
from contracts.errors import UsageError
from contracts.events import Context, Item
from contracts.features import DiscreteFeature, FeatureEncoder, FeatureSpec
from contracts.layout import Layout
from examples import import_implicit
from publisher.fresh_items import fresh_items
from publisher.promotion import Order, publish_once
from publisher.settings import PublisherSettings
from serving.retriever import Retriever
from serving.settings import ServingSettings
from serving.user_tower import UserTower
from tests.support.tastes import DAYS, Tastes, write_tastes
from tests.support.trained import fold, small_settings, train
from tests.support.two_towers import (
    CONTEXT,
    WIDTH,
    Encoder,
    Foreign,
    Tower,
    export,
    write_features,
    write_model,
    write_vectors,
)
from trainer import lineage
from trainer.calibration import CALIBRATION
from trainer.commands_import import import_model
from trainer.context_encoder import context_encoder
from trainer.digest import online_digest, overlay
from trainer.evaluation import results
from trainer.evaluation.clicks import Asked
from trainer.evaluation.commands import evaluate
from trainer.evaluation.day import read_log_day
from trainer.evaluation.rows import FrozenRows, LearningRows
from trainer.evaluation.stage import set_up
from trainer.importing.record import of_base
from trainer.nightly import NightOrder, nightly
from trainer.training_days import open_topic

TASTES = Tastes(days=3, users=60, clicks_per_day=900)
USERS = [*(f"u{user}.0" for user in range(59)), "never clicked"]  # all but one of the first day's
ITEMS = [f"i{topic}.{item}" for topic in range(8) for item in range(10)]
SOME = [Context({"device": "phone"}, {"hour": 7.0}), Context({"device": "fridge"}), Context({}, {"hour": 23.0})]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_TRAINER_ONLINE__BLOCK_SAMPLES", "16")
    monkeypatch.setenv("FRESHET_TRAINER_ONLINE__NEGATIVES", "32")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the shards of three days."""
    root = tmp_path_factory.mktemp("log")
    write_tastes(Layout(root), TASTES)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Foreign:
    """Random rows and vectors."""
    return write_model(tmp_path_factory.mktemp("model"), USERS, ITEMS)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A context encoder as ONNX."""
    return export(Encoder(), tmp_path_factory.mktemp("encoder") / "context.onnx")


@pytest.fixture
def root(log: Path, tmp_path: Path) -> Iterator[Path]:
    """A run folder of its own with the shards."""
    shutil.copytree(log, tmp_path / "run")
    yield tmp_path / "run"


def imported(root: Path, model: Foreign, *words: str, days: int = 1) -> OpenBase:
    """Import a model as a person does; return the base."""
    before = set(BaseStore(Layout(root)).ids())
    named = [word for day in DAYS[:days] for word in ("--day", day)]
    files = ["--items", str(model.items), "--users", str(model.users), "--features", str(model.features)]
    assert import_model(["--root", str(root), *named, *files, *words]) == 0
    store = BaseStore(Layout(root))
    (base_id,) = set(store.ids()) - before or {store.ids()[-1]}
    return store.open(base_id)


def user_vectors(base: OpenBase, users: list[str], contexts: list[Context]) -> np.ndarray:
    rows = np.stack([base.common + base.rows[user].own for user in users])
    return UserTower(base).vectors(rows, contexts)


def encoded(contexts: list[Context]) -> np.ndarray:
    """What the encoder, in torch, makes of contexts."""
    import torch

    codes, numbers = FeatureEncoder(CONTEXT).encode(contexts)
    with torch.no_grad():
        return np.asarray(Encoder().eval()(torch.from_numpy(codes), torch.from_numpy(numbers)))


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def test_scores_are_those_of_the_model_for_a_cosine(root: Path, model: Foreign, encoder: Path) -> None:
    base = imported(root, model, "--context-encoder", str(encoder), "--temperature", "0.2")
    found = user_vectors(base, USERS[:3], SOME) @ base.items.vectors.T
    wanted = unit(model.rows[:3] + encoded(SOME)) @ unit(model.vectors).T / 0.2
    assert np.allclose(found, wanted, atol=1e-4)
    vectors = context_encoder(base).vectors(*FeatureEncoder(CONTEXT).encode(SOME))
    assert np.allclose(vectors, encoded(SOME) * of_base(base).user_scale, atol=1e-5)


def test_scores_are_those_of_the_model_for_a_dot_product(root: Path, model: Foreign, encoder: Path) -> None:
    base = imported(root, model, "--context-encoder", str(encoder), "--score", "dot", "--temperature", "2")
    found = user_vectors(base, USERS[:3], SOME) @ base.items.vectors.T
    wanted = (model.rows[:3] + encoded(SOME)) @ model.vectors.T / 2
    assert np.allclose(found, wanted, atol=1e-4)
    assert np.linalg.norm(base.items.vectors, axis=1).max() == pytest.approx(10)


def test_a_turned_row_scores_as_in_the_tower_that_turns_it(root: Path, model: Foreign, tmp_path: Path) -> None:
    import torch

    tower = export(Tower("turned"), tmp_path / "turned.onnx", WIDTH)
    base = imported(root, model, "--user-tower", str(tower))
    codes, numbers = FeatureEncoder(CONTEXT).encode(SOME)
    inputs = (torch.from_numpy(model.rows[:3]), torch.from_numpy(codes), torch.from_numpy(numbers))
    with torch.no_grad():
        wanted = unit(Tower("turned").eval()(*inputs).numpy()) @ unit(model.vectors).T / 0.1
    assert np.allclose(user_vectors(base, USERS[:3], SOME) @ base.items.vectors.T, wanted, atol=1e-3)
    assert of_base(base).folded


def test_a_tower_without_context_shifts_the_common_row(root: Path, model: Foreign, tmp_path: Path) -> None:
    dice = np.random.default_rng(4)
    weight, bias = (dice.normal(size=shape).astype(np.float32) for shape in ((WIDTH, WIDTH), (WIDTH,)))
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["id_embedding", "weight", "bias"], ["user"])],
        "user",
        [helper.make_tensor_value_info("id_embedding", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("user", TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (tmp_path / "tower.onnx").write_bytes(made.SerializeToString())
    base = imported(root, model, "--user-tower", str(tmp_path / "tower.onnx"), "--score", "dot")
    assert base.manifest.towers.context == FeatureSpec()
    wanted = (model.rows[:3] @ weight + bias) @ model.vectors.T
    assert np.allclose(user_vectors(base, USERS[:3], SOME) @ base.items.vectors.T, wanted, atol=1e-3)


def test_a_tower_that_is_not_linear_is_refused_and_nothing_is_written(
    root: Path, model: Foreign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tower = export(Tower("mlp"), tmp_path / "mlp.onnx", WIDTH)
    files = ["--items", str(model.items), "--features", str(model.features), "--user-tower", str(tower)]
    assert freshet.main(["trainer", "import", "--root", str(root), "--day", DAYS[0], *files]) == 2
    error = capsys.readouterr().err
    assert "does not let the id row through linearly" in error
    assert "Traceback" not in error
    assert not Layout(root).bases().exists()


def test_the_cut_state_is_that_of_a_retrain_of_the_same_days(root: Path, model: Foreign) -> None:
    base = imported(root, model, days=2)
    trained = train(Layout(root), *DAYS[:2], parent=lineage.FROM_SCRATCH, settings=small_settings())
    ours, theirs = base.manifest, trained.manifest
    assert (ours.cut, ours.cut_watermark, ours.trend_t0) == (theirs.cut, theirs.cut_watermark, theirs.trend_t0)
    assert base.trend == trained.trend
    assert lineage.item_counts(base) == lineage.item_counts(trained)
    for user, row in trained.rows.items():
        other = base.rows[user]
        assert (other.clicks, other.last_event_time, other.ring) == (row.clicks, row.last_event_time, row.ring)
    assert set(base.rows) == {*trained.rows, "never clicked", *USERS}
    assert (base.rows["never clicked"].clicks, base.rows["never clicked"].age(1)) == (0, None)


def test_without_a_common_row_somebody_unknown_gets_the_mean_and_everybody_else_their_own(
    root: Path, model: Foreign
) -> None:
    base = imported(root, model)
    scale = of_base(base).user_scale
    assert np.allclose(base.common, model.rows.mean(axis=0) * scale, atol=1e-6)
    assert np.allclose(base.common + base.rows["u3.0"].own, model.rows[3] * scale, atol=1e-5)
    new = next(user for user in base.rows if user not in USERS)
    assert not base.rows[new].own.any()
    assert base.rows[new].ring


def test_the_same_command_again_finds_the_base_and_other_bytes_make_another(
    root: Path, model: Foreign, tmp_path: Path
) -> None:
    first = imported(root, model)
    assert imported(root, model).digest == first.digest
    other = write_model(tmp_path, USERS, ITEMS, seed=1)
    assert imported(root, other).manifest.base_id != first.manifest.base_id
    assert BaseStore(Layout(root)).ids() == sorted({first.manifest.base_id, imported(root, other).manifest.base_id})


def test_rows_learn_online_are_published_and_answer(root: Path, model: Foreign, encoder: Path) -> None:
    layout, base = Layout(root), imported(root, model, "--context-encoder", str(encoder))
    before = {file.name: base.file(file.name) for file in base.manifest.files}
    assert fold(layout, base) == 2 * TASTES.clicks_per_day
    assert {file.name: base.file(file.name) for file in base.manifest.files} == before
    entry = publish_once(layout, PublisherSettings(milvus_uri=""), Order("someone", "a test", base.manifest.base_id))
    assert entry is not None
    assert all(gate.passed for gate in entry.body.gates)
    retriever = Retriever(layout, ServingSettings(search="exact"))
    known = retriever.retrieve("u3.0", 5, SOME[0])
    assert (known.how, known.base_id, len(known.items)) == ("own row", base.manifest.base_id, 5)
    assert known.delta > 0
    assert retriever.retrieve("never clicked", 5).age_ms is None
    assert retriever.retrieve("nobody", 5).how == "common row"


def test_two_online_runs_on_an_imported_base_give_the_same_bits(
    root: Path, model: Foreign, encoder: Path, tmp_path: Path
) -> None:
    base = imported(root, model, "--context-encoder", str(encoder))
    shutil.copytree(root, tmp_path / "other")
    other = BaseStore(Layout(tmp_path / "other")).open(base.manifest.base_id)
    fold(Layout(root), base)
    fold(Layout(tmp_path / "other"), other)
    assert online_digest(Layout(root), base, 0) == online_digest(Layout(tmp_path / "other"), other, 0)


def test_a_retrain_goes_on_without_an_imported_base_and_refuses_it_by_name(root: Path, model: Foreign) -> None:
    base = imported(root, model)
    assert train(Layout(root), DAYS[1]).manifest.parent == ""
    with pytest.raises(UsageError, match=r"was imported: how to train it further only its owner knows"):
        train(Layout(root), DAYS[1], parent=base.manifest.base_id)


def test_a_night_on_an_imported_base_is_refused_before_it_is_planned(root: Path, model: Foreign) -> None:
    imported(root, model)
    with pytest.raises(UsageError, match=r"was imported: how to train it further only its owner knows"):
        nightly(NightOrder(Layout(root), "events", small_settings(), "someone"))
    assert nights.chain(Layout(root), "events").head() is None


def test_new_items_get_the_vectors_of_the_content_tower(root: Path, model: Foreign, tmp_path: Path) -> None:
    content = FeatureSpec((DiscreteFeature("section", ("sport", "news")),))
    weights = np.random.default_rng(5).normal(size=(3, WIDTH)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "codes"], ["looked"], axis=0),
            helper.make_node("ReduceSum", ["looked", "axis"], ["vector"], keepdims=0),
        ],
        "content",
        [helper.make_tensor_value_info("codes", TensorProto.INT64, ["n", 1])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", WIDTH])],
        [numpy_helper.from_array(weights, "table"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (tmp_path / "content.onnx").write_bytes(made.SerializeToString())
    features = write_features(tmp_path / "features.json", content)
    base = imported(root, replace(model, features=features), "--item-tower", str(tmp_path / "content.onnx"))
    items = {"new": Item("new", 0, Context({"section": "news"})), "i0.0": Item("i0.0", 0)}
    found = fresh_items(base, Catalogue(items, "digest"))
    assert found.ids == ["new"]
    assert np.allclose(found.vectors, unit(weights[2:3]), atol=1e-5)


def test_a_model_is_calibrated_on_the_day_after_its_own_and_the_next_one_takes_its_settings(
    root: Path, model: Foreign
) -> None:
    first = imported(root, model, "--score", "dot", "--calibrate-on", DAYS[1])
    tried = msgspec.json.decode(first.file(CALIBRATION), type=list[tuple[str, float, bool]])
    assert {"sharpness 30", "common_step 0.03", "own_scale 0.1"} <= {label for label, _, _ in tried}
    assert of_base(first).calibrated_on == DAYS[1]
    assert BaseStore(Layout(root)).ids() == [first.manifest.base_id]
    assert [path.name for path in Layout(root).bases().iterdir()] == [first.manifest.base_id]
    second = imported(root, model, "--score", "dot", "--settings-of", first.manifest.base_id, days=2)
    ours, theirs = second.manifest, first.manifest
    assert (ours.own_scale, ours.towers.temperature) == (theirs.own_scale, theirs.towers.temperature)
    assert msgspec.structs.replace(ours.online, norm_cap=0) == msgspec.structs.replace(theirs.online, norm_cap=0)
    with pytest.raises(UsageError, match=f"not calibrated on {DAYS[2]}: that is not the day after"):
        imported(root, model, "--calibrate-on", DAYS[2])
    with pytest.raises(UsageError, match=f"was calibrated on {DAYS[1]}, so it is not judged on"):
        evaluate(["--root", str(root), "--quick", "--imported", first.manifest.base_id])
    assert evaluate(["--root", str(root), "--quick", "--imported", ours.base_id, "--json", f"{root}/out"]) == 0
    found = results.decode((root / "out").read_bytes(), "out")
    assert (found.base_days, found.judged_day, found.seeds[0].calibrated_on) == (DAYS[:2], DAYS[2], DAYS[1])
    assert {"fresh", "own", "common", "both", "fresh_swap", "frozen_raw", "yesterday", "last_hour"} <= set(found.arms)
    assert "all_parameters" not in found.arms


@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_online_rows_lift_a_model_that_somebody_else_trained_and_its_control_less(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: str
) -> None:
    monkeypatch.setenv("FRESHET_TRAINER_ONLINE__OWN_STEP", "0.3")
    monkeypatch.setenv("FRESHET_TRAINER_ONLINE__LEARNING_TEMPERATURE", "1")
    dice = np.random.default_rng(6)
    topics = dice.normal(size=(TASTES.topics, WIDTH)).astype(np.float32)
    vectors = np.repeat(topics, TASTES.items_per_topic, axis=0) + dice.normal(size=(len(ITEMS), WIDTH), scale=0.2)
    rows = topics[[TASTES.topic_of(user, 0) for user in range(59)]]
    model = replace(
        write_model(tmp_path, USERS, ITEMS),
        items=write_vectors(tmp_path / "items.safetensors", ITEMS, vectors),
        users=write_vectors(tmp_path / "users.safetensors", USERS[:-1], rows),
    )
    base = imported(root, model, "--score", score)
    words = ["--imported", base.manifest.base_id, "--json", str(tmp_path / "out")]
    assert evaluate(["--root", str(root), "--quick", *words]) == 0
    found = results.decode((tmp_path / "out").read_bytes(), "out")
    recall = {name: arm.slices["active"].recall20.mean for name, arm in found.arms.items()}
    assert recall["own"] > recall["own_swap"] + 0.1
    assert recall["own"] > recall["frozen_raw"] + 0.1


@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_sharpening_while_calibrating_is_what_another_temperature_imports(
    root: Path, model: Foreign, encoder: Path, score: str
) -> None:
    words = ["--score", score, "--context-encoder", str(encoder)]
    plain, sharp = (imported(root, model, *words, "--temperature", each) for each in ("1", "0.25"))
    topic = open_topic(Layout(root), "events")
    days = [read_log_day(topic, day, "UTC") for day in DAYS[:2]]
    at = np.arange(20)
    asked = Asked(at, at, days[1].start)
    found = [
        make(set_up(base, days[:1], days[1], (1, 7_200_000)).ground.sharpened(factor)).scores(asked)
        for make in (FrozenRows, lambda ground: LearningRows(ground, ground.base.manifest.online))
        for base, factor in ((plain, 4.0), (sharp, 1.0))
    ]
    assert np.allclose(found[0], found[1], atol=1e-3)
    assert np.allclose(found[2], found[3], atol=1e-3)


def test_factors_of_implicit_are_imported_learn_and_answer(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_TRAINER_ONLINE__COMMON_STEP", "0.003")  # as calibration chooses, in half a minute
    monkeypatch.setenv("FRESHET_TRAINER_ONLINE__OWN_STEP", "0.003")
    layout, out = Layout(root), tmp_path / "factors"
    words = ["--root", str(root), "--day", DAYS[0]]
    assert import_implicit.main([*words, "--out", str(out), "--factors", "8", "--least", "1"]) == 0
    files = ["--items", str(out / "items.safetensors"), "--users", str(out / "users.safetensors")]
    assert import_model([*words, *files, "--score", "dot"]) == 0
    (base_id,) = BaseStore(layout).ids()
    base = BaseStore(layout).open(base_id)
    assert not base.has(CONTEXT_ENCODER)
    assert not base.has(DENSE)
    fold(layout, base)
    assert publish_once(layout, PublisherSettings(milvus_uri=""), Order("someone", "a test")) is not None
    answer = Retriever(layout, ServingSettings(search="exact")).retrieve("u3.0", 20)
    clicked = {sample.item_id for sample in TASTES.samples() if sample.user_id == "u3.0"}
    assert (answer.how, answer.base_id) == ("own row", base_id)
    assert not clicked & {item.item_id for item in answer.items}


def test_widths_that_do_not_fit_each_other_are_refused_by_file(
    root: Path, model: Foreign, encoder: Path, tmp_path: Path
) -> None:
    narrow = write_vectors(tmp_path / "narrow.safetensors", ITEMS, model.vectors[:, :4])
    with pytest.raises(UsageError, match=r"users.safetensors: rows of width 16, where .*narrow.safetensors has"):
        imported(root, replace(model, items=narrow))
    with pytest.raises(UsageError, match=r"context.onnx answers with vectors of width 16, and the items' have 4"):
        imported(root, replace(model, items=narrow, users=narrow), "--context-encoder", str(encoder))
    with pytest.raises(UsageError, match=r"context.onnx has no input id_embedding"):
        imported(root, model, "--user-tower", str(encoder))
    tower = export(Tower("added"), tmp_path / "tower.onnx", WIDTH)
    with pytest.raises(UsageError, match=r"tower.onnx takes rows of width 16, and the users' have 4"):
        imported(root, replace(model, users=narrow), "--user-tower", str(tower))
    with pytest.raises(UsageError, match=r"takes 1 codes, where --features describes 0"):
        no_features = tmp_path / "features.json"
        no_features.write_text("{}")
        imported(root, replace(model, features=no_features), "--user-tower", str(tower))


def test_a_model_without_user_rows_begins_with_none_and_learns_them(root: Path, model: Foreign) -> None:
    words = ["--root", str(root), "--day", DAYS[0], "--items", str(model.items)]
    assert import_model(words) == 0
    (base_id,) = BaseStore(Layout(root)).ids()
    base = BaseStore(Layout(root)).open(base_id)
    assert not base.common.any()
    assert not base.rows.own.any()
    fold(Layout(root), base)
    found, _ = overlay(Layout(root), base, 0)
    assert found is not None
    assert found.common.any()


def test_the_example_of_the_document_is_imported(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/import.md", "exec"), {})
    files = ["--items", "items.safetensors", "--users", "users.safetensors", "--features", "features.json"]
    assert import_model(["--root", str(root), "--day", DAYS[0], *files, "--context-encoder", "context.onnx"]) == 0
    (base_id,) = BaseStore(Layout(root)).ids()
    assert fold(Layout(root), BaseStore(Layout(root)).open(base_id)) == 2 * TASTES.clicks_per_day


REFUSED: dict[str, tuple[list[str], str]] = {
    "no file": (["--items", "nowhere.safetensors"], "nowhere.safetensors cannot be read"),
    "day": (["--day", "2025-02-01"], "is not complete"),
    "gap": (["--day", DAYS[2]], "lie samples that no day"),
    "settings of a stranger": (["--settings-of", "nobody"], "no base 'nobody'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_sentence_and_exit_code_2(
    root: Path, model: Foreign, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, sentence = REFUSED[name]
    files = ["--items", str(model.items), "--users", str(model.users)]
    assert freshet.main(["trainer", "import", "--root", str(root), "--day", DAYS[0], *files, *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not Layout(root).bases().exists()
