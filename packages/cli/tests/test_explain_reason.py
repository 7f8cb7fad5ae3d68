"""`tulle explain REASON`: the row, also of a header line; what is said of a word that is no reason."""

import json

import pytest
from tulle_cli.reasons import BY_SLUG, GROUPS, REASONS
from tulle_cli.registry import known


def test_a_reason_in_words(tulle, golden):
    done = tulle("explain", "no-endpoints")
    assert done.exit_code == 0
    golden("explain-reason.txt", done.output)


@pytest.mark.parametrize("words", ["tulle-reason: no-endpoints", "Tulle-Reason:no-endpoints", "NO-ENDPOINTS"])
def test_as_it_is_copied_from_an_answer(tulle, words):
    assert tulle("explain", words).output == tulle("explain", "no-endpoints").output


def test_as_json(tulle):
    told = json.loads(tulle("explain", "fault", "-o", "json").output)
    assert (told["slug"], told["status"], told["answer"]) == ("fault", None, "as configured")


def test_a_word_that_is_none_is_answered_with_the_nearest(tulle):
    done = tulle("explain", "no-endpoint")
    assert done.exit_code == 1
    assert "did you mean 'no-endpoints'?" in done.stderr
    assert "a plugin may have reasons of its own" in tulle("explain", "zzz").stderr


def test_every_row_is_whole():
    assert len(BY_SLUG) == len(REASONS)
    for row in REASONS:
        assert row.group in GROUPS
        assert row.what.endswith(".")
        assert row.look
        words = row.command.split()
        assert words[0] == "tulle"
        assert words[1] == "lab" or words[1] in known()  # `lab` comes from tulle-lab
