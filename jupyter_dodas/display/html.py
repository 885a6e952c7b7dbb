"""Clusters as HTML, for notebooks: in the colours of the theme, with words and shapes that say the same without colours."""

import re
from collections.abc import Sequence
from html import escape
from typing import Final

from jupyter_dodas.display.view import Mark, StepView, Tone, View, Worker
from jupyter_dodas.spec import Condition, Problem

__all__ = ["card", "line", "page", "steps", "table"]

_CODE: Final = re.compile("`([^`]+)`")

_MOST_DRAWN: Final = 48
"""More workers than this are only counted."""

# The variables are JupyterLab's; elsewhere everything falls back on the colours of the text around it. Lab has rules of its own for
# tables in outputs, which selectors of two classes override.
_STYLE: Final = """<style>
.dodas { --ink: var(--jp-ui-font-color1, inherit); --soft: var(--jp-ui-font-color2, inherit);
  --line: var(--jp-border-color2, rgba(128,128,128,.35)); --fill: var(--jp-layout-color1, transparent);
  --busy: var(--jp-brand-color1, #1976d2); --good: var(--jp-success-color1, #388e3c);
  --warn: var(--jp-warn-color1, #f57c00); --bad: var(--jp-error-color1, #d32f2f);
  font: 13px/1.5 var(--jp-ui-font-family, system-ui, sans-serif); color: var(--ink); font-variant-numeric: tabular-nums }
.dodas .dodas-card { max-width: 520px; box-sizing: border-box; padding: 10px 14px; background: var(--fill);
  border: 1px solid var(--line); border-radius: 6px }
.dodas .dodas-row { display: flex; align-items: baseline; gap: 8px; flex-wrap: wrap }
.dodas .dodas-name { font-weight: 600; font-size: 14px } .dodas .dodas-soft { color: var(--soft); font-size: 12px }
.dodas .dodas-push { margin-left: auto } .dodas .dodas-phase { font-weight: 600; font-size: 12px; white-space: nowrap }
.dodas .dodas-busy { color: var(--busy) } .dodas .dodas-good { color: var(--good) } .dodas .dodas-warn { color: var(--warn) }
.dodas .dodas-bad { color: var(--bad) } .dodas .dodas-quiet { color: var(--soft) }
.dodas .dodas-facts { display: flex; gap: 3px 14px; flex-wrap: wrap; margin-top: 2px; color: var(--soft); font-size: 12px }
.dodas .dodas-workers { display: flex; gap: 3px; flex-wrap: wrap; margin-top: 8px }
.dodas .dodas-workers + .dodas-facts { margin-top: 6px }
.dodas .dodas-workers i { width: 9px; height: 9px; border-radius: 2px; border: 1.5px solid var(--line); box-sizing: border-box }
.dodas .dodas-workers i.ready { background: var(--good); border-color: var(--good) }
.dodas .dodas-workers i.starting { border-color: var(--busy) }
.dodas .dodas-workers i.draining, .dodas .dodas-workers i.ending { border-color: var(--soft); border-style: dotted }
.dodas .dodas-workers i.waiting { border-color: var(--bad); border-radius: 50% }
.dodas ol.dodas-steps { list-style: none; margin: 8px 0 0; padding: 0; font-size: 12px }
.dodas ol.dodas-steps li { display: flex; gap: 8px; margin: 0; padding: 1px 0 } .dodas .dodas-now .dodas-step { font-weight: 600 }
.dodas .dodas-note { margin-top: 9px; padding: 1px 0 1px 10px; border-left: 3px solid var(--warn); font-size: 12px;
  white-space: pre-wrap; overflow-wrap: anywhere }
.dodas .dodas-note.bad { border-color: var(--bad) } .dodas .dodas-note div + div { margin-top: 3px }
.dodas .dodas-note .dodas-said, .dodas .dodas-note code { font: 11.5px/1.5 var(--jp-code-font-family, monospace); color: inherit;
  background: none; padding: 0 }
.dodas table.dodas-table { border-collapse: collapse; margin: 0; font-size: 13px }
.dodas table.dodas-table th, .dodas table.dodas-table td { text-align: left; padding: 4px 22px 4px 0; border: 0;
  border-bottom: 1px solid var(--line); background: none; vertical-align: baseline; white-space: nowrap; max-width: none }
.dodas table.dodas-table tr:last-child td { border-bottom: 0 } .dodas table.dodas-table tr, .dodas table.dodas-table tr:hover
  { background: none } .dodas table.dodas-table th { font-weight: 400; font-size: 12px; color: var(--soft) }
.dodas table.dodas-table .dodas-name { font-size: 13px }
.dodas table.dodas-table td:last-child { white-space: normal; color: var(--soft); font-size: 12px }
</style>"""


