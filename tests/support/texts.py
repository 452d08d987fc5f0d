"""Random texts of every kind that a dictation can bring into a window, the same ones for the same seed."""

import random

from v2m.domain.text.typed import typeable

LATIN_1 = "".join(map(chr, range(0xA1, 0xAD))) + "".join(map(chr, range(0xAE, 0x100)))
KINDS = {
    "words": [
        "the ",
        "meeting ",
        "Thursday, ",
        "at ten. ",
        "Anna ",
        "42 ",
        "it's ",
        "“so” ",
        '"quoted" ',
        "‘a’ ",
        "– ",
    ],
    "ascii": [*map(chr, range(0x21, 0x7F)), " "],
    "latin-1": [*LATIN_1, "€", "ß", " "],
    "western": [*"äöüÄÖÜßéèêàçñøåæ§°", "€", "«", "»", " "],  # as much of Latin-1 as one language and a half has
    "accents": ["ŵ", "ě", "š", "ű", "č", "ğ", "ỹ", "ø", "Ł", "ọ̃", " "],
    "han": [*map(chr, range(0x4E00, 0x4E00 + 2000, 7)), "かな", "カナ", "한글", "。", "，", "「", "」"],
    "emoji": ["😀", "❤️", "👩‍💻", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "1️⃣", "☕", "🫶"],
    "right to left": ["שלום ", "עולם ", "مرحبا ", "بالعالم ", "می‌خواهم ", "١٢٣ ", "abc "],
    "combining": ["q\u0303", "x\u0304", "e\u0329", "z\u0335", "Ω\u0301", "क\u094dष", "ท\u0e35\u0e48", " "],
    "astral": ["𝒳", "𝟘", "𠀀", "𪚥", "𐍈", "𓀀", "🀄", " "],
    "signs": ["→", "½", "∑", "…", "—", "№", "☑", "🠒", " "],
}
LATIN_KINDS = ("words", "ascii", "western", "latin-1")
LONGEST = 5000


def texts(count, *, kinds=tuple(KINDS), longest=LONGEST, seed=1):
    """Yield texts as outputs get them: mostly sentences, one in ten a paragraph, one in a hundred longer still."""
    dice = random.Random(seed)
    for number in range(count):
        most = 120 if number % 10 else 400
        if number % 100 == 50:
            most = longest
        yield _text(dice, dice.randint(1, min(most, longest)), kinds)


def _text(dice, length, kinds):
    while True:
        chosen = dice.sample(kinds, dice.randint(1, min(3, len(kinds))))
        pieces, size = [], 0
        while size < length:
            pieces.append(dice.choice(KINDS[dice.choice(chosen)]))
            size += len(pieces[-1])
        if text := typeable("".join(pieces)[:length]):
            return text
