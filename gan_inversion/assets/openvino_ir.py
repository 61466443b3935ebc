"""OpenVINO IR v10 -> named float32 arrays: an .xml graph whose constants lie as plain little-endian data in a .bin."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np

from ..errors import UserError


@dataclass(frozen=True)
class Constant:
    name: str
    consumer: str  # type of the layer that reads it: "Convolution", "MatMul", ...
    value: np.ndarray  # float32


def read_constants(xml: bytes, binary: bytes) -> list[Constant]:
    """All float32 constants of a graph, in graph order. Raises UserError on a file that is not such a graph."""
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:  # entities can expand without bound
        raise UserError("OpenVINO IR: the .xml declares entities, which no OpenVINO export does; refused.")
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise UserError(f"OpenVINO IR: the .xml is damaged ({error}).") from error
    layers = root.findall("./layers/layer")
    kinds = {layer.get("id"): layer.get("type", "") for layer in layers}
    consumers = {edge.get("from-layer"): kinds[edge.get("to-layer")] for edge in root.findall("./edges/edge")}
    constants = []
    for layer in layers:
        data = layer.find("data")
        if layer.get("type") != "Const" or data is None or data.get("element_type") != "f32":
            continue
        shape = [int(n) for n in data.get("shape", "").split(",") if n.strip()]
        offset, size = int(data.get("offset", 0)), int(data.get("size", 0))
        if offset < 0 or offset + size > len(binary) or size != 4 * int(np.prod(shape, dtype=np.int64)):
            raise UserError(f"OpenVINO IR: constant {layer.get('name')} does not fit the .bin file (truncated?).")
        value = np.frombuffer(binary, "<f4", size // 4, offset).reshape(shape).copy()
        constants.append(Constant(layer.get("name", ""), consumers.get(layer.get("id"), ""), value))
    return constants
