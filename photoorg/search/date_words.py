"""Words for dates in German, French, Spanish and Italian, told in the English that is read.

Only words that hardly mean anything else: "hier" is yesterday in French, and here in German.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MONTHS = (
    "january february march april may june july august september october november december"
).split()
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
SEASONS = "spring summer autumn winter".split()
LISTS = (
    (MONTHS, "januar februar märz april mai juni juli august september oktober november dezember"),
    (MONTHS, "jänner feber maerz - - - - - - - - -"),
    (MONTHS, "janvier février mars avril mai juin juillet août septembre octobre novembre"
     " décembre"),
    (MONTHS, "- fevrier - - - - - aout - - - decembre"),
    (MONTHS, "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre"
     " diciembre"),
    (MONTHS, "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre"
     " dicembre"),
    (WEEKDAYS, "montag dienstag mittwoch donnerstag freitag samstag sonntag"),
    (WEEKDAYS, "lundi mardi mercredi jeudi vendredi samedi dimanche"),
    (SEASONS, "frühling sommer herbst winter"),
    (SEASONS, "frühjahr - - -"),
    (SEASONS, "printemps été automne hiver"),
    (SEASONS, "primavera verano otoño invierno"),
)  # fmt: skip
WORDS = {
    word: english
    for into, said in LISTS
    for word, english in zip(said.split(), into, strict=True)
    if word != "-"
} | {
    "gestern": "yesterday",
    "vorgestern": "day before yesterday",
    "heute": "today",
    "weihnachten": "christmas",
    "noël": "christmas",
    "silvester": "new year's eve",
    "seit": "since",
    "depuis": "since",
    "im": "in",
    "en": "in",
    "von": "from",
    "bis": "to",
    "jahr": "year",
    "monat": "month",
    "woche": "week",
    "wochenende": "weekend",
    **{f"letzte{end}": "last" for end in ("", "n", "r", "s", "m")},
    **{f"diese{end}": "this" for end in ("", "n", "r", "s", "m")},
}
AFTER = {"dernier": "last", "dernière": "last", "derniere": "last"}
"""Words that follow what they are said of."""
NOUNS = {"mois": "month", "année": "year", "annee": "year", "semaine": "week"}
UNSURE = {"mars"}
"""Dates only beside a number: others are a planet."""
PIECE = re.compile(r"\w+|\W")


@dataclass(frozen=True, slots=True)
class Told:
    """A text in English as far as dates go; `begins` and `ends` lead back to the one it is of."""

    text: str
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the other text a part of this one is; a word counts as a whole."""
        return self.begins[start], self.ends[end - 1]


def in_english(text: str) -> Told:
    """The text in lower case with its words for dates in English; all others stay as they are."""
    pieces = [(m[0].lower(), m.start(), m.end()) for m in PIECE.finditer(text)]
    told: list[tuple[str, int, int]] = []
    skip = 0
    for at, (word, begin, end) in enumerate(pieces):
        if skip:
            skip -= 1
            continue
        following = pieces[at + 2] if at + 2 < len(pieces) and pieces[at + 1][0] == " " else None
        noun = NOUNS.get(word) or WORDS.get(word)
        if following is not None and following[0] in AFTER and noun is not None:
            told.append((f"{AFTER[following[0]]} {noun}", begin, following[2]))
            skip = 2
        elif word in UNSURE and not _beside_number(pieces, at):
            told.append((word, begin, end))
        else:
            told.append((WORDS.get(word, word), begin, end))
    letters, begins, ends = "", [], []
    for word, begin, end in told:
        letters += word
        same = len(word) == end - begin
        begins += [begin + i if same else begin for i in range(len(word))]
        ends += [begin + i + 1 if same else end for i in range(len(word))]
    return Told(letters.replace("\u2019", "'"), tuple(begins), tuple(ends))


def _beside_number(pieces: list[tuple[str, int, int]], at: int) -> bool:
    beside = [pieces[i][0] for i in (at - 2, at + 2) if 0 <= i < len(pieces)]
    return any(word[:1].isdigit() for word in beside)
