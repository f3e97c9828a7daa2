"""Text in pictures, read by `tesseract` where it is installed, within the limits of the parser process that starts it.

The picture is decoded here and handed over as plain grey pixels, so that tesseract's own readers of picture formats
meet nothing that came from outside. It is held by all that holds the parser, and killed with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.model import ItemError
from ingest.parsing.clean import inline
from ingest.parsing.limits import Limits
from ingest.parsing.source import Source, broken

DPI = 300
MAX_PIXELS = 40_000_000
"""Largest picture that is read, at four times an A4 page of 300 dpi; a page is rendered more coarsely instead."""
SHARE_OF_TIME = 0.8
"""Part of a file's time after which no further page is begun."""
_ADVICE = "install the package tesseract-ocr and sync again after touching the file"


@dataclass(slots=True)
class Reader:
    """Reads the pictures of one file; `notes` says why some were not read."""

    limits: Limits
    notes: set[str] = field(default_factory=set)
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        """The time begins."""
        self._until = time.monotonic() + SHARE_OF_TIME * self.limits.seconds

    def ready(self) -> bool:
        """Whether another picture can be read; where not, a note says why."""
        reason = self._hindrance()
        if reason is not None:
            self.notes.add(reason)
        return reason is None

    def _hindrance(self) -> str | None:
        if not self.limits.ocr_languages:
            return "Text in pictures is not read (setting ocr_languages)."
        if program() is None:
            return f"Text in pictures was not read: tesseract is not installed; {_ADVICE}."
        if time.monotonic() > self._until:
            return "Not all pictures were read within the time for one file (setting parse_timeout_s)."
        return None

    def lines(self, picture: Any) -> list[str]:
        """The lines of text in a Pillow image, top to bottom; empty where there are none or it failed."""
        grey = picture.convert("L")
        darkest, lightest = grey.getextrema()
        if darkest == lightest:
            return []
        width, height = grey.size
        data = b"P5 %d %d 255\n" % (width, height) + grey.tobytes()
        try:
            done = _run(data, self.limits.ocr_languages, timeout_s=max(self._until - time.monotonic(), 1.0))
        except subprocess.TimeoutExpired:
            self.notes.add("A picture took too long to read (setting parse_timeout_s).")
            return []
        except OSError:
            self.notes.add("Text in pictures was not read: tesseract may not be started here; see `ambit doctor`.")
            return []
        if done.returncode != 0:
            self.notes.add(_failure(done, self.limits.ocr_languages))
            return []
        return [line for line in map(inline, done.stdout.decode("utf-8", "replace").splitlines()) if line]


def _run(data: bytes, languages: str, *, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """Nothing runs in the child before tesseract does: a parser may start a program, and not fork."""
    return subprocess.run(  # noqa: S603  a fixed program; its languages are checked by the setting
        [str(program()), "-", "-", "-l", languages, "--dpi", str(DPI)],
        input=data,
        capture_output=True,
        timeout=timeout_s,
        check=False,
        env={"PATH": "/usr/bin:/bin", "OMP_THREAD_LIMIT": "1", "LC_ALL": "C.UTF-8", **_prefix()},
    )


def _prefix() -> dict[str, str]:
    return {name: os.environ[name] for name in ("TESSDATA_PREFIX",) if name in os.environ}


def program() -> Path | None:
    """Where `tesseract` is; None: it is not installed."""
    found = shutil.which("tesseract", path="/usr/local/bin:/usr/bin:/bin")
    return Path(found) if found else None


def _failure(done: subprocess.CompletedProcess[bytes], languages: str) -> str:
    if b"loading language" in done.stderr or b"load any languages" in done.stderr:
        return f"Text in pictures was not read: tesseract lacks a language of {languages!r} (setting ocr_languages)."
    return f"A picture could not be read (tesseract ended with status {done.returncode})."


def pictures(source: Source, limits: Limits) -> Any:
    """The frames of a picture file, turned upright.

    Raises:
        ItemError: `file_broken`, `too_many_pages`, or `file_too_large` where it has too many pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = Image.open(source.open(), formats=("PNG", "JPEG", "TIFF"))
    except UnidentifiedImageError:
        raise broken(source.name, "it is not a picture of its type") from None
    except Image.DecompressionBombError:
        raise _oversize(source.name, "more than 170 million") from None
    count = getattr(image, "n_frames", 1)
    if count > limits.max_pages:
        raise ItemError("too_many_pages", f"'{source.name}' has {count} pages; at most {limits.max_pages} are parsed.")
    for number in range(count):
        image.seek(number)
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise _oversize(source.name, f"{width} by {height}")
        yield ImageOps.exif_transpose(image)


def _oversize(name: str, size: str) -> ItemError:
    return ItemError("file_too_large", f"'{name}' has a picture of {size} pixels; at most {MAX_PIXELS} are read.")


def rendered(page: Any) -> Any:
    """A PDF page as a Pillow image, at 300 dpi or as fine as the limit on pixels lets it be."""
    width, height = page.get_size()
    scale = min(DPI / 72, (MAX_PIXELS / max(width * height, 1.0)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        return bitmap.to_pil().copy()
    finally:
        bitmap.close()
