"""Text from outside on one line: what could control a terminal, forge a line or hide is made visible.

Terminals obey control characters, Unicode's line separators begin a line in some viewers, bidirectional controls
reorder what stands around them (CVE-2021-42574), and format characters and tags are not seen at all.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

ZERO_WIDTH_NON_JOINER, ZERO_WIDTH_JOINER = "\u200c", "\u200d"
PRESENTATIONS = "\ufe0e\ufe0f"
"""Variation selectors that choose between a symbol as text and as emoji."""

HIDDEN = frozenset(["Cc", "Cf", "Cs", "Co", "Zl", "Zp"])
"""General categories: control, format, surrogate, private use, line separator, paragraph separator."""

# Unicode's other default-ignorable code points, assigned or not, and its noncharacters.
_IGNORABLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2065, 0x2065),
    (0x3164, 0x3164),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_NOT_PLAIN = re.compile(r"[^ -~]")
_JOINING = range(0x0600, 0x1D00)
"""Where the scripts are that write with joiners, from Arabic to Mongolian and Vedic."""
_EMOJI = range(0x1F000, 0x1FB00)
"""Where newer versions of Unicode than Python's put their emoji."""


def escaped(text: str) -> str:
    r"""`text` with each character that is not simply seen written as `\n`, `\x1b`, `\u202e` or `\U000e0041`.

    Joiners stay where a script or an emoji needs them: between two letters of a script such as Arabic or
    Devanagari, and between two symbols. So do the selectors of emoji presentation behind a character.
    """

    def shown(match: re.Match[str]) -> str:
        character = match[0]
        if not _hidden(character) or _needed(text, match.start()):
            return character
        return _NAMED.get(character) or _escape(ord(character))

    return _NOT_PLAIN.sub(shown, text)


@lru_cache(maxsize=4096)
def _hidden(character: str) -> bool:
    code = ord(character)
    return (
        unicodedata.category(character) in HIDDEN
        or any(first <= code <= last for first, last in _IGNORABLE)
        or code & 0xFFFE == 0xFFFE
    )


def _needed(text: str, index: int) -> bool:
    character, before, after = text[index], text[index - 1 : index], text[index + 1 : index + 2]
    if not before:
        return False
    if character in PRESENTATIONS:
        return not _hidden(before) and not before.isspace()
    if not after or character not in (ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER):
        return False
    if _letter(before) and _letter(after):
        return True
    return character == ZERO_WIDTH_JOINER and (_symbol(before) or before in PRESENTATIONS) and _symbol(after)


def _letter(character: str) -> bool:
    return ord(character) in _JOINING and unicodedata.category(character) in ("Lo", "Mn", "Mc")


def _symbol(character: str) -> bool:
    return unicodedata.category(character) in ("So", "Sk") or ord(character) in _EMOJI


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
