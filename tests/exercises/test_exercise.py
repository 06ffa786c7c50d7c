"""Every exercise of every notebook passes its right answer and tells wrong ones apart.

`EXAMPLES` holds a wrong answer for each hint that has none of its own, being a
condition. Each is made of the right answer and the arguments.
"""

from __future__ import annotations

import inspect
import re
import string
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest
from IPython.core.compilerop import CachingCompiler
from mended_loop import names_of
from tiny_folder import write_tiny_folder
from tiny_graph import GROUPED, write_model
from tiny_tokenizer import CHATML, byte_level, write_folder

from llm_walkthrough import exercises
from llm_walkthrough.conversion.block_types import read_blocks
from llm_walkthrough.exercises import (
    decode_loop,
    environment,
    graph,
    inside,
    kv_cache,
    long_context,
    mend_it,
    prefill,
    sampling,
    speculation,
    structured_output,
    tokenizer,
    your_model,
)
from llm_walkthrough.exercises.exercise import (
    NOT_ANSWERED,
    Exercise,
    ExerciseOn,
    Texts,
    Verdict,
)
from llm_walkthrough.exercises.structured_output import END
from llm_walkthrough.exercises.when import When
from llm_walkthrough.graph import read_graph
from llm_walkthrough.kv_cache import GrownCache
from llm_walkthrough.machine import facts
from llm_walkthrough.model import open_model
from llm_walkthrough.sampling import (
    MinP,
    Processor,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
    pick,
    process,
    softmax,
)
from llm_walkthrough.tokenizer import open_tokenizer

CPU, DISK_ROW = environment.CPU, environment.check_disk_row.right
DECODE = decode_loop.check_decode.right
GUESSES = speculation.check_guesses.right
KEY = "past_key_values.0.key"
FOLDER = Path(exercises.__path__[0])


def changed(name: str, change: Callable[[Any], object]) -> Callable[..., object]:
    """Answer with a dictionary that is right but for one array."""
    return lambda right, *_: {**right, name: change(right[name])}


def with_both(change: Callable[[Any], object]) -> Callable[..., object]:
    return lambda right, *_: {name: change(array) for name, array in right.items()}


def overwrites(right: np.ndarray, logits: np.ndarray, *_: object) -> np.ndarray:
    logits[:] = right
    return logits


