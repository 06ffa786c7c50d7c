"""Solutions pass, and typical mistakes are told from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.exercises.decode_loop import (
    LIMIT,
    PROMPT,
    WITH_POSITIONS,
    check_decode,
    check_feed,
    check_speed,
)
from llm_walkthrough.exercises.practice_session import (
    HEAD_DIM,
    KV_HEADS,
    PAST,
    PracticeSession,
    continuation,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llm_walkthrough.arrays import KeyOrValue, TokenIds
    from llm_walkthrough.branch import Run
    from llm_walkthrough.exercises.verdict import Verdict

    Feed = dict[str, np.ndarray]

CHECKS = (check_feed, check_speed, check_decode)


def assert_hints(verdict: Verdict, word: str) -> None:
    assert verdict.is_right is False
    assert word in verdict.message


@pytest.mark.parametrize("check", CHECKS)
def test_an_exercise_as_handed_out_is_not_answered_yet(
    check: Callable[[object], Verdict],
) -> None:
    assert check(lambda *_: ...).is_right is None


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("answer", [3, [1], lambda *_: "text", lambda *_: 1 / 0])
def test_no_answer_makes_a_check_raise(
    check: Callable[[object], Verdict], answer: object
) -> None:
    assert check(answer).is_right is False


# --- the dictionary ---------------------------------------------------------------
def right_feed(
    names: Sequence[str], unseen: TokenIds, past: Mapping[str, KeyOrValue]
) -> Feed:
    length = next(iter(past.values())).shape[2]
    total = length + len(unseen)
    small = {
        "input_ids": unseen[np.newaxis],
        "attention_mask": np.ones((1, total), np.int64),
        "position_ids": np.arange(length, total)[np.newaxis],
    }
    return {name: {**small, **past}[name] for name in names}


def test_a_right_feed_passes() -> None:
    assert check_feed(right_feed).is_right


def spoilt(**wrong: Callable[[np.ndarray], np.ndarray | None]) -> Callable[..., Feed]:
    """Return a feed in which some arrays are changed, or left out."""

    def my_feed(*arguments: Any) -> Feed:  # noqa: ANN401 - passed on as they are
        feed = right_feed(*arguments)
        for name in wrong.keys() & feed.keys():
            changed = wrong[name](feed.pop(name))
            if changed is not None:
                feed[name] = changed
        return feed

    return my_feed


def surplus_feed(
    _names: Sequence[str], unseen: TokenIds, past: Mapping[str, KeyOrValue]
) -> Feed:
    return right_feed([*WITH_POSITIONS, *PAST], unseen, past)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (spoilt(input_ids=lambda ids: ids[0]), "the batch axis first"),
        (spoilt(input_ids=lambda ids: ids[:, :0]), "holds no token"),
        (spoilt(input_ids=lambda ids: ids.astype(np.int32)), "dtype int32"),
        (spoilt(attention_mask=lambda mask: mask[:, :1]), "it covers both"),
        (spoilt(attention_mask=lambda mask: mask[:, 1:]), "it covers both"),
        (spoilt(attention_mask=lambda mask: mask * 0), "holds zeros"),
        (spoilt(attention_mask=lambda _: None), "an input attention_mask"),
        (spoilt(position_ids=lambda _: None), "an input position_ids"),
        (spoilt(position_ids=lambda p: p - p[0, 0]), "go on where the past ends"),
        (spoilt(position_ids=lambda p: p[0]), "go on where the past ends"),
        (surplus_feed, "refuses names"),
        (spoilt(**{PAST[1]: lambda _: None}), PAST[1]),
        (spoilt(**{PAST[1]: lambda array: array[:, :, 1:]}), "different numbers"),
        (spoilt(**{PAST[1]: lambda array: array[0]}), "as the session's inputs say"),
        (lambda *_: [], "a feed is a dictionary"),
    ],
)
def test_a_wrong_feed_is_told_its_mistake(
    answer: Callable[..., Feed], words: str
) -> None:
    assert_hints(check_feed(answer), words)


def test_the_hint_says_in_which_run_the_mistake_is() -> None:
    only_new = spoilt(attention_mask=lambda mask: mask[:, -1:])
    assert_hints(check_feed(only_new), "With 4 unseen tokens after 0 in the past")


# --- counting honestly ------------------------------------------------------------
def decode_speed(runs: Sequence[Run]) -> float:
    decode = [run for run in runs if len(run.tokens) == 1]
    return len(decode) / sum(run.seconds for run in decode)


def test_a_right_speed_passes() -> None:
    assert check_speed(decode_speed).is_right


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda runs: 1 / decode_speed(runs), "turn the fraction over"),
        (
            lambda runs: (
                sum(len(r.tokens) for r in runs) / sum(r.seconds for r in runs)
            ),
            "Tokens of the prompt",
        ),
        (lambda runs: len(runs) / sum(r.seconds for r in runs), "time of prefill"),
        (lambda runs: len(runs[1:]) / sum(r.seconds for r in runs), "time of prefill"),
        (lambda runs: len(runs) / sum(r.seconds for r in runs[1:]), "run of prefill"),
        (lambda runs: np.mean([1 / r.seconds for r in runs[1:]]), "mean of speeds"),
        (lambda runs: decode_speed(runs[1:]) * 2, "60 tokens/s for runs that make 30"),
        (
            lambda runs: (
                sum(len(r.tokens) for r in runs[1:]) / sum(r.seconds for r in runs[1:])
            ),
            "goes through in several runs",
        ),
    ],
)
def test_a_wrong_speed_is_told_its_mistake(
    answer: Callable[[Sequence[Run]], float], words: str
) -> None:
    assert_hints(check_speed(answer), words)


# --- the loop ---------------------------------------------------------------------
class Decoder:
    """A right loop, one part of which each subclass gets wrong."""

    def __call__(
        self, session: PracticeSession, prompt: TokenIds, limit: int, end: int
    ) -> list[int]:
        tokens, past = prompt.tolist(), empty_past(session)
        names = [port.name for port in session.get_outputs()]
        while not self.is_done(tokens[len(prompt) :], limit, end):
            unseen = np.array(self.unseen(tokens, past), dtype=np.int64)
            inputs = [port.name for port in session.get_inputs()]
            outputs = session.run(None, self.feed(inputs, unseen, past))
            named = dict(zip(names, outputs, strict=True))
            tokens.append(int(self.row(named["logits"]).argmax()))
            past = self.cache(past, named)
        return self.result(tokens, len(prompt))

    def is_done(self, new: list[int], limit: int, end: int) -> bool:
        return len(new) == limit or end in new

    def unseen(self, tokens: list[int], past: dict[str, KeyOrValue]) -> list[int]:
        return tokens[past[PAST[0]].shape[2] :]

    def feed(
        self, inputs: list[str], unseen: TokenIds, past: dict[str, KeyOrValue]
    ) -> Feed:
        return right_feed(inputs, unseen, past)

    def row(self, logits: np.ndarray) -> np.ndarray:
        last: np.ndarray = logits[0, -1]
        return last

    def cache(self, past: dict[str, KeyOrValue], named: Feed) -> dict[str, KeyOrValue]:
        return {n: named[n.replace("past_key_values", "present")] for n in past}

    def result(self, tokens: list[int], prompt_length: int) -> list[int]:
        return tokens[prompt_length:]


class ReturnsThePromptToo(Decoder):
    def result(self, tokens: list[int], _prompt_length: int) -> list[int]:
        return tokens


class MakesOneTooMany(Decoder):
    def is_done(self, new: list[int], limit: int, end: int) -> bool:
        return super().is_done(new, limit + 1, end)


class MakesOneTooFew(Decoder):
    def is_done(self, new: list[int], limit: int, end: int) -> bool:
        return super().is_done(new, limit - 1, end)


class NeverStops(Decoder):
    def is_done(self, _new: list[int], _limit: int, _end: int) -> bool:
        return False


class GoesOnAfterTheEnd(Decoder):
    def is_done(self, new: list[int], limit: int, _end: int) -> bool:
        return len(new) == limit


class DropsTheEndToken(Decoder):
    def __call__(
        self, session: PracticeSession, prompt: TokenIds, limit: int, end: int
    ) -> list[int]:
        made = super().__call__(session, prompt, limit, end)
        return made[:-1] if made[-1] == end else made


class ReadsTheFirstRow(Decoder):
    def row(self, logits: np.ndarray) -> np.ndarray:
        first: np.ndarray = logits[0, 0]
        return first


class FeedsEverythingAnew(Decoder):
    def unseen(self, tokens: list[int], _past: dict[str, KeyOrValue]) -> list[int]:
        return tokens

    def cache(self, past: dict[str, KeyOrValue], _named: Feed) -> dict[str, KeyOrValue]:
        return past


class FeedsEverythingOnTop(Decoder):
    def unseen(self, tokens: list[int], _past: dict[str, KeyOrValue]) -> list[int]:
        return tokens


class LosesTheCache(Decoder):
    def unseen(self, tokens: list[int], _past: dict[str, KeyOrValue]) -> list[int]:
        return tokens[-1:] if len(tokens) > len(PROMPT) else tokens

    def cache(self, past: dict[str, KeyOrValue], _named: Feed) -> dict[str, KeyOrValue]:
        return past


class TakesTheCacheByPlace(Decoder):
    def cache(self, past: dict[str, KeyOrValue], named: Feed) -> dict[str, KeyOrValue]:
        return dict(zip(past, named.values(), strict=False))


class KeepsTheMaskOfThePrompt(Decoder):
    def feed(
        self, inputs: list[str], unseen: TokenIds, past: dict[str, KeyOrValue]
    ) -> Feed:
        mask = np.ones((1, len(PROMPT)), np.int64)
        return {**super().feed(inputs, unseen, past), "attention_mask": mask}


class KnowsNoPositions(Decoder):
    def feed(
        self, inputs: list[str], unseen: TokenIds, past: dict[str, KeyOrValue]
    ) -> Feed:
        known = [name for name in inputs if name != "position_ids"]
        return super().feed(known, unseen, past)


def empty_past(session: PracticeSession) -> dict[str, KeyOrValue]:
    shape = (1, KV_HEADS, 0, HEAD_DIM)
    names = [port.name for port in session.get_inputs() if "past" in port.name]
    return {name: np.zeros(shape, np.float32) for name in names}


def test_a_right_loop_passes() -> None:
    assert check_decode(Decoder()).is_right


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ReturnsThePromptToo(), "The prompt is in it too"),
        (MakesOneTooMany(), "returns 9 tokens where 8 are wanted"),
        (MakesOneTooFew(), "returns 7 tokens where 8 are wanted"),
        (NeverStops(), "does the loop come to an end?"),
        (GoesOnAfterTheEnd(), "goes on after the end token"),
        (DropsTheEndToken(), "The end token is missing"),
        (ReadsTheFirstRow(), "only the last row"),
        (FeedsEverythingAnew(), "let the cache come back in"),
        (FeedsEverythingOnTop(), "feed what it has not seen"),
        (LosesTheCache(), "come back as its own past?"),
        (TakesTheCacheByPlace(), "come back as its own past?"),
        (KeepsTheMaskOfThePrompt(), "it covers both: [1, 5]"),
        (KnowsNoPositions(), "the graph has an input position_ids"),
    ],
)
def test_a_wrong_loop_is_told_its_mistake(answer: Decoder, words: str) -> None:
    assert_hints(check_decode(answer), words)


# --- the practice session ---------------------------------------------------------
def test_its_next_token_depends_on_every_row_of_every_array() -> None:
    session = PracticeSession(["input_ids", "attention_mask"])
    names = [port.name for port in session.get_inputs()]
    past = empty_past(session)
    first = session.run(None, right_feed(names, PROMPT, past))
    outputs = dict(zip([p.name for p in session.get_outputs()], first, strict=True))
    past = {n: outputs[n.replace("past_key_values", "present")] for n in past}
    token = np.array([7], dtype=np.int64)
    (undisturbed,) = session.run(["logits"], right_feed(names, token, past))
    for name in PAST:
        for row in range(len(PROMPT)):
            other = {**past, name: past[name].copy()}
            other[name][:, :, row] += 1
            (logits,) = session.run(["logits"], right_feed(names, token, other))
            assert logits.argmax() != undisturbed.argmax(), (name, row)


def test_it_refuses_a_mask_that_a_real_graph_would_accept() -> None:
    session = PracticeSession(["input_ids", "attention_mask"])
    names = [port.name for port in session.get_inputs()]
    feed = right_feed(names, PROMPT, empty_past(session))
    feed["attention_mask"] = feed["attention_mask"][:, :-1]
    with pytest.raises(InputError, match="it covers both"):
        session.run(None, feed)


def test_its_tokens_do_not_repeat_so_early_that_a_mistake_could_hide() -> None:
    made = continuation(PROMPT.tolist(), LIMIT)
    assert len(set(made)) > LIMIT // 2
