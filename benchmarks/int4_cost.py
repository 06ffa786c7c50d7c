r"""What int4 costs: two int4 variants of the default model beside its exact weights.

One is ours, which keeps every number of the GGUF file; the other is made by
onnxruntime-genai's model builder, which rounds the same weights once more. The builder
needs torch, so the result is stored. To make it again, in an environment of its own,
where FILE is the GGUF file in the folder that `llm-walkthrough models where` prints:

    pip install torch==2.13.0 transformers==5.24.0 onnxruntime-genai==0.18.0
    pip install onnxruntime==1.32.0 gguf==0.19.0 onnx-ir==1.1.0
    python -c "import sys; from pathlib import Path; import transformers as t; \
        f = Path(sys.argv[1]); plain = t.GgufConfig(dequantize=True); \
        t.AutoModelForCausalLM.from_pretrained(f.parent, gguf_file=f.name, \
        dtype='float32', quantization_config=plain).save_pretrained('exact')" FILE
    cp …/smollm2-135m-instruct-float32/tokenizer*.json exact
    python -m onnxruntime_genai.models.builder -i exact -o rounded -p int4 -e cpu \
        -c cache --extra_options int4_accuracy_level=4 int4_block_size=32

and then here:

    python -m benchmarks.int4_cost rounded > docs/int4_cost.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.catalogue import find
from llm_walkthrough.classroom import Lesson, open_lesson
from llm_walkthrough.model import Model, open_model
from llm_walkthrough.sampling import TopK, softmax
from llm_walkthrough.stepper import EndTokens, Stepper

REQUESTS = (
    "Give me a short yoga routine for lower back pain.",
    "What is the capital city of Japan?",
    "Explain in two sentences why the sky is blue.",
    "Write a short story about a lighthouse keeper.",
    "List five vegetables.",
)
LIMIT = 100  # tokens of an answer


def compare(rounded: Path) -> dict[str, Any]:
    """Put both variants beside the exact weights, answer by answer."""
    exact = open_lesson("float32")
    folder = find("smollm2-135m-instruct-int4")
    variants = {"ours": open_model(folder), "model builder": open_model(rounded)}
    answers = [greedy(exact.model, exact.prompt(request)) for request in REQUESTS]
    return {
        "requests": REQUESTS,
        "tokens": [len(new) for _, new in answers],
        "variants": {
            name: {
                "megabytes": _megabytes(model),
                **_beside(exact, model, answers),
            }
            for name, model in variants.items()
        },
    }


def greedy(model: Model, prompt: TokenIds) -> tuple[TokenIds, TokenIds]:
    """Return the prompt and the likeliest tokens after it, up to the end."""
    stepper = Stepper(model, prompt, processors=[TopK(1)])
    rules = {"end token": EndTokens(model.graph.end_tokens)}
    list(stepper.run(LIMIT, rules))
    return prompt, stepper.new_tokens


def kl(exact: LogitsRows, other: LogitsRows) -> list[float]:
    """How far each row of `other` is from `exact`, in nats: the sum of p log(p / q)."""
    tiny = np.finfo(np.float64).tiny  # a probability of 0 adds nothing
    return [
        float((p * np.log(np.maximum(p, tiny) / np.maximum(q, tiny))).sum())
        for p, q in zip(map(softmax, exact), map(softmax, other), strict=True)
    ]


def _beside(
    exact: Lesson, model: Model, answers: list[tuple[TokenIds, TokenIds]]
) -> dict[str, Any]:
    divergences: list[float] = []
    agreements: list[bool] = []
    firsts = []
    for prompt, new in answers:
        text = np.concatenate([prompt, new])[:-1]
        right, other = (
            one.run(text, one.new_cache(len(text)))[0][len(prompt) - 1 :]
            for one in (exact.model, model)
        )
        divergences += kl(right, other)
        agreements += (right.argmax(axis=1) == other.argmax(axis=1)).tolist()
        firsts.append(_first_difference(exact, right, greedy(model, prompt)[1], new))
    return {
        "mean_kl": round(fmean(divergences), 4),
        "worst_kl": round(max(divergences), 2),
        "same_likeliest_token": round(fmean(agreements), 3),
        "first_difference": firsts,
    }


def _first_difference(
    exact: Lesson, right: LogitsRows, given: TokenIds, new: TokenIds
) -> dict[str, Any] | None:
    """Find the first token at which a greedy answer leaves the exact one.

    The margin is how far the exact weights put their own token before the other one.
    """
    pairs = zip(new.tolist(), given.tolist(), strict=False)
    for place, (wanted, got) in enumerate(pairs):
        if wanted != got:
            margin = float(right[place][wanted] - right[place][got])
            pieces = [exact.tokenizer.piece(token) for token in (wanted, got)]
            return {
                "token": place + 1,
                "exact": pieces[0],
                "other": pieces[1],
                "margin": round(margin, 2),
            }
    return None


def _megabytes(model: Model) -> float:
    folder = model.graph.path.parent
    return round(sum(f.stat().st_size for f in folder.glob("*.onnx*")) / 1e6, 1)


if __name__ == "__main__":
    result = compare(Path(sys.argv[1]))
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