def card(view: View) -> str:
    """Draw a cluster."""
    parts = [
        f'<div class="dodas-row"><span class="dodas-name">{escape(view.name)}</span>'
        f'<span class="dodas-soft">{escape(view.kind)}</span><span class="dodas-push">{_phase(view)}</span></div>',
        _facts(view.summary),
        _workers(view.members),
        _steps(view.steps),
        _note(view.note, view.mark.tone) if view.note else "",
        _problem(view.problem, view.mark.tone) if view.problem is not None else "",
    ]
    return page(f'<div class="dodas-card" role="group" aria-label="{escape(view.name)}">{"".join(parts)}</div>')


def line(mark: Mark, sentence: str) -> str:
    """Draw a line of text."""
    return page(f"<div>{_shape(mark)} {escape(sentence)}</div>")


def table(views: Sequence[View]) -> str:
    """Draw several clusters, one in a row."""
    if not views:
        return page('<span class="dodas-soft">No clusters.</span>')
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Name", "Kind", "Phase", "Workers", ""))
    return page(f'<table class="dodas-table"><thead><tr>{head}</tr></thead><tbody>{"".join(map(_row, views))}</tbody></table>')


def steps(name: str, kind: str, taken: Sequence[StepView]) -> str:
    """Draw something that goes on step by step, and is no cluster."""
    head = f'<span class="dodas-name">{escape(name)}</span><span class="dodas-soft">{escape(kind)}</span>'
    body = f'<div class="dodas-row">{head}</div>{_steps(taken)}'
    return page(f'<div class="dodas-card" role="group" aria-label="{escape(name)}">{body}</div>')


def page(body: str) -> str:
    """Return what is to be shown in a notebook, with the style that all of it has."""
    return f'{_STYLE}<div class="dodas">{body}</div>'


def _row(view: View) -> str:
    rest = view.problem.message if view.problem is not None else view.note or " · ".join(view.facts)
    cells = (
        f'<span class="dodas-name">{escape(view.name)}</span>',
        escape(view.kind),
        _phase(view),
        escape(view.workers),
        escape(rest),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _phase(view: View) -> str:
    # The word keeps the colour of text: shapes may be pale, words must be read.
    return f'<span class="dodas-phase" role="status">{_shape(view.mark)} {view.phase.capitalize()}</span>'


def _shape(mark: Mark) -> str:
    return f'<span class="dodas-{mark.tone}" aria-hidden="true">{mark.shape}</span>'


def _facts(facts: Sequence[str]) -> str:
    return f'<div class="dodas-facts">{"".join(f"<span>{escape(fact)}</span>" for fact in facts)}</div>' if facts else ""


def _workers(workers: Sequence[Worker]) -> str:
    """Draw a square for each worker: full if it answers, empty while it starts."""
    if not workers or len(workers) > _MOST_DRAWN:
        return ""
    ready = sum(worker.condition is Condition.READY for worker in workers)
    squares = "".join(f'<i class="{worker.condition}" title="{escape(worker.name)}: {worker.condition}"></i>' for worker in workers)
    return f'<div class="dodas-workers" role="img" aria-label="{ready} of {len(workers)} workers are ready">{squares}</div>'


def _steps(steps: Sequence[StepView]) -> str:
    return f'<ol class="dodas-steps">{"".join(map(_step, steps))}</ol>' if steps else ""


def _step(step: StepView) -> str:
    now = "" if step.done else ' class="dodas-now"'
    return (
        f'<li{now}>{_shape(step.mark)}<span class="dodas-step">{escape(step.name)}</span>'
        f'<span class="dodas-soft dodas-push">{escape(step.time)}</span></li>'
    )


def _note(note: str, tone: Tone) -> str:
    kind = "dodas-note" if tone is Tone.WARN else "dodas-facts"
    return f'<div class="{kind}">{escape(note)}</div>'


def _problem(problem: Problem, tone: Tone) -> str:
    # A cause of several lines is what a process said.
    cause = f'<div class="dodas-said">{escape(problem.cause)}</div>' if "\n" in problem.cause else _sentence(problem.cause)
    said = f"<div><b>{escape(problem.message)}</b></div>{cause}{_sentence(problem.remedy)}"
    return f'<div class="dodas-note {tone}">{said}</div>'


def _sentence(text: str) -> str:
    """Return a paragraph, with what stands between backticks as code."""
    coded = _CODE.sub(r"<code>\1</code>", escape(text))
    return f"<div>{coded}</div>" if text else ""
