"""How clusters are shown: in words, as text, as HTML."""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest

from jupyter_dodas import spec
from jupyter_dodas.display import Logs, Receipt, bundle_of_many, bundle_of_one, html, progress, text
from jupyter_dodas.display.progress import Lines
from jupyter_dodas.display.view import MARKS, Tone, view
from jupyter_dodas.display.words import clock, count, lasting, size
from jupyter_dodas.errors import LaunchFailed
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Condition, InstanceStatus, Phase, Problem, Record, Step

NOW = 1_800_000_000.0
NASTY = "<script>alert('x')</script>&"


def a_record(phase: Phase = Phase.READY, *, workers: Mapping[str, Condition] | None = None, **status: Any) -> Record:
    """A cluster with a scheduler and these workers."""
    known = {"worker-1": Condition.READY, "worker-2": Condition.READY} if workers is None else workers
    instances = {"scheduler": InstanceStatus(role="scheduler", condition=Condition.READY, since=NOW)} | {
        name: InstanceStatus(role="worker", group="worker", condition=condition, cores=2, memory=4 * 2**30, since=NOW)
        for name, condition in known.items()
    }
    spec = ClusterSpec(name="higgs", uid="1", kind="dask", owner="me", created=NOW - 60, keep_until=status.pop("keep_until", None))
    targets = status.pop("targets", {"worker": len(known)})
    return Record(spec=spec, status=ClusterStatus(uid="1", phase=phase, instances=instances, targets=targets, **status))


STEPS = (
    Step(name="Scheduler answers", started=NOW - 4, ended=NOW - 2, usually=2.1),
    Step(name="Workers register", started=NOW - 4, usually=5.8),
)
PROBLEM = Problem(code="x", message=f"It broke {NASTY}", cause=f"It said last:\n{NASTY}", remedy=f"Run `dodas {NASTY}`.")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0 s"),
        (0.04, "0.0 s"),
        (2.14, "2.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (100, "1 min 40 s"),
        (599, "9 min 59 s"),
        (700, "11 min"),
        (3600, "1 h"),
        (7530, "2 h 5 min"),
        (86400, "1 d"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0, "0 B"), (512, "512 B"), (2**20, "1 MiB"), (1.5 * 2**30, "1.5 GiB"), (200 * 2**30, "200 GiB"), (2**60, "1024 PiB")],
)
def test_sizes_in_words(amount: float, words: str) -> None:
    assert size(amount) == words


def test_numbers_and_times_in_words() -> None:
    assert (count(1, "worker"), count(2, "worker")) == ("1 worker", "2 workers")
    assert len(clock(NOW, NOW)) == len("14:02")
    assert len(clock(NOW - 2 * 86400, NOW)) == len("Mon 14:02")
    assert clock(NOW - 30 * 86400, NOW).startswith("2026-12")


def test_every_phase_has_a_shape_of_its_own() -> None:
    assert set(MARKS) == set(Phase)
    assert len({mark.shape for mark in MARKS.values()}) == len(Phase)


def test_a_cluster_in_words() -> None:
    shown = view(a_record(ready_at=NOW - 730), NOW)
    assert shown.summary == ("2 workers", "4 cores", "8 GiB", f"since {clock(NOW - 730, NOW)}")
    assert shown.sentence() == "higgs is ready: 2 workers, 4 cores, 8 GiB"
    assert shown.sentence(after="1.6 s") == "higgs is ready after 1.6 s: 2 workers, 4 cores, 8 GiB"


def test_while_it_starts_its_steps_are_told_with_what_they_take() -> None:
    workers = {"worker-1": Condition.READY, "worker-2": Condition.STARTING}
    shown = view(a_record(Phase.STARTING, workers=workers, steps=STEPS), NOW)
    assert shown.workers == "1 of 2"
    assert [(step.name, step.time, step.done) for step in shown.steps] == [
        ("Scheduler answers", "2.0 s", True),
        ("Workers register", "usually 5.8 s", False),
    ]
    assert "%" not in text.card(shown)


def test_what_never_took_place_before_takes_no_invented_time() -> None:
    step = Step(name="Scheduler answers", started=NOW - 4)
    assert view(a_record(Phase.STARTING, steps=(step,)), NOW).steps[0].time == ""


def test_steps_are_over_once_it_is_ready() -> None:
    assert view(a_record(steps=STEPS), NOW).steps == ()


def test_an_idle_cluster_says_when_it_stops_and_looks_like_it() -> None:
    shown = view(a_record(stops_at=NOW + 590, idle_since=NOW - 3000), NOW)
    assert "Nothing ran since" in shown.note
    assert "in 9 min 50 s" in shown.note
    assert shown.mark.tone is Tone.WARN


def test_a_kept_cluster_says_until_when() -> None:
    assert view(a_record(keep_until=NOW + 3600), NOW).note.startswith("Kept until")
    assert view(a_record(keep_until=NOW - 1), NOW).note == ""


def test_a_failed_cluster_says_what_why_and_what_to_do() -> None:
    shown = view(a_record(Phase.FAILED, workers={}, steps=STEPS, problem=PROBLEM), NOW)
    said = text.card(shown)
    assert said.startswith("higgs  dask  ✕ failed")
    assert all(words in said for words in ("It broke", "It said last:", "hint: Run"))


def test_groups_and_bounds_are_told() -> None:
    record = a_record(targets={"worker": 1, "gpu": 1})
    adapting = record.spec.model_copy(update={"options": {"adapt": {"minimum": 0, "maximum": 10}}})
    shown = view(record.model_copy(update={"spec": adapting}), NOW)
    assert "adapts 0 to 10" in shown.facts
    assert "1 of them gpu" in shown.facts


