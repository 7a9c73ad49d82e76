"""What a file is, from its content alone."""

from __future__ import annotations

import re
import struct

from photoorg.errors import DecodeError, UnsupportedMediaError
from photoorg.imaging import tiff

JPEG = "image/jpeg"
PNG = "image/png"
WEBP = "image/webp"
GIF = "image/gif"
BMP = "image/bmp"
TIFF = "image/tiff"
HEIC = "image/heic"
HEIF = "image/heif"

NAMES = {
    JPEG: "JPEG",
    PNG: "PNG",
    WEBP: "WebP",
    GIF: "GIF",
    BMP: "BMP",
    TIFF: "TIFF",
    HEIC: "HEIC",
    HEIF: "HEIF",
}
RAW_NAMES = {
    "image/x-adobe-dng": "DNG",
    "image/x-canon-cr2": "Canon CR2",
    "image/x-canon-cr3": "Canon CR3",
    "image/x-canon-crw": "Canon CRW",
    "image/x-nikon-nef": "Nikon NEF",
    "image/x-sony-arw": "Sony ARW",
    "image/x-fuji-raf": "Fujifilm RAF",
    "image/x-olympus-orf": "Olympus ORF",
    "image/x-panasonic-rw2": "Panasonic RW2",
    "image/x-pentax-pef": "Pentax PEF",
    "image/x-samsung-srw": "Samsung SRW",
    "image/x-sigma-x3f": "Sigma X3F",
    "image/x-minolta-mrw": "Minolta MRW",
    "image/x-raw": "camera RAW",
}

