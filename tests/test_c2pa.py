"""Content Credentials: what `mark=c2pa` signs, read back by c2pa-python. The certificate is made here, anew for each run."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gan_inversion as gi
from gan_inversion.errors import UserError
from gan_inversion.image import load_photo, save_composite, save_photo_crop, to_tensor
from gan_inversion.image.c2pa import C2PA
from gan_inversion.store.keys import job_of
from tests.composed import command_of, compose
from tests.conftest import CHILD, TINY, Ran, random_pixels

MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PARTLY = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with chain.pem, key.pem (P-256), other.pem (another key) and root.pem, as C2PA asks of certificates."""
    pytest.importorskip("c2pa", reason="c2pa-python is an extra: pip install 'gan-inversion[c2pa]'")
    x509 = pytest.importorskip("cryptography.x509", reason="the test's certificate is made by cryptography")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder, now = tmp_path_factory.mktemp("chain"), datetime.now(UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "key", "other")}
    root_id = x509.SubjectKeyIdentifier.from_public_key(keys["root"].public_key())

    def named(name: str) -> Any:
        of = x509.oid.NameOID
        return x509.Name([x509.NameAttribute(of.ORGANIZATION_NAME, "test"), x509.NameAttribute(of.COMMON_NAME, name)])

    def issued(name: str, ca: bool, *more: Any) -> bytes:
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        made = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named("root"))
        made = made.public_key(keys[name].public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=2))
        made = made.add_extension(x509.BasicConstraints(ca, None), True).add_extension(usage, True)
        for extension in more:
            made = made.add_extension(extension, False)
        signed = made.sign(keys["root"], hashes.SHA256())
        return bytes(signed.public_bytes(serialization.Encoding.PEM))

    root = issued("root", True, root_id)
    mail = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION])
    (folder / "root.pem").write_bytes(root)
    from_root = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["root"].public_key())
    (folder / "chain.pem").write_bytes(issued("key", False, mail, from_root) + root)
    for name in ("key", "other"):
        kind, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        text = keys[name].private_bytes(serialization.Encoding.PEM, kind, none)
        (folder / f"{name}.pem").write_bytes(text)
    return folder


def mark_of(chain: Path, **changes: str) -> C2PA:
    return C2PA(**{"certificate": str(chain / "chain.pem"), "key": str(chain / "key.pem"), **changes})


def read(data: bytes, anchors: Path | None = None) -> tuple[str, dict[str, Any]]:
    """(state, first action) of the manifest in a PNG."""
    import c2pa

    trust = {"trust": {"trust_anchors": anchors.read_text()}, "verify": {"verify_trust": True}} if anchors else {}
    reader = c2pa.Reader("image/png", io.BytesIO(data), context=c2pa.Context(c2pa.Settings.from_dict(trust)))
    told = json.loads(reader.json())
    manifest = told["manifests"][told["active_manifest"]]
    (actions,) = (one["data"]["actions"] for one in manifest["assertions"] if one["label"].startswith("c2pa.actions"))
    return reader.get_validation_state(), actions[0]


def test_a_signed_picture_is_valid_and_keeps_its_other_marks(chain: Path, tmp_path: Path) -> None:
    """Trusted by who trusts the root; invalid once a byte of the picture is another."""
    pixels, path = random_pixels(1), tmp_path / "child.png"
    gi.save(to_tensor(pixels), path, mark=mark_of(chain))
    data = path.read_bytes()
    assert read(data) == ("Valid", {"action": "c2pa.created", "digitalSourceType": MADE})
    assert read(data, chain / "root.pem")[0] == "Trusted"
    picture = Image.open(path)
    assert MADE in picture.info["XML:com.adobe.xmp"]
    assert json.loads(picture.info["Synthetic"])["synthetic"]
    assert np.array_equal(load_photo(path).pixels, pixels)
    assert read(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])[0] == "Invalid"


def test_a_composite_says_so(chain: Path, tmp_path: Path) -> None:
    save_composite(tmp_path / "a.png", random_pixels(2, 300), {}, mark_of(chain))
    assert read((tmp_path / "a.png").read_bytes()) == ("Valid", {"action": "c2pa.created", "digitalSourceType": PARTLY})


def test_a_family_is_signed(chain: Path, run: Callable[..., Ran], couple: tuple[Path, Path], tmp_path: Path) -> None:
    """What was drawn, not what was photographed; a wrong algorithm, key or certificate is told before any work."""
    given = [f"father={couple[0]}", f"mother={couple[1]}", *TINY, *CHILD, "output_dir=out", "mark=c2pa"]
    signed = [f"mark.certificate={chain / 'chain.pem'}", f"mark.key={chain / 'key.pem'}"]
    for wrong in (
        "mark.algorithm=ed25519",
        f"mark.key={chain / 'other.pem'}",
        f"mark.certificate={chain / 'none.pem'}",
    ):
        told = run("family", *given, *signed, wrong, code=1).stderr
        assert wrong.partition("=")[2] in told
        assert "Traceback" not in told
    assert not (tmp_path / "out").exists()
    run("family", *given, *signed)
    for name in ("child_00", "father_inversion", "contact_sheet"):
        assert read((tmp_path / "out" / f"{name}.png").read_bytes())[0] == "Valid", name
    save_photo_crop(tmp_path / "crop.png", load_photo(tmp_path / "out" / "father.png").pixels)
    assert (tmp_path / "out" / "father.png").read_bytes() == (tmp_path / "crop.png").read_bytes(), "a photograph"


def test_who_signs_is_no_part_of_the_job() -> None:
    plain, signed = ("father=a", "mother=b"), ("mark=c2pa", "mark.certificate=c.pem", "mark.key=k.pem")
    jobs = [job_of("family", command_of(compose(*plain, *more))) for more in ((), signed)]
    assert jobs[0] == jobs[1]
    assert "mark" not in jobs[0], "folders of before are still of their jobs"


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(UserError, match=r"mark=c2pa needs c2pa-python: pip install"):
        C2PA("c.pem", "k.pem").check()