def test_a_table_aligns_its_columns() -> None:
    failed = a_record(Phase.FAILED, problem=PROBLEM)
    lines = text.table([view(a_record(), NOW), view(failed, NOW)]).splitlines()
    assert lines[0].split() == ["NAME", "KIND", "PHASE", "WORKERS"]
    assert [line.index("dask") for line in lines[1:]] == [lines[0].index("KIND")] * 2
    assert lines[1].split()[:5] == ["higgs", "dask", "●", "ready", "2"]
    assert "It broke" in lines[2]
    assert text.table([]) == "No clusters."


def test_colours_are_given_to_the_words_that_have_them() -> None:
    painted = text.table([view(a_record(), NOW)], lambda shown, tone: f"[{tone}:{shown}]")
    assert "[good:● ready]" in painted


class Balanced(HTMLParser):
    """Sees that every element is closed, and gathers the text of all."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.words = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data


RECORDS = [
    *(a_record(phase, steps=STEPS, problem=PROBLEM) for phase in Phase),
    a_record(workers={}, targets={}),
    a_record(workers={f"worker-{n}": condition for n, condition in enumerate([*Condition] * 8)}),
    a_record(workers={f"worker-{n}": Condition.READY for n in range(200)}),
    a_record(stops_at=NOW + 60, idle_since=NOW - 60),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.status.phase)
def test_html_is_well_formed_and_nothing_in_it_is_taken_for_markup(record: Record) -> None:
    shown = view(record, NOW)
    for page in (html.card(shown), html.table([shown]), html.line(shown.mark, shown.sentence())):
        drawn = Balanced(page)
        assert "script" not in drawn.seen
        assert "higgs" in drawn.words
        assert "url(" not in page
        assert "http" not in page
    assert shown.phase in html.card(shown).lower()
    if record.status.problem is not None:
        assert NASTY in Balanced(html.card(shown)).words


def test_names_are_escaped_even_if_no_name_needs_it() -> None:
    record = a_record()
    nasty = record.spec.model_construct(**{**record.spec.model_dump(), "name": NASTY, "kind": NASTY})
    shown = view(Record.model_construct(spec=nasty, status=record.status), NOW)
    assert "script" not in Balanced(html.card(shown)).seen | Balanced(html.table([shown])).seen


def test_few_workers_are_drawn_and_many_are_counted() -> None:
    assert html.card(view(a_record(), NOW)).count('<i class="ready"') == 2
    many = a_record(workers={f"worker-{n}": Condition.READY for n in range(200)})
    assert "200 workers" in Balanced(html.card(view(many, NOW))).words
    assert '<i class="' not in html.card(view(many, NOW))


def test_bundles_have_text_and_html() -> None:
    for bundle in (bundle_of_one(a_record()), bundle_of_one("higgs"), bundle_of_many([a_record()]), bundle_of_many([])):
        assert set(bundle) == {"text/plain", "text/html"}
    assert bundle_of_one("higgs")["text/plain"] == "□ higgs has stopped"


def test_logs_are_read_one_after_another() -> None:
    logs = Logs({"scheduler": "one\ntwo\n", "worker-1": ""})
    assert repr(logs) == "── scheduler ──\none\ntwo\n\n── worker-1 ──\n(nothing)"
    assert logs["scheduler"] == "one\ntwo\n"
    assert repr(Logs()) == "No logs."


def test_a_receipt_is_a_sentence() -> None:
    times = {"start": NOW, "end": NOW + 100, "wall_seconds": 100, "cpu_seconds": 30.5, "core_seconds": 7200}
    taken = spec.Receipt(name="higgs", uid="1", kind="dask", owner="me", peak_memory=2**30, cores=2, outcome="stopped", **times)
    shown = Receipt.of(taken)
    assert shown is not None
    assert shown.model_dump() == taken.model_dump()
    assert shown._repr_mimebundle_()["text/plain"] == (
        "□ higgs has stopped after 1 min 40 s: 2 core-hours, 30 s of CPU, 1 GiB peak memory"
    )
    assert Receipt.of(None) is None


def test_a_follower_of_ones_own_is_left_alone() -> None:
    seen: list[Record] = []
    with progress(seen.append) as follower:
        assert follower is not None
        follower(a_record())
    assert seen == [a_record()]


def test_where_nobody_looks_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(None) as follower:
        assert follower is None
    assert capsys.readouterr() == ("", "")


def test_a_launch_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(None, otherwise=Lines) as follower:
        assert follower is not None
        for record in (a_record(Phase.PENDING), a_record(Phase.STARTING, steps=STEPS), a_record(Phase.STARTING), a_record()):
            follower(record)
    said = capsys.readouterr()
    assert said.out == ""
    *lines, last = said.err.splitlines()
    assert lines == ["higgs: pending", "higgs: starting", "higgs: Scheduler answers, 2.0 s", "higgs: ready"]
    assert last.startswith("● higgs is ready after")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyboardInterrupt(), "□ higgs: interrupted; it was removed"),
        (TimeoutError(), "□ higgs: not ready in time; it was removed"),
        (LaunchFailed("no"), "◐ higgs is starting"),
    ],
)
def test_how_a_launch_ends_is_told(capsys: pytest.CaptureFixture[str], error: BaseException, words: str) -> None:
    def launch() -> None:
        with progress(None, otherwise=Lines) as follower:
            assert follower is not None
            follower(a_record(Phase.STARTING))
            raise error

    with pytest.raises(type(error)):
        launch()
    assert capsys.readouterr().err.splitlines()[-1].startswith(words)
