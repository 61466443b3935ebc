"""Where things stand on the page, and which of them starts what."""

# Without `from __future__ import annotations`: Gradio looks for its Request among a handler's types, and it is imported
# here and nowhere above, so that nobody else needs it.

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..editing.regions import REGIONS
from ..errors import UserError
from .events import LARGEST_SEED, STEPS, Events, dice
from .pictures import nobody
from .studio import PARENTS

CSS = Path(__file__).with_name("page.css")
SYSTEM = ("system-ui", "sans-serif")
AGES = (2, 8, 16, 30, 45, 60)
HEAD = """<div id="head"><h1>A child of two faces</h1>
<p>Two photographs, what a face generator can draw of each, and children between them.</p>
<p class="note"><b>Synthetic; it predicts nothing</b> about any real child.
Use only photographs of people who agreed to it. They stay on this machine: photographs and results are deleted when
you leave, or after {minutes:g} minutes without use.</p></div>"""
WHOSE = [("as it falls", ""), ("father's", "father"), ("both", "0.5"), ("mother's", "mother")]


def theme() -> Any:
    """Fonts of the system: none is fetched."""
    import gradio as gr

    return gr.themes.Soft(primary_hue="emerald", font=SYSTEM, font_mono=("ui-monospace", "monospace"))


def build(events: Events, minutes: float) -> Any:
    """The page, as Gradio's Blocks."""
    import gradio as gr

    def of_visit(handler: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
        async def called(request: gr.Request, *values: Any) -> AsyncIterator[Any]:
            try:
                async for places in handler(str(request.session_hash), *values):
                    yield places
            except UserError as error:
                raise gr.Error(str(error), print_exception=False) from error

        return called

    def cancel(request: gr.Request) -> None:
        try:
            events.cancel(str(request.session_hash))
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def leave(request: gr.Request) -> None:
        events.leave(str(request.session_hash))

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    with gr.Blocks(
        title="A child of two faces", analytics_enabled=False, delete_cache=(60, int(minutes * 60) + 60)
    ) as page:
        gr.HTML(HEAD.format(minutes=minutes))
        photos, views = {}, {}
        with gr.Row():
            for role in PARENTS:
                with gr.Column(min_width=300):
                    photos[role] = gr.Image(
                        label=f"Photograph of the {role}", sources=["upload", "webcam", "clipboard"], type="filepath",
                        height=260, buttons=[], elem_id=f"photo_{role}",
                    )  # fmt: skip
                    views[role] = gr.HTML(nobody(role), elem_id=f"view_{role}")
        examples = gr.Button("Try it with two drawn faces", size="sm", elem_id="examples")
        with gr.Row():
            status = gr.HTML('<p class="job"></p>', elem_id="status", min_height=32)
            stop = gr.Button("Cancel", size="sm", scale=0, min_width=120, elem_id="cancel")
        with gr.Row():
            with gr.Column(scale=3, min_width=320), gr.Tabs():
                with gr.Tab("Child"):
                    child = gr.HTML(
                        '<p class="faint">Give two photographs; then the child follows the sliders.</p>',
                        elem_id="child",
                    )
                    draw = gr.Button("Draw it in full", variant="primary", elem_id="draw")
                with gr.Tab("Siblings"):
                    count = gr.Slider(2, 8, 4, step=1, label="How many", elem_id="count")
                    draw_siblings = gr.Button("Draw siblings", variant="primary", elem_id="draw_siblings")
                    siblings = gr.HTML(elem_id="siblings")
                with gr.Tab("Growing up", visible=events.studio.steers):
                    ages = gr.CheckboxGroup([(f"{age}", age) for age in AGES], value=[2, 8, 16, 30], label="Ages")
                    with gr.Row():
                        draw_growth = gr.Button("Draw strip", variant="primary", elem_id="draw_growth")
                        draw_film = gr.Button("Film of it", elem_id="draw_film")
                    growth, film = gr.HTML(elem_id="growth"), gr.HTML(elem_id="film")
                with gr.Tab("Edit", visible=events.studio.edits):
                    whose = gr.Radio([*PARENTS], value="father", label="Whose face")
                    with gr.Row():
                        edit_aged = gr.Checkbox(label="Change the age")
                        edit_age = gr.Slider(0, 80, 60, step=1, label="Age in years")
                    edit_gender = gr.Radio([("as it is", ""), "female", "male"], value="", label="Gender")
                    steps = [
                        gr.Slider(
                            -3, 3, 0, step=0.1, label=f"Edit strength: {name.replace('_', ' ')}", elem_id=f"step_{name}"
                        )
                        for name in STEPS
                    ]
                    paste = gr.Checkbox(label="Put it back into the photograph")
                    draw_edit = gr.Button("Draw the edit in full", variant="primary", elem_id="draw_edit")
                    edit = gr.HTML(elem_id="edit")
                with gr.Tab("Map"):
                    draw_map = gr.Button("Draw the map", variant="primary", elem_id="draw_map")
                    atlas = gr.HTML(elem_id="map")
            with gr.Column(scale=2, min_width=300):
                likeness = gr.Slider(0, 1, 0.5, step=0.05, label="Likeness: father 0, mother 1", elem_id="likeness")
                with gr.Accordion("Whose eyes, whose nose", open=False):
                    regions = [
                        gr.Radio(WHOSE, value="", label=name.replace("_", " ").capitalize(), elem_id=f"region_{name}")
                        for name in REGIONS
                    ]
                with gr.Group(visible=events.studio.steers):
                    aged = gr.Checkbox(True, label="Of an age (else as the parents mix)")
                    age = gr.Slider(0, 80, 8, step=1, label="Age in years", elem_id="age")
                    gender = gr.Radio(
                        [("drawn by the seed", "drawn"), "female", "male", ("as it comes", "")],
                        value="drawn",
                        label="Gender",
                    )
                diversity = gr.Slider(0, 2, 1, step=0.1, label="Diversity: 0 the mixture itself, 1 as real siblings")
                with gr.Row():
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=LARGEST_SEED, elem_id="seed")
                    roll = gr.Button("Roll the dice", elem_id="dice", min_width=120)

        controls = [likeness, *regions, aged, age, gender, diversity, seed]
        changes = [edit_aged, edit_age, edit_gender, *steps]
        preview = of_visit(events.preview)
        for role in PARENTS:
            seen = photos[role].change(
                of_visit(partial(events.view, role)), photos[role], views[role],
                preprocess=False, trigger_mode="multiple", **quiet,
            )  # fmt: skip
            seen.then(preview, controls, [status, child], trigger_mode="multiple", **quiet)
        gr.on([one.change for one in controls], preview, controls, [status, child], trigger_mode="always_last", **quiet)
        gr.on(
            [one.change for one in (*changes, whose)], of_visit(events.edit_preview), [whose, *changes], [status, edit],
            trigger_mode="always_last", **quiet,
        )  # fmt: skip
        examples.click(events.drawn, None, [*photos.values()], **quiet)
        roll.click(dice, None, seed, **quiet)
        stop.click(cancel, None, None, queue=False, **quiet)
        for button, kind, more, place in (
            (draw, "child", [], child),
            (draw_siblings, "siblings", [count], siblings),
            (draw_growth, "growth", [ages], growth),
        ):
            button.click(of_visit(partial(events.children, kind)), [*controls, *more], [status, place], **quiet)
        draw_film.click(of_visit(events.film), None, [status, film], **quiet)
        draw_map.click(of_visit(events.map), None, [status, atlas], **quiet)
        draw_edit.click(of_visit(events.edit), [whose, paste, *changes], [status, edit], **quiet)
        page.unload(leave)
    return page
