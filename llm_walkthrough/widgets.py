"""How does moving a slider become a new picture?

The only module that knows ipywidgets. A panel turns a user's event into new values, and
draws them once with the functions of `plots`; it never runs the model. Beside the live
widget each panel stores its picture, so that a page without a kernel shows it too.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import ipywidgets

from llm_walkthrough.plots import Plot, candidate_bars, cumulative_bar
from llm_walkthrough.sampling import (
    Sampling,
    likeliest_first,
    pick,
    process,
    softmax,
    uniform,
)

if TYPE_CHECKING:
    from llm_walkthrough.arrays import Logits, TokenIds
    from llm_walkthrough.views import Vocabulary

_CANDIDATES = 10  # bars of the tokens that were likeliest before processing
_ON_THE_BAR = 60  # tokens laid end to end; what follows is too thin to be seen
_WIDTH = "330px"
_LABELS = {"description_width": "130px"}


class SamplingPanel(ipywidgets.HBox):  # type: ignore[misc]  # has no types
    """Sliders that reshape one distribution, and the token that a seed draws from it.

    Args:
        tokenizer: shows the tokens.
        logits: the model's own [vocab] float32; they stay as they are.
        context: all tokens so far [sequence] int64, for the repetition penalty; the
            token that is drawn stands behind them.
    """

    def __init__(
        self, tokenizer: Vocabulary, logits: Logits, context: TokenIds
    ) -> None:
        self._tokenizer, self._logits, self._context = tokenizer, logits, context
        self._sliders = _sampling_sliders(Sampling())
        self._seed = _whole("seed", 0, 100, 0)
        self._picture = ipywidgets.HTML(layout={"flex": "1 1 0", "min_width": "0"})
        controls = [*self._sliders.values(), self._seed]
        # the picture gives way, not the sliders: their values stand at the right
        sliders = ipywidgets.VBox(controls, layout={"flex": "none"})
        super().__init__([sliders, self._picture])
        for control in controls:
            control.observe(self._redraw, names="value")
        self._redraw()

    @property
    def sampling(self) -> Sampling:
        """The settings at which the sliders stand.

        Raises:
            InputError: one of them is out of its range.
        """
        return Sampling(**{name: s.value for name, s in self._sliders.items()})

    @property
    def seed(self) -> int:
        """The seed at which its slider stands."""
        return int(self._seed.value)

    @property
    def chosen(self) -> int:
        """The id of the token that is drawn.

        Raises:
            InputError: no distribution comes of these settings and logits.
        """
        processors = self.sampling.processors()
        probabilities = softmax(process(self._logits, self._context, processors))
        return pick(probabilities, uniform(self.seed, len(self._context)))

    def plots(self) -> tuple[Plot, Plot]:
        """Return the candidates before and after, and the bar on which `u` falls.

        Raises:
            InputError: no distribution comes of these settings and logits.
        """
        before = softmax(self._logits)
        processors = self.sampling.processors()
        after = softmax(process(self._logits, self._context, processors))
        u = uniform(self.seed, len(self._context))
        first, lined_up = (likeliest_first(p) for p in (before, after))
        first, lined_up = first[:_CANDIDATES], lined_up[:_ON_THE_BAR]
        chosen = self._piece(pick(after, u))
        bars = candidate_bars(
            [self._piece(token) for token in first],
            before[first].tolist(),
            after[first].tolist(),
            chosen=chosen,
            title=f"Chosen with seed {self.seed}: {chosen}",
        )
        pieces = [self._piece(token) for token in lined_up]
        return bars, cumulative_bar(pieces, after[lined_up].tolist(), u)

    def _piece(self, token: int) -> str:
        return self._tokenizer.piece(int(token))

    def _redraw(self, _change: object = None) -> None:
        self._picture.value, self._words = self._rendered()

    def _rendered(self) -> tuple[str, str]:
        """Return the picture as HTML and in words, or the sentence on what is wrong."""
        try:
            plots = self.plots()
        except Exception as error:  # noqa: BLE001 - nobody sees what a handler raises
            sentence = f"✗ {type(error).__name__}: {error}"
            return f"<p><b>{html.escape(sentence)}</b></p>", sentence
        pictures = "".join(plot._repr_html_() for plot in plots)
        return pictures, "\n".join(plot.text for plot in plots)

    def _repr_mimebundle_(self, **settings: object) -> dict[str, Any]:
        """Add to the live widget what a page without a kernel shows instead."""
        live: dict[str, Any] = super()._repr_mimebundle_(**settings)
        return {**live, "text/html": self._twin(), "text/plain": self._words}

    def _twin(self) -> str:
        """Return the picture with the settings it was drawn with, as plain HTML."""
        settings = ", ".join(
            f"{control.description} {control.value:g}"
            for control in (*self._sliders.values(), self._seed)
        )
        return f"<div>{html.escape(settings)}</div>{self._picture.value}"


def _sampling_sliders(usual: Sampling) -> dict[str, ipywidgets.Widget]:
    """Return one slider for each field of `Sampling`, by its name."""
    penalty = usual.repetition_penalty
    return {
        "temperature": _real("temperature", (0, 2), usual.temperature, 0.05),
        "top_k": _whole("top-k (0: off)", 0, 100, usual.top_k),
        "top_p": _real("top-p (1: off)", (0.05, 1), usual.top_p, 0.05),
        "min_p": _real("min-p (0: off)", (0, 1), usual.min_p, 0.01),
        "repetition_penalty": _real("penalty (1: off)", (1, 2), penalty, 0.05),
    }


def _real(
    name: str, bounds: tuple[float, float], value: float, step: float
) -> ipywidgets.FloatSlider:
    low, high = bounds
    return ipywidgets.FloatSlider(
        value,
        min=low,
        max=high,
        step=step,
        description=name,
        layout={"width": _WIDTH},
        style=_LABELS,
    )


def _whole(name: str, low: int, high: int, value: int) -> ipywidgets.IntSlider:
    return ipywidgets.IntSlider(
        value,
        min=low,
        max=high,
        description=name,
        layout={"width": _WIDTH},
        style=_LABELS,
    )
