"""Tests of what all exercise checks share."""

from __future__ import annotations

from llm_walkthrough.exercises.verdict import (
    NOT_ANSWERED,
    Verdict,
    called,
    first_failing,
    right,
    wrong,
)


def is_too_small(answer: int) -> str | None:
    return "That is too small." if answer < 10 else None


def is_odd(answer: int) -> str | None:
    return "That is odd." if answer % 2 else None


def judge(answer: object) -> Verdict:
    return first_failing(answer, [is_too_small, is_odd], praise="Even and large.")


def test_an_answer_that_no_test_objects_to_is_right() -> None:
    assert judge(12) == right("Even and large.")


def test_the_first_test_that_objects_gives_the_hint() -> None:
    assert judge(3) == wrong("That is too small.")
    assert judge(13) == wrong("That is odd.")


def test_an_exercise_as_handed_out_is_neither_right_nor_wrong() -> None:
    assert judge(...) == NOT_ANSWERED
    assert judge(None) == NOT_ANSWERED
    assert NOT_ANSWERED.is_right is None


def test_what_the_learners_code_raises_becomes_the_hint() -> None:
    verdict = judge("twelve")
    assert verdict.is_right is False
    assert "TypeError" in verdict.message
    assert "'<' not supported" in verdict.message


def test_a_learners_function_is_called_and_its_result_judged() -> None:
    tests = [lambda function: is_odd(called(function, 4))]
    assert first_failing(lambda x: x + 1, tests, praise="") == wrong("That is odd.")
    assert first_failing(lambda x: x + 2, tests, praise="Even.") == right("Even.")


def test_a_stub_that_returns_nothing_counts_as_unanswered() -> None:
    def stub(_x: int) -> None: ...

    tests = [lambda function: is_odd(called(function, 4))]
    assert first_failing(stub, tests, praise="") == NOT_ANSWERED


def test_a_verdict_says_in_words_and_with_a_sign_what_its_colour_says() -> None:
    assert repr(right("Well done.")) == "✓ Right. Well done."
    assert repr(wrong("Look again.")) == "✗ Not yet. Look again."
    assert repr(NOT_ANSWERED).startswith("… Not answered yet.")
    assert "✗ Not yet." in wrong("Look again.")._repr_html_()


def test_a_message_cannot_bring_its_own_markup() -> None:
    assert "&lt;img src=x&gt;" in wrong("<img src=x>")._repr_html_()
