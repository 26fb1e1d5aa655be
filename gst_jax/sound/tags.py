"""Carry title, artist, cover and the like from one sound file to another, whatever their kinds (mutagen)."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
from mutagen import aiff, asf, flac, id3, mp3, mp4, oggopus, oggvorbis, wave
from mutagen.flac import Picture

# What is carried, by the name that Vorbis comments have for it: ID3's frame, MP4's atom. Not the genre, which is not
# true of a conversion, nor what was measured on the sound, as its loudness or its tempo.
_FIELDS = {
    "title": ("TIT2", "\xa9nam"),
    "artist": ("TPE1", "\xa9ART"),
    "album": ("TALB", "\xa9alb"),
    "albumartist": ("TPE2", "aART"),
    "composer": ("TCOM", "\xa9wrt"),
    "lyricist": ("TEXT", None),
    "conductor": ("TPE3", None),
    "date": ("TDRC", "\xa9day"),
    "tracknumber": ("TRCK", "trkn"),
    "discnumber": ("TPOS", "disk"),
    "isrc": ("TSRC", None),
    "language": ("TLAN", None),
    "copyright": ("TCOP", "cprt"),
    "organization": ("TPUB", None),
    "comment": ("COMM", "\xa9cmt"),
    "lyrics": ("USLT", "\xa9lyr"),
    "license": ("WCOP", None),
}
_BY_FRAME = {frame: name for name, (frame, _) in _FIELDS.items()}
_BY_ATOM = {atom: name for name, (_, atom) in _FIELDS.items() if atom}
_ASF = {"author": "artist", "wm/albumtitle": "album", "wm/albumartist": "albumartist", "wm/composer": "composer"} | {
    "wm/year": "date", "wm/tracknumber": "tracknumber", "description": "comment", "wm/lyrics": "lyrics"
}  # fmt: skip
_SYNONYMS = {"description": "comment", "year": "date", "track": "tracknumber", "album_artist": "albumartist"}


@dataclass(frozen=True)
class Tags:
    """What a file says of the work."""

    texts: dict[str, list[str]]  # by the names of Vorbis comments, in lower case
    pictures: list[Picture]


def read(path: Path, others: dict[str, str]) -> Tags:
    """Return what a file says of the work.

    Args:
        path: of the file.
        others: what a reader found that knows more containers; it counts where mutagen finds nothing.
    """
    texts = {_SYNONYMS.get(name, name): [value] for name, value in others.items() if value}
    pictures: list[Picture] = []
    try:
        file = mutagen.File(path)
    except (mutagen.MutagenError, ValueError, KeyError, IndexError, OverflowError, MemoryError):
        file = None  # damaged tags are none, also where they say that they are huge
    if file is not None and file.tags is not None:
        texts.update(_texts(file))
        pictures = _pictures(file)
    return Tags({name: values for name, values in texts.items() if name in _FIELDS}, pictures)


def write(path: Path, format: str, tags: Tags) -> None:
    """Give a file the tags, in the way of its kind; kinds that have none stay without.

    Args:
        path: of a file without tags.
        format: WAV, FLAC, OGG, OPUS, MP3, AIFF or M4A.
        tags: to write.
    """
    if not tags.texts and not tags.pictures:
        return
    if format in ("MP3", "WAV", "AIFF"):
        file: Any = {"MP3": mp3.MP3, "WAV": wave.WAVE, "AIFF": aiff.AIFF}[format](path)
        if file.tags is None:
            file.add_tags()
        for frame in _frames(tags):
            file.tags.add(frame)
        file.save(v2_version=3)  # which Windows and car radios read, too
    elif format in ("FLAC", "OGG", "OPUS"):
        file = {"FLAC": flac.FLAC, "OGG": oggvorbis.OggVorbis, "OPUS": oggopus.OggOpus}[format](path)
        file.update(tags.texts)
        if format == "FLAC":
            for picture in tags.pictures:
                file.add_picture(picture)
        elif tags.pictures:
            file["metadata_block_picture"] = [base64.b64encode(one.write()).decode() for one in tags.pictures]
        file.save()
    elif format == "M4A":
        file = mp4.MP4(path)
        for name, values in tags.texts.items():
            _add_atom(file, name, values)
        kinds = {"image/png": mp4.MP4Cover.FORMAT_PNG, "image/jpeg": mp4.MP4Cover.FORMAT_JPEG}
        covers = [mp4.MP4Cover(one.data, kinds[one.mime]) for one in tags.pictures if one.mime in kinds]
        if covers:
            file["covr"] = covers
        file.save()


def _texts(file: Any) -> dict[str, list[str]]:
    """Return what is said in words."""
    found: dict[str, list[str]] = {}
    if isinstance(file.tags, id3.ID3):
        for frame in file.tags.values():
            if name := _BY_FRAME.get(frame.FrameID):
                values = frame.text if hasattr(frame, "text") else [frame.url]
                values = [values] if isinstance(values, str) else values
                found.setdefault(name, []).extend(str(value) for value in values if str(value))
    elif isinstance(file, mp4.MP4):
        for atom, values in file.tags.items():
            if name := _BY_ATOM.get(atom):
                found[name] = [_number(value) if isinstance(value, tuple) else str(value) for value in values]
    elif isinstance(file, asf.ASF):
        for name, values in file.tags.as_dict().items():
            found[_ASF.get(name.lower(), name.lower())] = [str(value) for value in values]
    else:  # Vorbis comments and APE tags
        for name in file.tags.keys():  # noqa: SIM118
            value = file.tags[name]
            values = value if isinstance(value, list) else [str(value)]
            if all(isinstance(one, str) for one in values):
                found[_SYNONYMS.get(name.lower(), name.lower())] = values
    return found


def _pictures(file: Any) -> list[Picture]:
    """Return the cover and other pictures."""
    if isinstance(file, flac.FLAC):
        return list(file.pictures)
    if isinstance(file.tags, id3.ID3):
        return [_picture(one.data, one.mime, int(one.type), one.desc) for one in file.tags.getall("APIC")]
    if isinstance(file, mp4.MP4):
        mimes = {mp4.MP4Cover.FORMAT_PNG: "image/png", mp4.MP4Cover.FORMAT_JPEG: "image/jpeg"}
        return [_picture(bytes(one), mimes.get(one.imageformat, "image/jpeg")) for one in file.tags.get("covr", [])]
    if isinstance(file, oggvorbis.OggVorbis | oggopus.OggOpus):
        return [Picture(base64.b64decode(one)) for one in file.get("metadata_block_picture", [])]
    return []


def _picture(data: bytes, mime: str, type: int = 3, desc: str = "") -> Picture:
    picture = Picture()
    picture.data, picture.mime, picture.type, picture.desc = data, mime, type, desc
    return picture


def _frames(tags: Tags) -> list[Any]:
    """Return tags as ID3 frames."""
    frames: list[Any] = []
    for name, values in tags.texts.items():
        kind = _FIELDS[name][0]
        if kind == "WCOP":
            frames += [id3.WCOP(url=value) for value in values[:1]]
        elif kind in ("COMM", "USLT"):
            frames.append(getattr(id3, kind)(encoding=1, lang="und", desc="", text="\n".join(values)))
        else:
            frames.append(getattr(id3, kind)(encoding=1, text=values))
    frames += [
        id3.APIC(encoding=1, mime=one.mime, type=one.type, desc=one.desc, data=one.data) for one in tags.pictures
    ]
    return frames


def _add_atom(file: mp4.MP4, name: str, values: list[str]) -> None:
    atom = _FIELDS[name][1]
    if atom in ("trkn", "disk"):
        parts = [int(part) if part.isdecimal() else 0 for part in values[0].split("/")]
        file[atom] = [(min(parts[0], 65535), min(parts[1] if len(parts) > 1 else 0, 65535))]
    elif atom:
        file[atom] = values
    else:
        file[f"----:com.apple.iTunes:{name.upper()}"] = [value.encode() for value in values]


def _number(pair: tuple[int, int]) -> str:
    return f"{pair[0]}/{pair[1]}" if pair[1] else str(pair[0])
