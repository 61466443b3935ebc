"""Content Credentials: a signed statement inside a picture that a generator drew it (C2PA 2, by c2pa-python)."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import __version__
from ..errors import UserError
from ..storage import read_file
from . import DIGITAL_SOURCE_TYPE, crop_bytes

PNG = "image/png"


@dataclass(frozen=True)
class C2PA:
    """Signs pictures beside their other marks. Nothing is sent anywhere: no time stamp is asked for.

    certificate: PEM, the signer's first, then those that issued it; key: PEM, PKCS#8, without password. Each signature has
    a time and a random identifier: signed files differ from run to run, their pixels do not.
    """

    name: ClassVar[str] = "c2pa"

    certificate: str
    key: str
    algorithm: str = "es256"

    def check(self) -> None:
        """Signs an empty picture and reads it back. Raises UserError if that fails: before any work is done."""
        c2pa = _library()
        signed = self.sign(crop_bytes(np.zeros((1, 1, 3), np.uint8)), DIGITAL_SOURCE_TYPE)
        if c2pa.Reader(PNG, io.BytesIO(signed)).get_validation_state() not in ("Valid", "Trusted"):
            raise UserError(f"mark.certificate={self.certificate}: what it signs is not valid.")

    def sign(self, png: bytes, source_type: str) -> bytes:
        """A PNG -> the same with a manifest. source_type: IPTC's digital source type. Raises UserError, naming the keys."""
        c2pa = _library()
        texts = [read_file(path) for path in (self.certificate, self.key)]
        action = {"action": "c2pa.created", "digitalSourceType": source_type}
        manifest = {
            "claim_generator_info": [{"name": "gan_inversion", "version": __version__}],
            "format": PNG,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
        }
        signed = io.BytesIO()
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(self.algorithm, *texts, None))
            context = c2pa.Context(c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}}))
            c2pa.Builder(json.dumps(manifest), context).sign(signer, PNG, io.BytesIO(png), signed)
        except c2pa.C2paError as error:
            told = str(error).replace("\n", " ")
            named = f"mark.certificate={self.certificate} mark.key={self.key} mark.algorithm={self.algorithm}"
            raise UserError(f"{named}: cannot sign: {told}") from error
        return signed.getvalue()


def _library() -> Any:
    try:
        import c2pa  # here: only those who sign need it
    except ImportError as error:
        raise UserError('mark=c2pa needs c2pa-python: pip install "gan-inversion[c2pa]"') from error
    return c2pa
