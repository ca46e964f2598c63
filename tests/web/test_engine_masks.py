"""Masks are read in the browser as inference reads them: labels, errors, warnings."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from conftest import ROOT
from engine_pages import octets, packed, write_page
from PIL import Image
from tiny import CAT_OPTS, FACE_OPTS, tiny_model

from configs.label_spaces import BISENET_ORDER, LABEL_SPACES
from utils.errors import UserError
from web.engine.model_file import model_file
from web.server.masks import LoadedMask, MaskReader

FACES, CATS = LABEL_SPACES["CelebAMask_HQ"], LABEL_SPACES["CatMask"]
READ = """async ({space, files}) => {
  const engine = globalThis.engines[space], found = [];
  for (const {bytes, order, encoding} of files) try {
    const mask = await engine.read(new Blob([bytesOf(bytes)]), {order, encoding});
    found.push({...mask, labels: textOf(mask.labels)});
  } catch (error) { found.push({error: error.message}); }
  return found;
}"""


def sample(name: str, folder: str = "CelebAMask-HQ") -> np.ndarray:
    return np.asarray(Image.open(ROOT / "data" / folder / "mask_samples" / f"{name}.png"))


def png(pixels: np.ndarray, palette=None, mode: str | None = None, **settings) -> bytes:
    image, out = Image.fromarray(pixels), io.BytesIO()
    if palette is not None:
        image = Image.frombytes("P", pixels.shape[::-1], pixels.tobytes())
        image.putpalette(np.asarray(palette, np.uint8).ravel().tolist())
    (image.convert(mode) if mode else image).save(out, settings.pop("format", "PNG"), **settings)
    return out.getvalue()


def shuffled(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices and palette as an image editor sorts them."""
    order = np.random.default_rng(3).permutation(len(FACES))
    return np.argsort(order).astype(np.uint8)[labels], np.array(FACES.palette)[order]


def face_files() -> dict[str, bytes]:
    labels = sample("90003")
    colours = np.array(FACES.palette, np.uint8)[labels]
    few = np.where(np.isin(labels, (1, 13)), labels, 0).astype(np.uint8)
    painted_few, noise = np.array(FACES.palette, np.uint8)[few], np.random.default_rng(0)
    large, small = (Image.fromarray(labels).resize(size, way) for size, way in (
        ((1500, 1300), Image.Resampling.NEAREST), ((300, 300), Image.Resampling.BILINEAR)))
    files = {
        "grey": png(labels), "grey RGB": png(np.repeat(labels[..., None], 3, -1)), "painted": png(colours),
        "palette": png(labels, FACES.palette), "shuffled palette": png(*shuffled(labels)),
        "grey palette": png(labels, [[i] * 3 for i in range(19)]), "exchanged": png(colours[..., ::-1].copy()),
        "exchanged, both ways readable": png(painted_few[..., ::-1].copy()),
        "unlabelled": png(np.where(labels == 18, 255, labels).astype(np.uint8)),
        "bisenet": png(np.argsort(BISENET_ORDER).astype(np.uint8)[labels]), "upside down": png(labels[::-1].copy()),
        "oblong": png(labels[:, 100:400].copy()), "one part": png((labels == 13).astype(np.uint8) * 13),
        "bits": png((labels > 0), mode="1"), "16 bits": png(labels.astype(np.uint16)),
        "alpha": png(colours, mode="RGBA"), "grey and alpha": png(labels, mode="LA"),
        "photograph": png(noise.integers(0, 256, (64, 64, 3), np.uint8)),
        "grey photograph": png(noise.integers(0, 256, (64, 64), np.uint8)),
        "out of range": png(np.where(labels == 1, 40, labels).astype(np.uint8)),
        "wrong colour": png(np.where(labels[..., None] == 4, np.uint8(7), colours)), "smoothed": png(np.asarray(small)),
        "large": png(np.asarray(large)), "tiny": png(labels[::200, ::200].copy()), "JPEG": png(colours, format="JPEG"),
        "nothing": b"", "text": b"hello", "cut off": png(labels)[:900],
        "changed": png(labels).replace(b"IDAT", b"IDAU", 1),
    }
    for bits in (2, 4):
        out = io.BytesIO()
        Image.frombytes("P", (512, 512), (labels % 2**bits).tobytes()).save(out, "PNG", bits=bits)
        files[f"{bits} bits"] = out.getvalue()
    return files


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
    page = chromium.new_page()
    page.goto(write_page(tmp_path_factory.mktemp("engine"), tiny_model(FACE_OPTS)).as_uri())
    page.evaluate("""async cats => {
      const faces = sem2nerf.makeEngine({cores: 1});
      globalThis.engines = {faces, cats: sem2nerf.makeEngine({cores: 1, model: bytesOf(cats).buffer})};
    }""", packed(model_file(tiny_model(CAT_OPTS))))
    yield page
    page.close()


