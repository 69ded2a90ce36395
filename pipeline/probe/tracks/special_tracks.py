"""Which audio tracks are not the movie's own audio for everyone: by disposition and by title."""

from __future__ import annotations

import re
from typing import Any

from pipeline.probe.tracks.languages import language_code

#: Dispositions of such tracks, by ffmpeg's names.
SPECIAL_DISPOSITIONS = {
    "comment": "commentary",
    "visual_impaired": "audio description",
    "descriptions": "audio description",
    "hearing_impaired": "for the hearing impaired",
    "clean_effects": "without speech",
    "non_diegetic": "non-diegetic audio",
    "karaoke": "karaoke",
    "lyrics": "lyrics",
    "dependent": "part of another track",
}
#: Common titles of such tracks, in the languages of disc menus.
_TITLES = {
    "commentary": r"\bcomment(ary|aries|aire|aires|o)\b|kommentar|comentario|comentário|комментари",
    "audio description": r"descriptive|described|\bdescripti?on\b|audio-?des[ck]ri|hörfilm"
    r"|visual(ly)?[ -]impaired",
    "for the hearing impaired": r"hearing[ -]impaired|hard[ -]of[ -]hearing",
    "without speech": r"(isolated|only) score|(score|music) only|music (and|&) effects",
    "karaoke": r"karaoke|sing[ -]?along",
}
#: Abbreviations; they count in capitals only.
_ABBREVIATIONS = {
    "audio description": r"\b(AD|DVS)\b",
    "for the hearing impaired": r"\bSDH\b",
    "without speech": r"\bM&E\b",
}
#: "HI" is also a half of HI-FI, HI-RES and HI-DEF, and the code of Hindi. It means the hearing
#: impaired in brackets, or after other words at the end of a title or before its channel layout.
_HEARING_IMPAIRED = re.compile(
    r"[(\[]\s*HI\s*[)\]]|(?<=[\w)\]] )HI(?=$|;| (\d\.\d|track|audio|mix|version)\b)"
    r"|(?<=[,/|-] )HI(?=$|;)|\bfor HI\b"
)
_HINDI = re.compile(r"\bhindi\b|हिन्दी|हिंदी", re.IGNORECASE)


def special_kind(dispositions: dict[str, Any], titles: str, language: str) -> str:
    """What kind of special track this is; empty for a main one.

    Args:
        dispositions: as ffprobe lists them.
        titles: title and handler name, separated by `; `.
        language: as tagged.
    """
    for disposition, kind in SPECIAL_DISPOSITIONS.items():
        if dispositions.get(disposition):
            return kind
    for patterns, flags in ((_TITLES, re.IGNORECASE), (_ABBREVIATIONS, 0)):
        for kind, pattern in patterns.items():
            if re.search(pattern, titles, flags):
                return kind
    is_hindi = language_code(language) == "hin" or _HINDI.search(titles) is not None
    if not is_hindi and _HEARING_IMPAIRED.search(titles):
        return "for the hearing impaired"
    return ""
