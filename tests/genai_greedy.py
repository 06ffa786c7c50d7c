"""Greedy tokens of onnxruntime-genai, in a process of its own.

Usage: python genai_greedy.py FOLDER, with the tests' request on standard input:
{"prompts": [[ids, …], …], "new_tokens": 20}, and perhaps "json_schema", the text of one
that all answers must follow. Answers with a list of lists of new ids.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it is read when the library is loaded

import onnxruntime_genai


def greedy(
    model: onnxruntime_genai.Model,
    prompt: list[int],
    new_tokens: int,
    json_schema: str | None = None,
) -> list[int]:
    """What follows `prompt`, without the prompt; ends early at an end token."""
    parameters = onnxruntime_genai.GeneratorParams(model)
    parameters.set_search_options(do_sample=False, max_length=len(prompt) + new_tokens)
    if json_schema is not None:
        parameters.set_guidance("json_schema", json_schema)
    generator = onnxruntime_genai.Generator(model, parameters)
    generator.append_tokens(prompt)
    while not generator.is_done():
        generator.generate_next_token()
    return [int(token) for token in generator.get_sequence(0)[len(prompt) :]]


if __name__ == "__main__":
    request = json.load(sys.stdin)
    loaded = onnxruntime_genai.Model(sys.argv[1])
    schema = request.get("json_schema")
    answers = [
        greedy(loaded, prompt, request["new_tokens"], schema)
        for prompt in request["prompts"]
    ]
    json.dump(answers, sys.stdout)