_FIX = "Convert it to JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC or camera RAW."
_RAW_MAGIC = (
    (b"FUJIFILMCCD-RAW", "image/x-fuji-raf"),
    (b"IIRO", "image/x-olympus-orf"),
    (b"IIRS", "image/x-olympus-orf"),
    (b"MMOR", "image/x-olympus-orf"),
    (b"IIU\0", "image/x-panasonic-rw2"),
    (b"FOVb", "image/x-sigma-x3f"),
    (b"\0MRM", "image/x-minolta-mrw"),
    (b"II\x1a\0\0\0HEAPCCDR", "image/x-canon-crw"),
)
_RAW_MAKERS = (
    ("nikon", "image/x-nikon-nef"),
    ("sony", "image/x-sony-arw"),
    ("pentax", "image/x-pentax-pef"),
    ("ricoh", "image/x-pentax-pef"),
    ("samsung", "image/x-samsung-srw"),
    ("canon", "image/x-canon-cr2"),
)
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF_BRANDS = {b"mif1", b"mif2", b"msf1", b"mif3"}
_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_OTHERS = (
    (re.compile(rb"\x01\xda[\x00\x01][\x01\x02]"), "an SGI image"),
    (re.compile(rb"\x00\x00\x01\x00[^\x00]\x00"), "a Windows icon"),
    (re.compile(rb"\x00\x00\x02\x00[^\x00]\x00"), "a Windows cursor"),
    (re.compile(rb"icns"), "an Apple icon"),
    (re.compile(rb"\xff\x4f\xff\x51|\x00\x00\x00\x0cjP  "), "a JPEG 2000 image"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "a JPEG XL image"),
    (re.compile(rb"II\xbc"), "a JPEG XR image"),
    (re.compile(rb"DDS "), "a DDS texture"),
    (re.compile(rb"BLP[12]"), "a BLP texture"),
    (re.compile(rb"\xabKTX "), "a KTX texture"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "a PostScript document"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"8BPS"), "a Photoshop document"),
    (re.compile(rb"gimp xcf"), "a GIMP document"),
    (re.compile(rb"GIMP Palette"), "a GIMP palette"),
    (re.compile(rb"P[1-7fF][\s#]"), "a Netpbm image"),
    (re.compile(rb"\s*<(svg|!DOCTYPE svg|\?xml.*<svg)", re.S), "an SVG drawing"),
    (re.compile(rb"\s*<(!doctype )?html", re.I), "a web page"),
    (re.compile(rb"SIMPLE  ="), "a FITS image"),
    (re.compile(rb"DanM|LinS"), "an MSP image"),
    (re.compile(rb"\x76\x2f\x31\x01"), "an OpenEXR image"),
    (re.compile(rb"#\?RADIANCE|#\?RGBE"), "a Radiance HDR image"),
    (re.compile(rb"qoif"), "a QOI image"),
    (re.compile(rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]"), "a PCX image"),
    (re.compile(rb"/\* XPM"), "an XPM image"),
    (re.compile(rb"RIFF....AVI ", re.S), "an AVI video"),
    (re.compile(rb"RIFF....WAVE", re.S), "a WAV sound"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "a Matroska or WebM video"),
    (re.compile(rb"....(moov|mdat|wide|free|skip|pnot)", re.S), "a QuickTime video"),
    (re.compile(rb"\x00\x00\x01[\xb3\xba]"), "an MPEG video"),
    (re.compile(rb"ID3|\xff[\xf2\xf3\xfb]"), "an MP3 sound"),
    (re.compile(rb"OggS"), "an Ogg sound or video"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive"),
    (re.compile(rb"\x1f\x8b"), "a gzip archive"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c|Rar!"), "an archive"),
    (re.compile(rb"\x7fELF|MZ"), "a program"),
    (re.compile(rb"bplist00|SQLite format 3"), "application data"),
)


def sniff(data: bytes) -> str:
    """The MIME type of an accepted image, found from its first bytes and, for RAW, its directories.

    Raises DecodeError for an empty file and UnsupportedMediaError for any other type, naming it
    where it is a known one.
    """
    if not data:
        raise DecodeError("The file is empty (0 bytes).", fix="Copy it again from its source.")
    mime = _accepted(data)
    if mime is None:
        raise UnsupportedMediaError(_refusal(data), fix=_FIX)
    return mime


def video_type(head: bytes) -> str | None:
    """The MIME type of a QuickTime or MP4 video, from its first 512 bytes; None if it is none."""
    kind, major = head[4:8], head[8:12]
    if kind in _QUICKTIME:
        return "video/quicktime"
    if kind != b"ftyp" or _boxed(head) is not None or _brands(head) & {b"avif", b"avis"}:
        return None
    return "video/quicktime" if major == b"qt  " else "video/mp4"


def is_raw(mime: str) -> bool:
    """Whether `mime` is one of the camera RAW types."""
    return mime in RAW_NAMES


def name_of(mime: str) -> str:
    """What people call the type, such as "JPEG" or "Nikon NEF"."""
    return NAMES.get(mime) or RAW_NAMES.get(mime) or mime


def _accepted(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WEBP
    if data.startswith(b"BM") and len(data) >= 18 and data[14] in _BMP_HEADERS:
        return BMP
    for magic, mime in _RAW_MAGIC:
        if data.startswith(magic):
            return mime
    if data.startswith((b"II*\0", b"MM\0*")):
        return _raw_in_tiff(data) or TIFF
    if data.startswith((b"II+\0\x08\0", b"MM\0+\0\x08")):
        return TIFF
    return _boxed(data)


def _boxed(data: bytes) -> str | None:
    if data[4:8] != b"ftyp" or len(data) < 16:
        return None
    major, brands = data[8:12], _brands(data)
    if major == b"crx ":
        return "image/x-canon-cr3"
    if major in _HEIC_BRANDS or (major in _HEIF_BRANDS and brands & _HEIC_BRANDS):
        return HEIC
    if major in _HEIF_BRANDS and not brands & {b"avif", b"avis"}:
        return HEIF
    return None


def _brands(data: bytes) -> set[bytes]:
    size = min(struct.unpack_from(">I", data)[0], len(data), 256)
    return {data[i : i + 4] for i in (8, *range(16, size - 3, 4))}


def _raw_in_tiff(data: bytes) -> str | None:
    """The RAW type of a TIFF-structured file, by the marks that only sensor data carries.

    DNGVersion, or a directory whose photometric interpretation is a colour filter array or linear
    RAW, or whose compression is one of the camera makers' own.
    """
    if data[8:10] == b"CR":
        return "image/x-canon-cr2"
    first: tiff.Ifd = {}
    sensor = False
    for ifd in tiff.directories(data, limit=8):
        first = first or ifd
        if 0xC612 in ifd:
            return "image/x-adobe-dng"
        subs = list(tiff.child_ifds(data, ifd, tiff.SUB_IFDS))[:8]
        sensor = sensor or any(_is_sensor(i) for i in (ifd, *subs))
    if not sensor:
        return None
    make = first[0x010F].text() if 0x010F in first else None
    for maker, mime in _RAW_MAKERS:
        if make and maker in make.lower():
            return mime
    return "image/x-raw"


def _is_sensor(ifd: tiff.Ifd) -> bool:
    photometric = ifd[0x0106].number() if 0x0106 in ifd else None
    compression = ifd[0x0103].number() if 0x0103 in ifd else None
    makers = (32767, 32769, 32770, 34713, 65000, 65535)
    return photometric in (32803, 34892) or compression in makers


def _refusal(data: bytes) -> str:
    return f"This is {_kind(data)}, which is not an image type photoorg reads."


def _kind(data: bytes) -> str:
    head = data[:512]
    if head[4:6] in (b"\x11\xaf", b"\x12\xaf"):
        return "an FLI animation"
    if head[4:8] == b"ftyp":
        return "an AVIF image" if _brands(data) & {b"avif", b"avis"} else "a video"
    for pattern, name in _OTHERS:
        if pattern.match(head):
            return name
    return "a text file" if _is_text(head) else "data of an unknown kind"


def _is_text(head: bytes) -> bool:
    text = head.decode("utf-8", errors="ignore")
    return len(head) - len(text.encode()) < 4 and all(c.isprintable() or c.isspace() for c in text)
