"""Which audio tracks are not the movie's own audio for everyone: by disposition and by title."""

from __future__ import annotations

import re
import unicodedata
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
#: Common titles of such tracks, in the languages of discs and broadcasters. Stems, because many
#: languages decline them; the first kind that matches counts.
_TITLES = {
    "audio description": r"\bdescriptive\b|\bdescripti?on\b|\bdescribed\b|audio descripti[fv]"
    r"|descritt?iv[oa]|audio-?d[eé]s[ck]ri|audiod[eé]crit|audiodeskr|audiopopis|hörfilm"
    r"|bildbeschreibung|synstolk|syntolk|kuvailutulk|betimleme|akusztikus narr|for the blind"
    r"|visual(ly)?[ -]impaired|тифлокоммент|аудиодескрип|слабовидящ|音声ガイド|解説放送|画面解説"
    r"|화면 ?해설|口述影像",
    "commentary": r"\bcomment(ary|aries|aire|aires|o|i)\b|\bcommentaar|\bcomentari|\bcomentári"
    r"|kommentar|\bkommentti|\bkommentár|kommentár\b|\bkoment[aá][rř]|комментари|коментар"
    r"|\bσχόλι|\byorum|コメンタリー|音声解説|评论|評論|코멘터리|تعليق|bình luận",  # noqa: RUF001
    "for the hearing impaired": r"hearing[ -]impaired|hard[ -]of[ -]hearing|malentendant"
    r"|hörgeschädigt|\bsordos\b|non udenti|\bsurdos\b|niesłysząc|nedoslýchav|slechthorend"
    r"|hörselskad|hørehemm|hørselshemm|слабослышащ|聴覚障害|听障|聽障|청각 ?장애",
    "without speech": r"(isolated|only) (score|music)|(score|music) only|music (and|&) effects"
    r"|clean effects|musique seule|nur musik|\binstrumental\b",
    "karaoke": r"karaoke|sing[ -]?along|караоке|カラオケ|卡拉",
}
#: Abbreviations; they count in capitals only, and not in "AD-lib" or "AD 1927".
_ABBREVIATIONS = {
    "audio description": r"\b(AD|DVS)\b(?!-\w| \d{3,4}\b)",
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
    titles = unicodedata.normalize("NFC", titles)
    for patterns, flags in ((_TITLES, re.IGNORECASE), (_ABBREVIATIONS, 0)):
        for kind, pattern in patterns.items():
            if re.search(pattern, titles, flags):
                return kind
    is_hindi = language_code(language) == "hin" or _HINDI.search(titles) is not None
    if not is_hindi and _HEARING_IMPAIRED.search(titles):
        return "for the hearing impaired"
    return ""
