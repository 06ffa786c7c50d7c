"""Everyday questions, and what can be said of an answer without understanding it.

A fact is looked for with a regular expression, a language is told by its commonest
words. Knows nothing of models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FACT_WITHIN = 30
"""Words of an answer in which a fact has to be: a reader looks no further."""

REPEATED = 4
"""Words in a row that, said twice, count as a repetition."""

COMMON = {
    "English": "the is are and of to in you it that for with can this as be",
    "French": "le la les est et des une un du en pour vous dans que sur il",
    "German": "der die das ist und ein eine zu den von mit auf sie es nicht im",
    "Spanish": "el la los las es y de una un en para que se con por su",
    "Italian": "il la le gli è e di una un per che con si del non della",
}
"""The commonest words of each language; several have some in common."""


@dataclass(frozen=True)
class Question:
    """What is asked, in which language, and what is looked for in the answer."""

    text: str
    fact: str | None = None  # a regular expression; None: an open question
    language: str = "English"


CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Spain": "Madrid",
    "Egypt": "Cairo",
    "Germany": "Berlin",
}
FACTS = {
    **{f"What is the capital of {land}?": city for land, city in CAPITALS.items()},
    "What is 2 + 2?": "4|four",
    "What is 3 + 5?": "8|eight",
    "What is 10 - 4?": "6|six",
    "What is 5 times 5?": "25|twenty-five",
    "What is half of 12?": "6|six",
    "Which planet is closest to the Sun?": "Mercury",
    "Which planet is called the Red Planet?": "Mars",
    "Which planet is the largest in the solar system?": "Jupiter",
    "Which planet is famous for its rings?": "Saturn",
    "What is the opposite of hot?": "cold",
    "What is the opposite of big?": "small|little|tiny",
    "What is the opposite of day?": "night",
    "What is the opposite of up?": "down",
    "What colour is the sky on a clear day?": "blue",
    "What colour do you get when you mix blue and yellow?": "green",
    "What colour is a ripe banana?": "yellow",
    "What colour is grass?": "green",
    "How many days are there in a week?": "7|seven",
    "How many months are there in a year?": "12|twelve",
    "How many minutes are there in an hour?": "60|sixty",
    "How many legs does a spider have?": "8|eight",
    "What is frozen water called?": "ice",
    "Which animal says moo?": "cows?",
    "Who wrote Romeo and Juliet?": "Shakespeare",
}
OPEN = (
    "Give me a short yoga routine for lower back pain.",
    "How do I make scrambled eggs?",
    "Why is the sky blue?",
    "Write a short poem about the sea.",
    "Explain to a child what a computer is.",
    "Give me three tips for sleeping better.",
    "Tell me a short story about a cat.",
    "What should I pack for a day at the beach?",
    "How can I learn a new language?",
    "Write a thank-you note to a teacher.",
)
QUESTIONS = (
    *(Question(text, fact) for text, fact in FACTS.items()),
    *map(Question, OPEN),
    Question("Quelle est la capitale de la France ?", "Paris", "French"),
    Question("Comment faire une omelette ?", None, "French"),
    Question("Was ist die Hauptstadt von Deutschland?", "Berlin", "German"),
    Question("Wie kann ich besser schlafen?", None, "German"),
    Question("¿Cuál es la capital de España?", "Madrid", "Spanish"),
    Question("¿Cómo se hace una tortilla?", None, "Spanish"),
    Question("Qual è la capitale dell'Italia?", "Roma", "Italian"),
    Question("Come posso imparare l'inglese?", None, "Italian"),
)


def words(text: str) -> list[str]:
    """Return the words of a text in lower case.

    >>> words("Twenty-five: that's it.")
    ['twenty-five', "that's", 'it']
    """
    return re.findall(r"\w+(?:[-'’]\w+)*", text.lower())


def has_fact(question: Question, answer: str) -> bool | None:
    """Tell whether the fact is in the first words; None if none was asked for.

    >>> has_fact(Question("What is 2 + 2?", "4|four"), "That makes four.")
    True
    """
    if question.fact is None:
        return None
    beginning = " ".join(words(answer)[:FACT_WITHIN])
    return re.search(rf"\b(?:{question.fact})\b", beginning, re.IGNORECASE) is not None


def has_repetition(answer: str) -> bool:
    """Tell whether some words in a row, `REPEATED` of them, are there twice.

    >>> has_repetition("We go to the sea, and then we go to the woods.")
    True
    """
    said = words(answer)
    rows = [tuple(said[i : i + REPEATED]) for i in range(len(said) - REPEATED + 1)]
    return len({*rows}) < len(rows)


def is_in_language(question: Question, answer: str) -> bool:
    """Tell whether no other language has more of its commonest words in the answer.

    >>> is_in_language(Question("¿Qué es?", None, "Spanish"), "It is the sea.")
    False
    """
    said = words(answer)
    counts = {
        language: sum(word in common.split() for word in said)
        for language, common in COMMON.items()
    }
    return counts[question.language] == max(counts.values())
