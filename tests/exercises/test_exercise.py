"""Every exercise of every notebook passes its right answer and tells wrong ones apart.

`EXAMPLES` holds a wrong answer for each row of hints that has none of its own, being a
condition. Each is made of the right answer and the arguments.
"""

from __future__ import annotations

import inspect
import re
import string
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest
from IPython.core.compilerop import CachingCompiler
from tiny_folder import write_tiny_folder
from tiny_graph import GROUPED, write_model
from tiny_tokenizer import CHATML, byte_level, write_folder

from llm_walkthrough import exercises
from llm_walkthrough.conversion.gguf_model import Q4Matrix
from llm_walkthrough.exercises import (
    decode_loop,
    environment,
    graph,
    kv_cache,
    long_context,
    prefill,
    sampling,
    structured_output,
    tokenizer,
)
from llm_walkthrough.exercises.exercise import Exercise, ExerciseOn, When
from llm_walkthrough.exercises.practice_session import continuation
from llm_walkthrough.exercises.structured_output import END
from llm_walkthrough.exercises.verdict import NOT_ANSWERED, Verdict
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

CPU = environment.CPU
KEY = "past_key_values.0.key"


def changed(name: str, change: Callable[[Any], object]) -> Callable[..., object]:
    """Answer with a dictionary that is right but for one array."""
    return lambda right, *_: {**right, name: change(right[name])}


def with_both(change: Callable[[Any], object]) -> Callable[..., object]:
    return lambda right, *_: {name: change(array) for name, array in right.items()}


def overwrites(right: np.ndarray, logits: np.ndarray, *_: object) -> np.ndarray:
    logits[:] = right
    return logits


