"""An answer is made as asked, says why it stopped, and counts what it did."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_folder import CONTEXT, END_TOKENS, write_tiny_folder
from tiny_tokenizer import byte_level, write_folder

from llm_walkthrough import answer as answering
from llm_walkthrough.answer import (
    MANY,
    SENTENCE_END,
    Answer,
    Figures,
    Settings,
    chat_prompt,
    sentence_end,
)
from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import regular_expression
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.model import Model
from llm_walkthrough.sampling import Sampling, TopK
from llm_walkthrough.speculation import GuessCount
from llm_walkthrough.stepper import Stepper
from llm_walkthrough.tokenizer import Tokenizer, open_tokenizer

Loaded = tuple[Model, Tokenizer]

GREEDY = Sampling(temperature=0, repetition_penalty=1)
SENTENCES = (
    *("Sit down.", "Sit down! ", "**Sit down.**", "(She said: “Sit down.”)"),
    "\u5750\u4e0b\u3002",  # the same in Chinese
)
NO_SENTENCES = (
    *("Sit down", "Sit down:", "Sit down.\n\n2.", "Sit, e.g.", "A cup is 2."),
)
LEVEL = Sampling(temperature=2, top_k=0, top_p=1, repetition_penalty=1)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return answering.load(write_tiny_folder(tmp_path_factory.mktemp("tiny")))


def answered(loaded: Loaded, settings: Settings, prompt: str = "Hello there") -> Answer:
    model, tokenizer = loaded
    answer = Answer(model, tokenizer, tokenizer.encode(prompt), settings)
    answer.read_prompt()
    assert "".join(answer.stream()) == answer.text
    return answer


def until(loaded: Loaded, reason: str) -> Answer:
    """An answer that stops for this reason, whichever seed it takes."""
    for seed in range(50):
        answer = answered(loaded, Settings(LEVEL, seed))
        if answer.figures.stop_reason == reason:
            return answer
    raise AssertionError(reason)


def test_greedy_answer_has_the_tokens_of_the_stepper(loaded: Loaded) -> None:
    model, tokenizer = loaded
    answer = answered(loaded, Settings(GREEDY, max_new_tokens=20))
    stepper = Stepper(model, tokenizer.encode("Hello there"), processors=[TopK(1)])
    by_hand = [stepper.step().token for _ in range(len(answer.new_tokens))]
    assert answer.new_tokens.tolist() == by_hand


def test_penalty_leaves_the_words_of_the_prompt_alone(loaded: Loaded) -> None:
    model, _ = loaded
    harsh = Sampling(temperature=0, repetition_penalty=10)
    answer = answered(loaded, Settings(harsh, max_new_tokens=20))
    made = {}
    for start in (0, len(answer.prompt)):
        processors = harsh.processors(start)
        stepper = Stepper(model, answer.prompt, processors=processors)
        for _ in answer.new_tokens:
            stepper.step()
        made[start] = stepper.new_tokens.tolist()
    assert answer.new_tokens.tolist() == made[len(answer.prompt)] != made[0]


def test_same_seed_repeats_an_answer_as_no_other_does(loaded: Loaded) -> None:
    answers = [answered(loaded, Settings(LEVEL, seed)) for seed in (3, 3, 2)]
    first, again, other = (answer.text for answer in answers)
    assert "" != first == again != other
    assert first == loaded[1].decode(answers[0].new_tokens)


def test_limit_stops_after_exactly_that_many_tokens(loaded: Loaded) -> None:
    whole = until(loaded, "end token")
    limit = len(whole.new_tokens) - 1
    answer = answered(
        loaded, Settings(LEVEL, whole.settings.seed, max_new_tokens=limit)
    )
    assert answer.figures.stop_reason == "limit"
    assert answer.new_tokens.tolist() == whole.new_tokens[:limit].tolist()


@pytest.mark.parametrize("text", [*SENTENCES, *NO_SENTENCES])
def test_a_sentence_ends_with_a_word_and_a_full_stop(tmp_path: Path, text: str) -> None:
    tokenizer = open_tokenizer(write_folder(tmp_path, byte_level()))
    tokens = tokenizer.encode(text)
    assert sentence_end(tokenizer, len(tokens), tokens) is (text in SENTENCES)
    assert not sentence_end(tokenizer, 1000, tokens)


def test_an_answer_near_its_limit_ends_with_its_sentence(loaded: Loaded) -> None:
    def limited(seed: int) -> Answer:
        return answered(loaded, Settings(LEVEL, seed, max_new_tokens=16))

    ended = [limited(seed) for seed in range(150)]
    reasons = {one.figures.stop_reason for one in ended}
    assert reasons == {"end token", "limit", SENTENCE_END}
    for answer in ended:
        is_near = len(answer.new_tokens) in range(13, 17)
        is_end = re.search(r"[A-Za-z]{2}[.?!]\s*$", answer.text) is not None
        assert (answer.figures.stop_reason == SENTENCE_END) is (is_near and is_end)


def test_end_token_stops_and_is_counted_but_not_shown(loaded: Loaded) -> None:
    answer = until(loaded, "end token")
    assert int(answer.new_tokens[-1]) in END_TOKENS
    assert answer.figures.new_tokens == len(answer.new_tokens)
    assert len(answer.text) == len(answer.new_tokens) - 1  # one letter for each token


def test_stop_text_ends_the_answer_before_it(loaded: Loaded) -> None:
    whole = until(loaded, "end token")
    stop = whole.text[4:6]
    settings = Settings(LEVEL, whole.settings.seed, stop_texts=(stop,))
    answer = answered(loaded, settings)
    assert answer.figures.stop_reason == "stop text"
    assert answer.text == whole.text[: whole.text.index(stop)]


def test_answer_follows_its_grammar_whatever_the_seed(loaded: Loaded) -> None:
    grammar = regular_expression("(yes|no|perhaps)[.!]{2,9}")
    texts = set()
    for seed in range(12):
        answer = answered(loaded, Settings(LEVEL, seed, 12, grammar=grammar))
        answer.require_whole()
        assert re.fullmatch(grammar.text, answer.text)
        texts.add(answer.text)
    assert len(texts) > 6


def test_full_context_is_a_limit_in_which_the_grammar_is_closed(loaded: Loaded) -> None:
    grammar = regular_expression("[ab]+|cc+d")
    for seed in range(12):
        settings = Settings(LEVEL, seed, grammar=grammar)
        answer = answered(loaded, settings, "a" * (CONTEXT - 5))
        answer.require_whole()
        assert re.fullmatch(grammar.text, answer.text)


def test_answer_that_stops_in_the_middle_of_its_grammar_is_not_passed_off_as_whole(
    loaded: Loaded,
) -> None:
    # no way to its end is found: each letter has to be guessed
    grammar = regular_expression("([a-z.]+x[.]y){3}Z")
    answer = answered(loaded, Settings(LEVEL, 1, 6, grammar=grammar))
    assert answer.figures.stop_reason == "limit"
    with pytest.raises(InputError, match=r"did not fit: after 6 .* --max-new-tokens"):
        answer.require_whole()
    interrupted = Answer(*loaded, answer.prompt, answer.settings)
    next(interrupted.stream())
    interrupted.interrupt()
    interrupted.require_whole()  # its reader knows


def test_full_context_stops_an_answer(loaded: Loaded) -> None:
    prompt = "a" * (CONTEXT - 2)
    answer = answered(loaded, Settings(GREEDY), prompt)
    assert answer.figures.stop_reason == "context full"
    assert len(prompt) + len(answer.new_tokens) == CONTEXT


def test_interrupted_answer_keeps_its_text_and_its_figures(loaded: Loaded) -> None:
    whole = until(loaded, "end token")
    model, tokenizer = loaded
    answer = Answer(model, tokenizer, whole.prompt, whole.settings)
    answer.read_prompt()
    stream = answer.stream()
    first = next(stream) + next(stream)
    answer.interrupt()
    rest = "".join(stream)
    assert answer.figures.stop_reason == "interrupted"
    assert answer.text == first + rest == whole.text[:3]
    assert answer.figures.new_tokens == 3


@pytest.mark.parametrize(
    ("token", "wanted"),
    [(END_TOKENS[0], "it is empty"), (9, "it is 16 times the token 9")],
)
def test_nothing_and_one_token_for_ever_are_no_answer(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, token: int, wanted: str
) -> None:
    assert answered(loaded, Settings(max_new_tokens=MANY)).fault() == ""
    run = Model.run

    def stuck(
        model: Model, unseen: TokenIds, cache: KVCache
    ) -> tuple[LogitsRows, KVCache]:
        rows, longer = run(model, unseen, cache)
        return rows + 1000.0 * (np.arange(rows.shape[1]) == token), longer

    monkeypatch.setattr(Model, "run", stuck)
    assert answered(loaded, Settings(max_new_tokens=MANY)).fault() == wanted
    few = answered(loaded, Settings(max_new_tokens=MANY - 1)).fault()
    assert few == ("it is empty" if token in END_TOKENS else "")
    may_be_empty = Settings(grammar=regular_expression("a*"), max_new_tokens=MANY)
    if token in END_TOKENS:
        assert answered(loaded, may_be_empty).fault() == ""


def test_figures_are_zero_at_first_and_count_the_cache_of_all_that_was_seen(
    loaded: Loaded,
) -> None:
    model, tokenizer = loaded
    answer = Answer(model, tokenizer, tokenizer.encode("abc"), Settings())
    answer.interrupt()
    assert answer.figures == Figures(0, 0, 0, 0.0, "interrupted", 0)
    assert "tokens/s" not in str(answer.figures)
    answer = answered(loaded, Settings(GREEDY, max_new_tokens=4), "abc")
    seen = 3 + answer.figures.new_tokens - 1
    assert answer.figures.cache_bytes == seen * loaded[0].graph.cache_bytes_per_token


def test_rates_divide_tokens_by_seconds_and_leave_the_first_token_out() -> None:
    figures = Figures(30, 0.25, 101, 2.0, "limit", 6_039_552)
    assert (figures.prefill_rate, figures.decode_rate) == (120, 50)
    assert str(figures) == (
        "prompt 30 tokens, 120.0 tokens/s; answer 101 tokens, 50.0 tokens/s; "
        "stopped by: limit; cache 6.0 MB"
    )
    assert "answer 1 token;" in str(Figures(30, 0.25, 1, 0.0, "end token", 0))
    guessed = replace(figures, speculation=GuessCount(40, 90, 60))
    assert "50.0 tokens/s, in 40 runs, 60 of 90 guesses kept; " in str(guessed)


@pytest.mark.parametrize("sampling", [GREEDY, LEVEL])
def test_answer_is_the_same_with_guesses_which_are_counted(
    loaded: Loaded, sampling: Sampling
) -> None:
    settings = Settings(sampling, seed=3, max_new_tokens=60)
    plain = answered(loaded, settings, "abcabcabc")
    guessed = answered(loaded, replace(settings, speculate=True), "abcabcabc")
    assert guessed.new_tokens.tolist() == plain.new_tokens.tolist()
    assert guessed.text == plain.text
    assert plain.figures.speculation is None
    count = guessed.figures.speculation
    assert count is not None
    # the newest token has not been run, and the first came with the prompt
    assert count.runs + count.kept == len(guessed.new_tokens) - 1


def test_decode_time_is_from_the_first_token_to_the_last(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(100, 1000, 10))
    monkeypatch.setattr("llm_walkthrough.answer.now", lambda: float(next(ticks)))
    answer = answered(loaded, Settings(GREEDY, max_new_tokens=5), "abc")
    expected = 10.0 * (len(answer.new_tokens) - 1)
    assert answer.figures.decode_seconds == expected


def test_what_cannot_be_used_is_refused(loaded: Loaded) -> None:
    prompt = np.zeros(CONTEXT, np.int64)
    with pytest.raises(InputError, match=f"{CONTEXT} tokens.*shorten the prompt"):
        Answer(*loaded, prompt, Settings())
    with pytest.raises(InputError, match="stop text must not be empty"):
        answered(loaded, Settings(stop_texts=("",)))
    with pytest.raises(InputError, match=r"maximum of new tokens must be .* got 0"):
        Settings(max_new_tokens=0)
    with pytest.raises(InputError, match="seed must be"):
        Settings(seed=-1)
    with pytest.raises(InputError, match="'b' would cut off"):
        Settings(stop_texts=("b",), grammar=regular_expression("a"))


def test_chat_prompt_holds_the_system_text_before_the_question(loaded: Loaded) -> None:
    text = chat_prompt(loaded[1], "Why?", "Be brief.")
    assert 0 < text.index("Be brief.") < text.index("Why?")
    assert "system" not in chat_prompt(loaded[1], "Why?")


def test_graph_file_is_opened_with_the_tokenizer_beside_it_if_they_fit(
    tmp_path: Path,
) -> None:
    folder = write_tiny_folder(tmp_path)
    _, tokenizer = answering.load(folder / "model.onnx")
    assert tokenizer.folder == folder
    write_folder(folder, byte_level())  # of a larger model
    with pytest.raises(InputError, match="of one model"):
        answering.load(folder)


def test_a_folder_as_transformers_js_lays_it_out_is_opened_by_rule_or_by_name(
    tmp_path: Path,
) -> None:
    write_tiny_folder(tmp_path)
    graphs = tmp_path / "onnx"
    graphs.mkdir()
    content = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").unlink()
    for name in ("model_fp16.onnx", "model_q4.onnx"):
        (graphs / name).write_bytes(content)
    for path, file, expected in (
        (tmp_path, None, "model_q4.onnx"),
        (tmp_path, "model_fp16.onnx", "model_fp16.onnx"),
        (graphs, None, "model_q4.onnx"),
        (graphs / "model_fp16.onnx", None, "model_fp16.onnx"),
    ):
        model, tokenizer = answering.load(path, file=file)
        assert model.graph.path == graphs / expected
        assert tokenizer.folder == tmp_path
        assert model.graph.context_length == CONTEXT
