"""The panels: what each holds, what can be done on it, and how it is drawn.

Nothing in this folder knows a widget library. A click on the step panel goes this way:

1. `panel.js` sends the action and its value; `board.Board` hears them by way of
   `widgets`, or of `server` where the panel stands in the browser alone,
2. `acting` finds the action in its table and does it whole or not at all,
3. the action is a function in `step/walk`, or in `candidates` if a knob was turned: it
   makes the next moment from the one before, and moves the stepper by way of
   `step/branches`; the stepper runs the model behind `watched`, which notes the run,
4. `Board` then asks `step/walk` for a snapshot, for which `candidates` follows the draw
   of the next token through all processors,
5. `step/page` fills the snapshot into `step.html`, and so do `page_candidates` and
   `page_engine` with the HTML beside them, all with the small things of `frame.html`;
   `panel.js` patches the page on the screen.

Which file to open: a number about each candidate is a field of `candidates.Candidate`,
one about all of them a field of `Distribution`, and both are shown in `candidates.html`
(in the sampling panel, too); one about a run or the cache, `watched`, and `feed.html`
or `cache.html`; a button and its action, `step/step.html` and `step/walk`; words and
how numbers are written, `wording`; colours and sizes, `panel.css`. A setting of
sampling needs no file here: its slider and its stage follow `sampling.KNOBS`. A small
panel is one file in `small/` and its HTML; a tab beside the candidates is one row at
the end of `step/page`. State files know nothing of HTML; `step/` and `small/` know
nothing of each other.
"""

import llm_walkthrough.panel.wording  # noqa: F401 - words that every template may use
