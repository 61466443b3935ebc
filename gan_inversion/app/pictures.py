"""What stands on the page as HTML: faces, progress, results, downloads. Names are others': all of them are escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from ..metrics.verdict import ALIKE, OTHER, SAME
from .jobs import RUNNING, Job, Jobs
from .sessions import Session
from .studio import LATENTS, Face, Made

CLASSES = {SAME: "same", ALIKE: "alike", OTHER: "other"}
ADVICE = (
    "Children and edits will not look like this person. Take a sharper photograph, more from the front, evenly lit."
)
TITLES = {"inverting": "step", "children": "child", "drawing": "frame"}


def address(session: Session, path: Any, save: bool = False) -> str:
    """Of one of its files."""
    inside = quote(path.relative_to(session.folder).as_posix())
    return f"/visit/{session.token}/{inside}{'?save' if save else ''}"


def figure(source: str, caption: str, more: str = "") -> str:
    told = escape(caption)
    return f'<figure><img src="{escape(source)}" alt="{told}"><figcaption>{told}{more}</figcaption></figure>'


def nobody(role: str) -> str:
    return f'<p class="faint">What the model makes of the {role} will stand here.</p>'


def face(session: Session, seen: Face) -> str:
    """Model's view: the crop, the inversion, and whether it is still the person."""
    crop, drawn = seen.folder / f"{seen.name}.png", seen.folder / f"{seen.name}_inversion.png"
    told = seen.facts.get("identity")
    verdict = ""
    if told:
        value = f"{told['value']:.2f}".lstrip("0")
        verdict = (
            f'<p class="verdict {CLASSES[told["verdict"]]}"><b>{told["verdict"]}</b> ({told["network"]} {value})</p>'
        )
        verdict += "" if told["verdict"] == SAME else f'<p class="advice">{ADVICE}</p>'
    tiles = figure(address(session, crop), "the photograph's crop") + figure(
        address(session, drawn), "as the model draws it"
    )
    return f'<div class="faces">{tiles}</div>{verdict}{remarks(seen.facts.get("warnings", ()))}'


def progress(job: Job, jobs: Jobs) -> str:
    """How far, how long still, who is before."""
    title, done, total = job.stage
    seconds = jobs.left(job)
    left = "" if seconds is None else f", about {max(1, round(seconds))} s left"
    if job.state != RUNNING:
        before = jobs.before(job)
        told = f"{job.kind}: waiting, {before} {'job is' if before == 1 else 'jobs are'} before it{left}"
        return f'<p class="job">{escape(told)}</p>'
    at = f": {TITLES.get(title, title)} {min(done + 1, total)} of {total}" if total > 1 else ""
    bar = f'<progress max="{total}" value="{done}"></progress>' if total > 1 else "<progress></progress>"
    return f'<p class="job">{bar} {escape(f"{job.kind}{at}{left}")}</p>'


def cancelled(kind: str) -> str:
    return f'<p class="job">{escape(kind)}: cancelled</p>'


def problem(sentence: str) -> str:
    return f'<p class="problem" role="alert">{escape(sentence)}</p>'


def remarks(sentences: Iterable[str]) -> str:
    return "".join(f'<p class="remark">{escape(one)}</p>' for one in sentences)


def preview(session: Session, png: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    told = "preview: small, its age by one step. Draw it in full for the search that holds the person."
    return f'<div class="large">{figure(source, told)}</div>'


def made(session: Session, result: Made) -> str:
    """Children in full."""
    shown = "".join(
        figure(address(session, result.folder / file), caption, link(session, result, file, "PNG"))
        for file, caption in result.pictures.items()
    )
    kind = "large" if len(result.pictures) == 1 else "many"
    files = {"contact_sheet.png": "contact sheet", LATENTS: "latents", "family.json": "all numbers"}
    return f'<div class="{kind}">{shown}</div>{downloads(session, result, files)}{lines(result.lines)}'


def film(session: Session, result: Made) -> str:
    source = escape(address(session, result.folder / "walk.mp4"))
    how = "controls loop muted autoplay playsinline"
    shown = f'<video src="{source}" {how} aria-label="film of a child growing up"></video>'
    files = {"walk.mp4": "film (MP4)", "walk.gif": "film (GIF)"}
    return f'<div class="large">{shown}</div>{downloads(session, result, files)}{lines(result.lines)}'


def map(session: Session, result: Made) -> str:
    return (
        framed(session, result, "atlas.html", "map of faces")
        + downloads(session, result, {"atlas.html": "map (a page)", "atlas.png": "map (PNG)"})
        + lines(result.lines)
    )


def edit(session: Session, result: Made) -> str:
    """Before and after, with what was read in both."""
    told = result.summary["edits"]["edit"]
    identity = told["identity"]
    verdict = f"{identity['verdict']} ({identity['network']} {identity['value']:.2f})" if identity else "not judged"
    files = {
        "edit.png": "PNG",
        "edit_pasted.png": "PNG in its photograph",
        "strip.png": "contact sheet",
        LATENTS: "latents",
    }
    pasted = "edit_pasted.png" in result.pictures
    numbers = [(name, before, told["after"][name]) for name, before in told["before"].items() if name in told["after"]]
    rows = "".join(
        f"<tr><th scope='row'>{escape(name.replace('_', ' '))}</th><td>{before:.1f}</td><td>{after:.1f}</td></tr>"
        for name, before, after in numbers
    )
    table = (
        f"<table><tr><th scope='col'>read</th><th scope='col'>before</th><th scope='col'>after</th></tr>{rows}</table>"
    )
    return (
        framed(session, result, "pasted.html" if pasted else "before_after.html", "before and after")
        + f"<p>Still the person of the photograph? {escape(verdict)}{'' if told['reached'] else '; not all was reached'}</p>"
        + downloads(
            session, result, {name: told for name, told in files.items() if pasted or name != "edit_pasted.png"}
        )
        + f"<details><summary>What else moved</summary>{table if rows else 'Nothing was read.'}</details>"
        + lines(result.lines)
    )


def framed(session: Session, result: Made, file: str, title: str) -> str:
    return f'<iframe src="{escape(address(session, result.folder / file))}" title="{escape(title)}"></iframe>'


def link(session: Session, result: Made, file: str, told: str) -> str:
    return f' <a href="{escape(address(session, result.folder / file, save=True))}" download>{escape(told)}</a>'


def downloads(session: Session, result: Made, files: dict[str, str]) -> str:
    return f'<p class="downloads">Download:{"".join(link(session, result, file, told) for file, told in files.items())}</p>'


def lines(told: Sequence[str]) -> str:
    """The command lines with the same bits."""
    text = escape("\n".join(told))
    return f"<details><summary>The same, to the bit, by command line</summary><pre tabindex='0'>{text}</pre></details>"
