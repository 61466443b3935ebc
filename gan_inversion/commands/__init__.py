"""What can be done from the command line. A command is a frozen dataclass, whose fields are its keys, with a method `run`.

It stands here once: its script, its config of the same name in `configs/`, `--help` and completion follow.
"""

from __future__ import annotations

COMMANDS: dict[str, dict[str, str]] = {  # for people: heading -> name -> module and class, of this room or .of another
    "faces in, faces out": {
        "family": "family.Family",
        "generations": "family.Generations",
        "invert": "invert.Invert",
        "encode": "invert.Invert",
        "blend": "blend.Blend",
        "partner": "partner.Partner",
        "edit": "edit.EditFace",
        "app": ".app.command.App",
    },
    "many couples": {
        "batch": "batch.Batch",
        "store": "store.TendStore",
    },
    "looking at latents": {
        "interpolate": "interpolate.Interpolate",
        "atlas": "atlas.Atlas",
        "import_latents": "weights.ImportLatents",
        "export_latents": "weights.ExportLatents",
    },
    "measuring": {
        "benchmark": "benchmark.Benchmark",
        "evaluate_children": "evaluate_children.EvaluateChildren",
        "evaluate_alignment": "benchmark.EvaluateAlignment",
    },
    "weights and training": {
        "fetch_weights": "weights.Fetch",
        "convert_weights": "weights.Convert",
        "export_onnx": "weights.ExportOnnx",
        "demo_photos": "demo_photos.DemoPhotos",
        "find_directions": "find.FindDirections",
        "find_regions": "find.FindRegions",
        "find_people": "find.FindPeople",
        "train_encoder": "train.TrainEncoder",
        "train_preview_heads": "train.TrainPreviewHeads",
    },
}
PLACES = {name: place for group in COMMANDS.values() for name, place in group.items()}
