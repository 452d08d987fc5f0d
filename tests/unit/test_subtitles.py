"""A transcription as a document: grammar of each format, order of times, no word lost."""

import json
import re
from unicodedata import east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2m.ui import subtitles
from v2m.ui.subtitles import LINE_WIDTH, LINES, Passage, cues

pytestmark = pytest.mark.unit

words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=90)
seconds = st.floats(0, 4 * 3600, allow_nan=False)
passages = st.lists(st.builds(Passage, seconds, seconds, words), max_size=8)
TIME = r"(\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3})"
SRT = re.compile(rf"(?:(\d+)\n{TIME} --> {TIME}\n(?:[^\n]+\n){{1,{LINES}}}(?:\n|\Z))*\Z")
VTT = re.compile(rf"WEBVTT\n(?:\n{TIME} --> {TIME}\n(?:[^\n]+\n){{1,{LINES}}})*\Z")
SPOKEN = [
    Passage(0.0, 2.5, "And so, my fellow Americans:"),
    Passage(2.25, 3.0, "ask not"),
    Passage(3700.0, 3712.345, "what your country can do for you, ask what you can do for your country. " * 2),
]


@given(passages)
def test_no_two_cues_are_shown_at_the_same_time_and_none_for_no_time(found):
    before = 0
    for cue in cues(found):
        assert before <= cue.start_ms < cue.end_ms
        before = cue.end_ms


@given(passages)
def test_a_cue_has_at_most_two_lines_of_42_columns(found):
    for cue in cues(found):
        assert 1 <= len(cue.lines) <= LINES
        for line in cue.lines:
            columns = sum(2 if east_asian_width(character) in "WF" else 1 for character in line)
            assert 1 <= columns <= LINE_WIDTH


@given(passages)
def test_every_letter_is_shown_in_order(found):
    def letters(text):
        return [character for character in text if character.isalnum()]

    shown = "".join(line for cue in cues(found) for line in cue.lines)
    assert letters(shown) == letters("".join(one.text for one in found))


@given(passages)
def test_subrip_and_webvtt_keep_to_their_grammar(found):
    srt, vtt = subtitles.srt(found), subtitles.vtt(found)
    assert SRT.match(srt)
    assert VTT.match(vtt)
    assert srt.count("-->") == vtt.count("-->") == sum(1 for _ in cues(found))
    numbers = re.findall(rf"^(\d+)\n{TIME} --> ", srt, re.MULTILINE)
    assert [int(number[0]) for number in numbers] == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("text", ["a --> b", "1\n00:00:01,000 --> 00:00:02,000\nno", "x -->", "<b>&amp;</b>"])
def test_a_text_cannot_be_taken_for_a_time_or_a_tag(text):
    (cue,) = subtitles.vtt([Passage(0, 1, text)]).split("\n\n")[1:]
    assert cue.count("-->") == 1
    assert "<" not in cue
    assert "&amp;" in cue or "&" not in text
    assert subtitles.srt([Passage(0, 1, text)]).count("-->") == 1


def test_subrip_as_players_expect_it():
    assert subtitles.srt(SPOKEN[:2]) == (
        "1\n00:00:00,000 --> 00:00:02,500\nAnd so, my fellow Americans:\n\n2\n00:00:02,500 --> 00:00:03,000\nask not\n"
    )


def test_webvtt_as_browsers_expect_it():
    assert subtitles.vtt(SPOKEN[:1]) == "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nAnd so, my fellow Americans:\n"


def test_a_long_passage_is_shared_out_in_time_by_its_text():
    found = list(cues(SPOKEN[2:]))
    assert len(found) == 2
    assert (found[0].start_ms, found[-1].end_ms) == (3_700_000, 3_712_345)
    assert found[0].end_ms == found[1].start_ms
    share = (found[0].end_ms - found[0].start_ms) / 12_345
    texts = [sum(map(len, cue.lines)) for cue in found]
    assert share == pytest.approx(texts[0] / sum(texts), abs=0.01)


def test_nothing_heard_is_an_empty_document():
    assert subtitles.srt([]) == ""
    assert subtitles.vtt([]) == "WEBVTT\n"
    assert subtitles.markdown("a.wav", []) == "# a.wav\n"


def test_markdown_tells_times_and_shows_what_was_said_as_it_is():
    page = subtitles.markdown("my_file.wav", [*SPOKEN[:1], Passage(3725, 3726, "two * three < #7 [x]")])
    assert page == (
        "# my\\_file.wav\n\n`00:00:00` And so, my fellow Americans:\n\n`01:02:05` two \\* three \\< \\#7 \\[x\\]\n"
    )


@given(words, seconds, passages)
def test_json_gives_back_what_went_in(text, duration_s, found):
    value = json.loads(subtitles.as_json("a.wav", text, duration_s, found))
    assert (value["file"], value["text"], value["duration_s"]) == ("a.wav", text, duration_s)
    assert [Passage(**one) for one in value["passages"]] == found