EXAMPLES: dict[Exercise | ExerciseOn, dict[str, Callable[..., object]]] = {
    environment.check_is_native: {
        "whatever it is asked": lambda *_: True,
        "host makes no difference": lambda _, build, __: "amd64" in build,
        "last hyphen": lambda _, build, host: build.endswith(host.lower()),
        "is emulated": lambda right, build, _: right or build.startswith("macosx"),
    },
    environment.check_choose_providers: {
        "not available": lambda _, wanted, __: wanted,
        "not in the order": lambda _, wanted, there: [x for x in there if x in wanted],
        "is missing": lambda _, wanted, there: [x for x in wanted if x in there],
        "named twice": lambda right, wanted, _: right + [CPU] * (CPU in wanted),
        "wanted=": lambda right, wanted, _: (
            right[::-1] if wanted[:1] == [CPU] else right
        ),
    },
    environment.check_disk_row: {
        "three texts": lambda *_: "ok",
        "'ok' or 'problem'": lambda right, *_: (right[0], "True", ""),
        "Exactly as much": lambda right, free, wanted: (
            (right[0], "problem", "") if free == wanted else right
        ),
        "sign of the comparison": lambda _, *both: environment.check_disk_row.right(
            *both[::-1]
        ),
        "GiB": lambda right, free, _: (f"{free / 2**30:.1f} GB", *right[1:]),
        "it should say": lambda right, free, _: (str(free), *right[1:]),
        "say what to do": lambda right, *_: (*right[:2], ""),
        "leave it empty": lambda right, *_: (*right[:2], "Make room."),
    },
    graph.check_input_shapes: {
        "return a dictionary": lambda *_: [(1, 5)],
        "have no shape": lambda right, *_: {"input_ids": right["input_ids"]},
        "not an input": lambda right, *_: right | {"logits": (1, 1, 32)},
        "symbolic": changed("input_ids", lambda _: ("batch", "sequence")),
        "axes; the table": changed("input_ids", lambda shape: shape[1:]),
        "wrong axes": changed(KEY, lambda s: (s[0], s[2], s[1], s[3])),
        "covers the past": changed("attention_mask", lambda _: (1, 4)),
        "before the run": changed(KEY, lambda s: (*s[:2], s[2] + 1, s[3])),
        "Only the new": changed("input_ids", lambda shape: (1, shape[1] + 5)),
    },
    graph.check_unpack: {
        "the shape is": lambda _, packed: packed & 15,
        "below 0": lambda right, _: right.astype(int) - 8,
        "moved down": lambda _, p: np.stack([p & 15, p & 240], axis=-1).ravel(),
        "hexadecimal": lambda right, packed: np.minimum(right, packed.repeat(2) // 9),
    },
    graph.check_dequantise: {
        "weights, not shape": lambda right, *_: right.sum(),
        "knows no number below 0": lambda _, q, d, c: d * (q - np.uint8(8)) + c,
        "should give the offset": lambda right, *_: right * 0,
    },
    tokenizer.check_chat: {
        "returned a": lambda right, _: [right],
        "white space": lambda right, _: right.rstrip("\n"),
        "} is missing": lambda right, _: right.replace("system", ""),
        "stands in it": lambda right, _: right + "<|im_end|>",
        "leaves the template": lambda right, _: right.replace("user\n", "user: "),
    },
    tokenizer.check_stream: {
        "a list of texts": lambda _, __, tokens: tokens,
        "appears: bytes": lambda _, own, tokens: [own.decode([x]) for x in tokens],
        "Spaces were lost": lambda right, *_: [text.strip() for text in right],
        "texts came out": lambda right, *_: [text for text in right if text],
        "Joined": lambda _, own, ids: [own.decode([x]).strip("\ufffd") for x in ids],
        "later than it could": lambda right, *_: [
            *[""] * (len(right) - 1),
            "".join(right),
        ],
    },
    tokenizer.check_tokens_saved: {"not the difference": lambda right: right + 1000},
    prefill.check_feed: {
        "returned a": lambda right, *_: [right],
        "are missing": lambda right, *_: {n: a for n, a in right.items() if n != KEY},
        "has no input": lambda right, *_: {**right, "position_ids": right["input_ids"]},
        "must be an array": changed("input_ids", lambda ids: ids.tolist()),
        "One axis": changed("input_ids", lambda ids: ids[0]),
        "another order": changed(KEY, lambda past: past.swapaxes(1, 2)),
        "rows of zeros": changed(KEY, lambda past: np.zeros((*past.shape[:2], 5, 16))),
        "The last axis": changed("attention_mask", lambda mask: mask[:, 1:]),
        "Compare it": changed(KEY, lambda past: np.zeros((1, 7, 0, 3), past.dtype)),
        "the graph wants": changed(KEY, lambda past: past.astype(np.float64)),
        "other numbers": changed("attention_mask", np.zeros_like),
    },
    prefill.check_softmax_rows: {
        "exp overflows": lambda _, rows: (
            np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
        ),
        "keepdims": lambda right, _: right[0],
        "Wrong axis": lambda right, _: right / right.sum(axis=0),
        "The whole array": lambda right, _: right / right.sum(),
        "Not normalised": lambda right, _: right * 2,
        "which base": lambda _, rows: np.stack([softmax(row / 2) for row in rows]),
    },
    prefill.check_surprises: {
        "first token was not predicted": lambda right, *_: np.append(right, 0),
        "token i+1": lambda right, *_: right + 1,
    },
    kv_cache.check_cache_bytes: {"array's axes": lambda right, *_: right + 1},
    kv_cache.check_kv_head_of: {
        "rounds down": lambda _, head, heads, kv_heads: head / (heads // kv_heads),
        "there is no kv head": lambda _, head, *__: head,
        "does not read": lambda *_: 0,
    },
    kv_cache.check_small_feed: {
        "a dictionary": lambda right, *_: {"input_ids": right["input_ids"]},
        "must be an array": with_both(lambda array: array.tolist()),
        "has one axis": with_both(lambda array: array[0]),
        "wants int64": changed("attention_mask", lambda mask: mask.astype(np.float32)),
        "which tokens": changed("input_ids", lambda ids: 0 * ids),
        "the batch is 1": changed(
            "attention_mask", lambda mask: mask.repeat(2, axis=0)
        ),
        "hides a token": changed("attention_mask", lambda mask: 0 * mask),
        "each once": changed("attention_mask", lambda mask: mask[:, 1:]),
    },
    kv_cache.check_cut_back: {
        "a dictionary": lambda right, *_: list(right.values()),
        "an axis was lost": with_both(lambda array: array[:, :, 0]),
        "wrong axis": lambda _, arrays, n: {k: a[:, :n] for k, a in arrays.items()},
        "tokens are left": with_both(lambda array: array[:, :, 1:]),
        "other tokens": with_both(lambda array: 2 * array),
    },
    sampling.check_pick: {
        "whatever u is": lambda *_: 1,
        "exactly where": lambda _, p, u: pick(p, max(u - 1e-9, 0)),
        "is expected": lambda right, _, u: 2 if u > 0.9 else right,
    },
    sampling.check_top_p: {
        "work on a copy": overwrites,
        "numbers for": lambda right, *_: right[np.isfinite(right)],
        "returns probabilities": lambda right, *_: softmax(right),
        "finite logit": lambda right, *_: np.where(np.isfinite(right), right, 0),
        "not the": lambda right, *_: right[::-1],
        "too few": lambda x, *_: np.where(x == min(x[x > -9]), -np.inf, x),
        "too many": lambda right, x, _: np.where(x == max(x[right < -9]), x, right),
        "logits have changed": lambda right, *_: right - 2,
    },
    sampling.check_penalty: {
        "begin with a copy": overwrites,
        "negative number": lambda right, x, *_: np.where(x < 0, x / 2, right),
        "not in the context": lambda right, x, *_: np.where(right == x, x - 1, right),
        "divide what is positive": lambda y, x, *_: np.where(y == x, x, y - 1),
    },
    sampling.check_order: {
        "are right. Look at": lambda right: {name: not right[name] for name in right}
    },
    decode_loop.check_feed: {"unseen tokens after": lambda *_: []},
    decode_loop.check_speed: {"tokens/s for runs": lambda right, _: 3 * right},
    decode_loop.check_decode: {
        "let the cache come back": lambda right, *both: (
            right if decode_loop.check_decode.right(*both) else []
        ),
        "end token is missing": lambda right, _, __, ___, end: (
            right[:-1] if right[-1] == end else right
        ),
        "are wanted": lambda right, *_: right[:-3],
        "its own past": lambda right, *_: [*right[:3], 0, *right[4:]],
    },
    long_context.check_chunks: {
        "one axis": lambda _, tokens, __: tokens,
        "is empty": lambda right, tokens, _: [*right, tokens[:0]],
        "in no chunk": lambda right, *_: right[:-1] or [np.array([100])],
        "in two chunks": lambda right, t, n: [*right, t[-n:]],
        "in their order": lambda right, *_: right[::-1],
        "the longest chunk": lambda _, tokens, __: [tokens],
        "may be shorter": lambda _, tokens, size: np.array_split(tokens, size),
    },
    long_context.check_reusable: {
        "leaves no token": lambda right, cached, wanted: (
            len(wanted) if right == len(wanted) - 1 < len(cached) else right
        ),
        "does not fit": lambda _, cached, wanted: min(len(cached), len(wanted)) - 1,
        "too short": lambda *_: 0,
    },
    long_context.check_kept_turns: {
        "return places": lambda right, turns, *_: [turns[i] for i in right],
        "message 0": lambda right, *_: right[1:],
        "not in the order": lambda right, *_: right[::-1],
        "too many": lambda _, turns, *__: list(range(len(turns))),
        "than necessary": lambda right, *_: [0, *right[2:]],
        "the oldest go first": lambda right, *_: list(range(len(right))),
    },
    structured_output.check_may_come: {
        "only where it is whole": lambda right, _, x, __: right or x == END,
        "could go on": lambda right, _, x, __: right and x != END,
        "stands in a wanted": lambda _, __, x, wanted: any(x in w for w in wanted),
        "no wanted text": lambda right, _, token, __: right or token[:1] == "d",
        "is not whole": lambda _, text, token, wanted: text + token in wanted,
    },
    structured_output.check_masked: {
        "have changed": overwrites,
        "one logit for each": lambda _, logits, allowed: logits[allowed],
        "e to the power": lambda _, logits, allowed: logits * allowed,
        "only -inf": lambda _, logits, allowed: np.where(allowed, logits, -100),
        "must stay": lambda right, *_: right * 2,
    },
    structured_output.check_retried: {
        "one share": lambda right, *_: right[:1],
        "must be 1": lambda right, *_: right * 2,
        "good end": lambda right, *_: right[::-1],
    },
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the exercises on something are made of, by the name they give it."""
    library = byte_level()
    library.add_tokens(["    "])  # so that tokens and characters differ in number
    one, two, three = (
        tmp_path_factory.mktemp(name) for name in ("one", "two", "three")
    )
    write_model(one, GROUPED)
    tokenizer = write_folder(two, library, chat_template=CHATML)
    return {
        "model": open_model(one),
        "tokenizer": open_tokenizer(tokenizer),
        "graph": read_graph(write_tiny_folder(three)),
    }


CHECKS: dict[str, Any] = {
    f"{module.name}.{name}": check
    for module in iter_modules(exercises.__path__)
    for name, check in vars(
        import_module(f"{exercises.__name__}.{module.name}")
    ).items()
    if isinstance(check, Exercise | ExerciseOn)
}


@pytest.fixture(params=[*CHECKS.values()], ids=[*CHECKS])
def check(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - of either class
    return request.param


@pytest.fixture
def exercise(check: Exercise | ExerciseOn, worlds: dict[str, object]) -> Exercise:
    if isinstance(check, Exercise):
        return check
    return check.make(worlds[next(iter(inspect.signature(check.make).parameters))])


def answer_like(exercise: Exercise, change: Callable[..., object]) -> object:
    """Return an answer made of the right one and of the arguments."""
    if not callable(exercise.right):
        return change(exercise.right)
    return lambda *arguments: change(exercise.right(*arguments), *arguments)


def hints_in(exercise: Exercise, verdict: Verdict) -> list[str]:
    """Return the hints of an exercise that a verdict may have come from."""
    parts = {
        h: [part for part, *_ in string.Formatter().parse(h)] for h in exercise.hints
    }
    patterns = {h: ".*".join(["", *map(re.escape, parts[h]), ""]) for h in parts}
    return [h for h in parts if re.fullmatch(patterns[h], verdict.message, re.DOTALL)]


def test_the_right_answer_passes(exercise: Exercise) -> None:
    assert exercise(exercise.right) == Verdict(is_right=True, message=exercise.praise)


def test_each_wrong_answer_gets_its_own_hint_and_no_other(
    check: Exercise | ExerciseOn, exercise: Exercise
) -> None:
    examples = EXAMPLES.get(check, {})
    seen = set()
    for hint, row in exercise.hints.items():
        given = [words for words in examples if words in hint]
        seen |= set(given)
        wrong = [answer_like(exercise, examples[words]) for words in given]
        rows = row if isinstance(row, list) else [row]
        wrong += [one for one in rows if not isinstance(one, When)]
        assert wrong, f"no wrong answer for the hint: {hint}"
        for answer in wrong:
            with np.errstate(all="ignore"):
                verdict = exercise(answer)
            assert (verdict.is_right, hints_in(exercise, verdict)) == (False, [hint])
    assert seen == examples.keys()


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
DOUBLE = Exercise(
    task="a function that doubles a number",
    right=lambda number: [2 * number],
    cases=[(1,), (2,), (3,)],
    hints={"That is a square.": lambda number: [number**2]},
    praise="Twice as much.",
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
    matrix = Q4Matrix.from_blocks(block.reshape(1, 1, 20))
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


def test_the_loop_makes_what_is_worked_out_without_a_cache() -> None:
    made = decode_loop.check_decode.ask(
        decode_loop.check_decode.right, decode_loop.WITH_POSITIONS, -1
    )
    wanted = continuation(decode_loop.PROMPT.tolist(), decode_loop.LIMIT)
    assert made == {"tokens": wanted, "fed": len(decode_loop.PROMPT) + len(wanted) - 1}
    assert len(set(wanted)) > len(wanted) // 2  # or a mistake could hide


def test_which_pairs_may_change_places_is_as_a_trial_says() -> None:
    processors: dict[str, Processor] = {
        "penalty": RepetitionPenalty(1.5),
        "temperature": Temperature(2.0),
        "top-k": TopK(3),
        "top-p": TopP(0.75),
        "min-p": MinP(0.35),
    }
    random = np.random.default_rng(0)
    trials = [
        (
            random.normal(scale=3, size=12).astype(np.float32),
            random.integers(12, size=4),
        )
        for _ in range(200)
    ]
    for pair, may_swap in sampling.check_order.right.items():
        one, other = (processors[name] for name in pair.split(", "))
        pairs = [(process(*t, (one, other)), process(*t, (other, one))) for t in trials]
        assert all(np.allclose(*two, rtol=1e-4) for two in pairs) == may_swap, pair
