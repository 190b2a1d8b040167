"""Captions of the sprite world: one English sentence per clip, over a small closed vocabulary."""

import itertools

import numpy as np

from vcjax.data.sprites.colours import COLOURS, PALETTES
from vcjax.data.sprites.scene import (
    BACKGROUNDS,
    CAMERAS,
    DIRECTIONS,
    GROWTHS,
    PATHS,
    SHAPES,
    SIZES,
    TEXTURES,
    TURNS,
    Facts,
)

MAX_WORDS = 20

# Phrase for each name in the tables of facts; names that are missing here are never mentioned.
_VERBS = ("moving", "moves", "going", "goes")
_TEXTURED = {"plain": "plain", "stripes": "striped", "dots": "dotted", "checks": "checked"}
_CURVED = {"curved": "in a curve"}
_CHANGING = {
    ("turning", "steady"): "while turning",
    ("turning", "growing"): "while turning and growing",
    ("turning", "shrinking"): "while turning and shrinking",
    ("steady", "growing"): "while growing",
    ("steady", "shrinking"): "while shrinking",
}
_BACKGROUND = {"gradient": "smooth", "checks": "checked", "stripes": "striped", "noise": "cloudy"}
_CAMERA = {
    "pan left": "as the camera pans left",
    "pan right": "as the camera pans right",
    "pan up": "as the camera pans up",
    "pan down": "as the camera pans down",
    "zoom in": "as the camera zooms in",
    "zoom out": "as the camera zooms out",
}
_RELATIONS = ("behind", "in front of")

_PHRASES = (
    *("a", "an", "over", "background", *_VERBS, *_RELATIONS),
    *(*SHAPES, *COLOURS, *SIZES, *DIRECTIONS, *PALETTES),
    *(*_TEXTURED.values(), *_CURVED.values(), *_CHANGING.values(), *_BACKGROUND.values(), *_CAMERA.values()),
)
VOCABULARY: tuple[str, ...] = tuple(sorted({word for phrase in _PHRASES for word in phrase.split()}))


def caption(facts: Facts) -> str:
    """Return a sentence of at most `MAX_WORDS` words of `VOCABULARY` that describes a clip; deterministic.

    The main object's colour, shape and direction are always mentioned; `facts.wording` decides which details
    are added.

    ```python
    caption(facts)    # "a large striped red star moving down right while turning over a gray checked background"
    ```

    Args:
        facts: facts of one clip.
    """
    bits = ((int(facts.wording) >> position) & 1 for position in itertools.count())

    adjectives = [SIZES[facts.size[0]]] * next(bits) + [_TEXTURED[TEXTURES[facts.texture[0]]]] * next(bits)
    noun = _with_article(*adjectives, COLOURS[facts.colour[0]], SHAPES[facts.shape[0]])
    verb = _VERBS[2 * next(bits) + next(bits)]
    sentence = f"{noun} {verb} {DIRECTIONS[facts.direction[0]]}"
    for detail in _details(facts):
        longer = f"{sentence} {detail}"
        if next(bits) and len(longer.split()) <= MAX_WORDS:
            sentence = longer
    return sentence


def captions(facts: Facts) -> list[str]:
    """Return the `caption` of each clip of a batch, from facts with a leading batch axis."""
    fields = [np.asarray(field) for field in facts]
    return [caption(Facts(*(field[clip] for field in fields))) for clip in range(len(facts.count))]


def _details(facts: Facts) -> list[str]:
    """Return the details that can be added to the sentence, in their order in it."""
    path, turn, growth = PATHS[facts.path[0]], TURNS[facts.turn[0]], GROWTHS[facts.growth[0]]
    background, camera = BACKGROUNDS[facts.background], CAMERAS[facts.camera]
    details = [_CURVED.get(path), _CHANGING.get((turn, growth))]
    if facts.count > 1:
        other = _with_article(COLOURS[facts.colour[1]], SHAPES[facts.shape[1]])
        details.append(f"{_RELATIONS[int(facts.layer[0] > facts.layer[1])]} {other}")
    details.append(f"over {_with_article(PALETTES[facts.palette], _BACKGROUND[background], 'background')}")
    details.append(_CAMERA.get(camera))
    return [detail for detail in details if detail]


def _with_article(*words: str) -> str:
    return " ".join(["an" if words[0][0] in "aeiou" else "a", *words])