def outcome(reader: MaskReader, data: bytes, encoding, order: str) -> LoadedMask | str:
    """What Python reads, or its error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            return reader.upload(data, encoding, order)
    except UserError as error:
        return str(error)


def assert_read_alike(page, space, files: dict[str, bytes], order: str = "", encoding: str = "auto") -> None:
    reader = MaskReader(FACES if space == "faces" else CATS, "celebamask", None)
    found = page.evaluate(READ, {"space": space, "files": [
        {"bytes": packed(data), "order": order, "encoding": encoding} for data in files.values()]})
    for (name, data), its in zip(files.items(), found, strict=True):
        wanted = outcome(reader, data, encoding, order or "celebamask")
        if isinstance(wanted, str):
            if "cannot be read" in wanted:  # in the words of the libraries that read the file
                assert "cannot be read" in its["error"] or "this is a" in its["error"], (name, its)
            elif "encoding" not in wanted:  # which the page chooses elsewhere than the command line
                assert its["error"] == wanted, name
            assert its.get("error"), name
            continue
        assert its.get("error") is None, (name, its)
        assert (its["height"], its["width"]) == wanted.labels.shape, name
        assert (octets(its["labels"]) == wanted.labels.ravel()).all(), name
        assert its["warnings"] == wanted.warnings, name


@pytest.mark.parametrize("encoding", ["auto", "index", "colour"])
def test_files_of_faces(page, encoding):
    assert_read_alike(page, "faces", face_files(), encoding=encoding)


@pytest.mark.parametrize("order", ["bisenet", "facer", "lapa"])
def test_other_orders(page, order):
    files = face_files()
    some = {name: files[name] for name in ("grey", "bisenet", "painted", "unlabelled")}
    assert_read_alike(page, "faces", some, order)


def test_files_of_cats(page):
    labels, palette = sample("90001", "CatMask"), np.array(CATS.palette, np.uint8)
    assert_read_alike(page, "cats", {
        "grey": png(labels), "painted": png(palette[labels]), "palette": png(labels, palette),
        "ambiguous": png(palette[np.where(labels == 8, 1, labels)]),
        "upside down": png(labels[::-1].copy())})


def test_interlaced_and_filtered_files(page):
    """Every filter and Adam7: files that Pillow reads and does not write."""
    labels = sample("90003")[:21, :37].copy()
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b"".join(b"\0" + row.tobytes() for top, left, down, right in passes for row in labels[top::down, left::right])
    assert_read_alike(page, "faces", {"interlaced": chunks(labels.shape, 1, zlib.compress(raw)),
                                      "filtered": chunks(labels.shape, 0, zlib.compress(filtered(labels)))})


def filtered(labels: np.ndarray) -> bytes:
    """Rows through filters 0 to 4 in turn."""
    rows, before = [], np.zeros(labels.shape[1] + 1, int)
    for number, row in enumerate(labels.astype(int)):
        here = np.concatenate([[0], row])
        left, above, corner = here[:-1], before[1:], before[:-1]
        guess = left + above - corner
        away = np.abs(np.stack([guess - left, guess - above, guess - corner]))
        paeth = np.choose(away.argmin(0), [left, above, corner])
        kind = number % 5
        row = (row - (0, left, above, (left + above) // 2, paeth)[kind]) % 256
        rows.append(bytes([kind]) + row.astype(np.uint8).tobytes())
        before = here
    return b"".join(rows)


def chunks(shape: tuple[int, ...], interlaced: int, data: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", shape[1], shape[0], 8, 0, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