EXAMPLES: dict[Exercise | ExerciseOn, dict[str, Callable[..., object]]] = {
    your_model.check_one_bos: {"otherwise": lambda right, *_: [*right, *right]},
    your_model.check_rate: {"otherwise": lambda right, _: right + 1},
    environment.check_is_native: {
        "ignores_both": lambda *_: True,
        "ignores_host": lambda _, build, __: "amd64" in build,
        "misses_a_name": lambda _, build, host: build.endswith(host.lower()),
        "otherwise": lambda right, build, _: right or build.startswith("macosx"),
    },
    environment.check_choose_providers: {
        "asks_for_absent_ones": lambda _, wanted, __: wanted,
        "reorders": lambda _, wanted, there: [x for x in there if x in wanted],
        "misses_cpu": lambda _, wanted, there: [x for x in wanted if x in there],
        "names_cpu_twice": lambda right, wanted, _: right + [CPU] * (CPU in wanted),
        "otherwise": lambda right, wanted, _: right[:: -1 if CPU in wanted[:1] else 1],
    },
    environment.check_disk_row: {
        "is_no_row": lambda *_: "ok",
        "has_another_word": lambda right, *_: (right[0], "True", ""),
        "wants_more": lambda _, free, wanted: DISK_ROW(free, wanted + 1),
        "compares_the_wrong_way": lambda _, free, wanted: DISK_ROW(wanted, free),
        "gives_gib": lambda right, free, _: (f"{free / 2**30:.1f} GB", *right[1:]),
        "gives_no_gb": lambda right, free, _: (str(free), *right[1:]),
        "has_no_way_out": lambda right, *_: (*right[:2], ""),
        "otherwise": lambda right, *_: (*right[:2], "Make room."),
    },
    graph.check_input_shapes: {
        "is_no_dictionary": lambda *_: [(1, 5)],
        "misses_a_name": lambda right, *_: {"input_ids": right["input_ids"]},
        "has_a_foreign_name": lambda right, *_: right | {"logits": (1, 1, 32)},
        "is_symbolic": changed("input_ids", lambda _: ("batch", "sequence")),
        "has_other_axes": changed("input_ids", lambda shape: shape[1:]),
        "swaps_axes": changed(KEY, lambda s: (s[0], s[2], s[1], s[3])),
        "mask_is_wrong": changed("attention_mask", lambda _: (1, 4)),
        "past_is_wrong": changed(KEY, lambda s: (*s[:2], s[2] + 1, s[3])),
        "otherwise": changed("input_ids", lambda shape: (1, shape[1] + 5)),
    },
    graph.check_unpack: {
        "has_another_length": lambda _, packed: packed & 15,
        "is_below_0": lambda right, _: right.astype(int) - 8,
        "is_above_15": lambda _, p: np.stack([p & 15, p & 240], axis=-1).ravel(),
        "otherwise": lambda right, packed: np.minimum(right, packed.repeat(2) // 9),
    },
    graph.check_dequantise: {
        "has_another_length": lambda right, *_: right.sum(),
        "stays_uint8": lambda _, q, d, c: d * (q - np.uint8(8)) + c,
        "otherwise": lambda right, *_: right * 0,
    },
    tokenizer.check_chat: {
        "is_no_text": lambda right, _: [right],
        "has_other_white_space": lambda right, _: right.rstrip("\n"),
        "misses_a_part": lambda right, _: right.replace("system", ""),
        "has_other_marks": lambda right, _: right + "<|im_end|>",
        "otherwise": lambda right, _: right.replace("user\n", "user: "),
    },
    tokenizer.check_stream: {
        "is_no_list_of_texts": lambda _, __, tokens: tokens,
        "shows_broken_ones": lambda _, own, tokens: [own.decode([x]) for x in tokens],
        "loses_spaces": lambda right, *_: [text.strip() for text in right],
        "has_another_length": lambda right, *_: [text for text in right if text],
        "joins_badly": lambda _, own, x: [own.decode([i]).strip("\ufffd") for i in x],
        "otherwise": lambda right, *_: [*[""] * (len(right) - 1), "".join(right)],
    },
    inside.check_head_weights: {
        "has_another_shape": lambda right, *_: right[0],
        "is_not_one": lambda right, *_: 2 * right,
        "otherwise": lambda right, *_: right[:, ::-1],
    },
    inside.check_induction: {
        "is_no_number": lambda _, weights, __: weights[0],
        "otherwise": lambda right, *_: right + 0.1,
    },
    inside.check_my_lens: {
        "has_another_shape": lambda right, *_: right.T,
        "otherwise": lambda right, *_: 2 * right,
    },
    tokenizer.check_tokens_saved: {"otherwise": lambda right: right + 1000},
    prefill.check_feed: {
        "is_no_dictionary": lambda right, *_: [right],
        "misses_a_name": lambda right, *_: {n: a for n, a in right.items() if n != KEY},
        "has_a_foreign_name": lambda right, *_: {**right, "logits": right[KEY]},
        "is_no_array": changed("input_ids", lambda ids: ids.tolist()),
        "misses_an_axis": changed("input_ids", lambda ids: ids[0]),
        "swaps_axes": changed(KEY, lambda past: past.swapaxes(1, 2)),
        "has_a_past": changed(KEY, lambda past: np.zeros((*past.shape[:2], 5, 16))),
        "has_another_length": changed("attention_mask", lambda mask: mask[:, 1:]),
        "otherwise": changed(KEY, lambda past: np.zeros((1, 7, 0, 3), past.dtype)),
        "changes_dtype": changed(KEY, lambda past: past.astype(np.float64)),
        "has_other_numbers": changed("attention_mask", np.zeros_like),
    },
    prefill.check_softmax_rows: {
        "overflows": lambda _, rows: np.exp(rows) / np.exp(rows).sum(1, keepdims=True),
        "loses_an_axis": lambda right, _: right[0],
        "sums_columns": lambda right, _: right / right.sum(axis=0),
        "sums_everything": lambda right, _: right / right.sum(),
        "is_not_normalised": lambda right, _: right * 2,
        "otherwise": lambda _, rows: np.stack([softmax(row / 2) for row in rows]),
    },
    prefill.check_surprises: {
        "has_another_length": lambda right, *_: np.append(right, 0),
        "otherwise": lambda right, *_: right + 1,
    },
    kv_cache.check_cache_bytes: {"otherwise": lambda right, *_: right + 1},
    kv_cache.check_kv_head_of: {
        "is_not_whole": lambda _, head, heads, kv_heads: head / (heads // kv_heads),
        "is_too_large": lambda _, head, *__: head,
        "otherwise": lambda *_: 0,
    },
    kv_cache.check_small_feed: {
        "has_other_names": lambda right, *_: {"input_ids": right["input_ids"]},
        "is_no_array": with_both(lambda array: array.tolist()),
        "misses_an_axis": with_both(lambda array: array[0]),
        "changes_dtype": changed("attention_mask", lambda mask: mask.astype("f4")),
        "feeds_others": changed("input_ids", lambda ids: 0 * ids),
        "has_a_large_batch": changed("attention_mask", lambda mask: mask.repeat(2, 0)),
        "hides_a_token": changed("attention_mask", lambda mask: 0 * mask),
        "mask_is_too_long": changed("attention_mask", lambda mask: mask.repeat(2, 1)),
        "otherwise": changed("attention_mask", lambda mask: mask[:, 1:]),
    },
    kv_cache.check_cut_back: {
        "has_other_names": lambda right, *_: list(right.values()),
        "loses_an_axis": with_both(lambda array: array[:, :, 0]),
        "cuts_elsewhere": lambda _, arrays, n: {k: a[:, :n] for k, a in arrays.items()},
        "has_another_length": with_both(lambda array: array[:, :, 1:]),
        "otherwise": with_both(lambda array: 2 * array),
    },
    sampling.check_pick: {
        "ignores_u": lambda *_: 1,
        "is_wrong_at_a_border": lambda _, p, u: pick(p, max(u - 1e-9, 0)),
        "otherwise": lambda right, _, u: 2 if u > 0.9 else right,
    },
    sampling.check_top_p: {
        "changes_its_argument": overwrites,
        "has_another_length": lambda right, *_: right[np.isfinite(right)],
        "gives_probabilities": lambda right, *_: softmax(right),
        "leaves_finite": lambda right, *_: np.where(np.isfinite(right), right, 0),
        "keeps_others": lambda right, *_: right[::-1],
        "keeps_less": lambda x, *_: np.where(x == min(x[x > -9]), -np.inf, x),
        "keeps_more": lambda y, x, _: np.where(x == max(x[y < -9]), x, y),
        "otherwise": lambda right, *_: right - 2,
    },
    sampling.check_penalty: {
        "changes_its_argument": overwrites,
        "has_another_length": lambda right, _, context, __: right[context],
        "lifts_a_negative": lambda right, x, *_: np.where(x < 0, x / 2, right),
        "hits_others": lambda right, x, *_: np.where(right == x, x - 1, right),
        "otherwise": lambda y, x, *_: np.where(y == x, x, y - 1),
    },
    sampling.check_order: {
        "otherwise": lambda right: {name: not right[name] for name in right}
    },
    decode_loop.check_feed: {"otherwise": lambda *_: []},
    decode_loop.check_speed: {"otherwise": lambda right, _: 3 * right},
    decode_loop.check_decode: {
        "feeds_too_much": lambda right, *rest: DECODE(*rest) and right,
        "drops_the_end_token": lambda right, *rest: [x for x in right if x != rest[-1]],
        "has_another_length": lambda right, *_: right[:-3],
        "otherwise": lambda right, *_: [*right[:3], 0, *right[4:]],
    },
    long_context.check_chunks: {
        "has_other_axes": lambda _, tokens, __: tokens,
        "has_an_empty_chunk": lambda right, tokens, _: [*right, tokens[:0]],
        "misses_tokens": lambda right, *_: right[:-1] or [np.array([100])],
        "overlaps": lambda right, t, n: [*right, t[-n:]],
        "has_another_order": lambda right, *_: right[::-1],
        "has_a_long_chunk": lambda _, tokens, __: [tokens],
        "otherwise": lambda _, tokens, size: np.array_split(tokens, size),
    },
    long_context.check_reusable: {
        "leaves_none_to_run": lambda y, old, new: y + (y == len(new) - 1 < len(old)),
        "is_too_long": lambda _, cached, wanted: min(len(cached), len(wanted)) - 1,
        "otherwise": lambda *_: 0,
    },
    long_context.check_kept_turns: {
        "gives_no_places": lambda right, turns, *_: [turns[i] for i in right],
        "drops_the_first": lambda right, *_: right[1:],
        "has_another_order": lambda right, *_: right[::-1],
        "is_too_much": lambda _, turns, *__: list(range(len(turns))),
        "drops_too_many": lambda right, *_: [0, *right[2:]],
        "otherwise": lambda right, *_: list(range(len(right))),
    },
    structured_output.check_may_come: {
        "ends_too_early": lambda right, _, x, __: right or x == END,
        "does_not_end": lambda right, _, x, __: right and x != END,
        "looks_inside": lambda _, __, x, wanted: any(x in w for w in wanted),
        "lets_others_come": lambda right, _, token, __: right or token[:1] == "d",
        "otherwise": lambda _, text, token, wanted: text + token in wanted,
    },
    structured_output.check_masked: {
        "changes_its_argument": overwrites,
        "has_another_length": lambda _, logits, allowed: logits[allowed],
        "gives_0": lambda _, logits, allowed: logits * allowed,
        "leaves_a_chance": lambda _, logits, allowed: np.where(allowed, logits, -100),
        "otherwise": lambda right, *_: right * 2,
    },
    structured_output.check_retried: {
        "has_another_length": lambda right, *_: right[:1],
        "is_not_normalised": lambda right, *_: right * 2,
        "otherwise": lambda right, *_: right[::-1],
    },
    speculation.check_kept: {
        "counts_one_more": lambda right, *_: right + 1,
        "gives_tokens": lambda right, _, guess: guess[:right],
        "otherwise": lambda right, *_: right + 2,
    },
    speculation.check_guesses: {
        "gives_a_number": lambda right, *_: len(right),
        "gives_too_many": lambda _, tokens, __: GUESSES(tokens, 99),
        "guesses_something": lambda right, tokens, _: right or tokens[:1],
        "otherwise": lambda right, *_: right[::-1],
    },
    speculation.check_number: {
        "gives_no_count": lambda _, __, costs: np.array(costs),
        "otherwise": lambda right, *_: right + 2,
    },
    mend_it.check_encode: {"otherwise": lambda right, *_: right[1:]},
    mend_it.check_past: {
        "otherwise": with_both(lambda array: np.zeros_like(array, shape=(1, 3, 2, 64)))
    },
    mend_it.check_mask: {"otherwise": lambda right, *_: right * (right.cumsum() > 1)},
    mend_it.check_positions: {"otherwise": lambda right, *_: right * 2},
    mend_it.check_carry: {"otherwise": with_both(lambda array: array / 2)},
    mend_it.check_cut: {"otherwise": lambda right, *_: right / 2},
    mend_it.check_penalise: {"otherwise": lambda right, *_: right - 1},
    mend_it.check_reshape: {"otherwise": lambda right, *_: np.minimum(right, 0)},
    mend_it.check_is_end: {"otherwise": lambda *_: True},
    mend_it.check_stream: {"otherwise": lambda right, *_: [*right, "!"]},
    mend_it.check_speed: {"otherwise": lambda right, *_: 3 * right},
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the exercises on something are made of, by the name they give it."""
    library = byte_level()
    library.add_tokens(["    "])  # so that tokens and characters differ in number
    one, two, three = map(tmp_path_factory.mktemp, ("one", "two", "three"))
    write_model(one, GROUPED)
    tokenizer = write_folder(two, library, chat_template=CHATML)
    return {
        "model": open_model(one),
        "tokenizer": open_tokenizer(tokenizer),
        "graph": read_graph(write_tiny_folder(three)),
    }


MODULES = {
    found.name: import_module(f"{exercises.__name__}.{found.name}")
    for found in iter_modules(exercises.__path__)
}
CHECKS: dict[str, Any] = {
    f"{module}.{name}": check
    for module in MODULES
    for name, check in vars(MODULES[module]).items()
    if isinstance(check, Exercise | ExerciseOn)
}


TRIED = [
    pytest.param(
        check, id=name, marks=pytest.mark.model if "mend_it" in name else ()
    )  # in a loop on the real model
    for name, check in CHECKS.items()
]


@pytest.fixture(params=TRIED)
def check(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - of either class
    return request.param


@pytest.fixture
def exercise(check: Exercise | ExerciseOn, worlds: dict[str, object]) -> Exercise:
    if isinstance(check, Exercise):
        return check
    (wanted,) = inspect.signature(check.make).parameters
    return check.make(loop_on_the_model if wanted == "loop" else worlds[wanted])


def loop_on_the_model(part: object) -> Any:  # noqa: ANN401 - as the notebook has it
    names = names_of("float32")
    return names["decode"](part, names["other"])


def answer_like(exercise: Exercise, change: Callable[..., object]) -> object:
    """Return an answer made of the right one and of the arguments."""
    if not callable(exercise.right):
        return change(exercise.right)
    return lambda *arguments: change(exercise.right(*arguments), *arguments)


def may_be(text: str, message: str) -> bool:
    """Tell whether a message may come of a text with names in braces."""
    parts = [re.escape(part) for part, *_ in string.Formatter().parse(text)]
    return bool(re.fullmatch(".*".join(["", *parts, ""]), message, re.DOTALL))


def test_the_right_answer_passes(exercise: Exercise) -> None:
    verdict = exercise(exercise.right)
    assert verdict.is_right
    assert may_be(exercise.texts.praise, verdict.message)


def test_each_wrong_answer_gets_its_own_hint_and_no_other(
    check: Exercise | ExerciseOn, exercise: Exercise
) -> None:
    examples = EXAMPLES.get(check, {})
    texts = exercise.texts.hints
    assert examples.keys() <= texts.keys()
    for name in texts:
        row = exercise.hints.get(name, [])
        rows = row if isinstance(row, list) else [row]
        wrong = [one for one in rows if not isinstance(one, When)]
        wrong += [answer_like(exercise, examples[name])] if name in examples else []
        assert wrong, f"no wrong answer for the hint {name}"
        for answer in wrong:
            with np.errstate(all="ignore"):
                verdict = exercise(answer)
            said = [name for name in texts if may_be(texts[name], verdict.message)]
            assert (verdict.is_right, said) == (False, [name])


def test_each_text_has_its_exercise() -> None:
    tables = [
        f"{name}.check_{table}"
        for name in MODULES
        if (file := FOLDER / f"{name}.toml").is_file()
        for table in tomllib.loads(file.read_text("utf-8"))
    ]
    assert tables == [*CHECKS]  # in the order of the notebook, too


def test_the_texts_stand_in_the_order_of_rows_and_cases(exercise: Exercise) -> None:
    texts = exercise.texts
    assert [*texts.hints] == [*exercise.hints, "otherwise"]
    assert isinstance(texts.case, str) or len(texts.case) == len(exercise.cases)


def test_as_handed_out_it_is_not_answered_yet(exercise: Exercise) -> None:
    stubs: list[object] = [..., None]
    if callable(exercise.right):
        stubs += [lambda *_: ..., lambda *_: None]
    assert [exercise(stub) for stub in stubs] == [NOT_ANSWERED] * len(stubs)


def test_what_it_raises_is_told_with_its_line(exercise: Exercise) -> None:
    def broken(*_: object) -> object:
        raise IndexError("no such place")

    verdict = exercise(broken)
    assert verdict.is_right is False
    if callable(exercise.right):
        line = broken.__code__.co_firstlineno + 1
        assert verdict.message == (
            f'It stopped at line {line}, `raise IndexError("no such place")`, '
            "with IndexError: no such place"
        )


def test_no_odd_answer_makes_a_check_raise(exercise: Exercise) -> None:
    values = [3, -1.5, "text", [], [1], {"a": 1}, np.zeros((2, 2)), object(), np.nan]
    answers = [*values, *(lambda *_, value=value: value for value in values), max, iter]
    for answer in answers:
        with np.errstate(all="ignore"):
            assert exercise(answer).is_right is False, answer


# --- the loop that tries them -----------------------------------------------------
DOUBLE_HINTS = {"squares": "That is a square.", "otherwise": "It gives {given}."}
DOUBLE = Exercise(
    Texts("a doubled number", "Twice as much.", DOUBLE_HINTS),
    right=lambda number: [2 * number],
    cases=[(1,), (2,), (3,)],
    hints={"squares": lambda number: [number**2]},
)


def test_the_line_is_that_of_the_learners_cell() -> None:
    cell = "def double(number):\n    logits = [0]\n    return logits[9]\n"
    compiler: Any = CachingCompiler()  # type: ignore[no-untyped-call] # as in a notebook
    names: dict[str, Any] = {}
    exec(compiler(cell, compiler.cache(cell), "exec"), names)  # noqa: S102 - our own
    assert DOUBLE(names["double"]).message == (
        "It stopped at line 3, `return logits[9]`, with IndexError: list index "
        "out of range"
    )


def test_no_warning_of_numpy_stands_above_a_hint(
    recwarn: pytest.WarningsRecorder,
) -> None:
    verdict = prefill.check_softmax_rows(
        lambda rows: np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
    )
    assert "exp overflows" in verdict.message
    assert not recwarn.list


def test_an_answer_of_no_use_is_told_without_a_line_of_ours() -> None:
    message = decode_loop.check_decode(lambda *_: 3).message
    assert message == "What it gives cannot be used here: 'int' object is not iterable"


def test_of_what_a_library_raises_the_learners_line_is_told() -> None:
    def double(number: int) -> object:
        return np.reshape([number], 7)

    assert "`return np.reshape([number], 7)`" in DOUBLE(double).message


def test_a_mistake_is_told_before_a_later_case_stops() -> None:
    assert DOUBLE(lambda number: [3 / (number - 2)]).message == "It gives [-3.0]."


def test_a_generator_is_run_and_its_lines_are_told() -> None:
    def double(number: int) -> object:
        yield 2 * number
        yield from [] if number < 3 else [1 / 0]

    assert "`yield from [] if" in DOUBLE(double).message


def test_a_hint_needs_all_that_its_wrong_answer_gets_wrong() -> None:
    assert DOUBLE(lambda number: [number * number]).message == "That is a square."
    assert DOUBLE(lambda number: [(1, 4, 8)[number - 1]]).message == "It gives [1]."


def test_a_verdict_says_in_words_and_with_a_sign_what_its_colour_says() -> None:
    right = Verdict(is_right=True, message="Well done.")
    wrong = Verdict(is_right=False, message="<img src=x>")
    assert repr(right) == "✓ Right. Well done."
    assert repr(wrong) == "✗ Not yet. <img src=x>"
    assert repr(NOT_ANSWERED).startswith("… Not answered yet.")
    assert "&lt;img src=x&gt;" in wrong._repr_html_()


# --- what the right answers are ---------------------------------------------------
def test_the_builds_are_named_as_the_package_names_them() -> None:
    for architecture, builds in environment.BUILT_FOR.items():
        for build in builds:
            assert facts.architecture_of(build, "", bits=64) == architecture


def test_the_codes_lie_as_the_package_packs_them() -> None:
    """The bytes of a GGUF block, d = 0.5 and m = 3.25, and codes 0 … 15 twice."""
    numbers = np.array([0.5, 3.25], "<f2").view(np.uint8)
    codes = np.arange(32, dtype=np.uint8) % 16
    block = np.concatenate([numbers, codes[:16] | codes[16:] << 4])
    matrix = read_blocks("Q4_1", block.reshape(1, 20))
    assert matrix.minimums is not None
    np.testing.assert_array_equal(graph.check_unpack.right(matrix.codes[0, 0]), codes)
    offset = matrix.minimums + 8 * matrix.scales
    weights = graph.check_dequantise.right(codes, matrix.scales[0, 0], offset[0, 0])
    np.testing.assert_array_equal(weights, 0.5 * codes + 3.25)


def test_a_cache_is_cut_as_the_package_cuts_it() -> None:
    for arrays, length in kv_cache.check_cut_back.cases:
        cut = kv_cache.check_cut_back.right(arrays, length)
        wanted = GrownCache(arrays, 9).truncated(length).arrays()  # type: ignore[arg-type]
        for name, array in wanted.items():
            np.testing.assert_array_equal(cut[name], array)


def test_which_pairs_may_change_places_is_as_a_trial_says() -> None:
    processors: dict[str, Processor] = {
        "penalty": RepetitionPenalty(1.5),
        "temperature": Temperature(2.0),
        "top-k": TopK(3),
        "top-p": TopP(0.75),
        "min-p": MinP(0.35),
    }
    random = np.random.default_rng(0)
    rows = random.normal(scale=3, size=(200, 12)).astype(np.float32)
    trials = [*zip(rows, random.integers(12, size=(200, 4)), strict=True)]
    for pair, may_swap in sampling.check_order.right.items():
        one, other = (processors[name] for name in pair.split(", "))
        pairs = [(process(*t, (one, other)), process(*t, (other, one))) for t in trials]
        assert all(np.allclose(*two, rtol=1e-4) for two in pairs) == may_swap, pair
