"""Where one parent is known: children of the father and a drawn mother; and the mother, guessed from a grown child.

Measured as children of couples are. The mother that was drawn is known to the child alone, the true one to nobody: so the
child is compared with its father, the guessed mother with the true one, each beside what a stranger's face gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..blending.drawn_parent import draw_parent
from ..blending.offspring import Conception
from ..blending.partner import partner
from ..editing.steering import Steering
from ..interfaces import Generator, Inversion, Latents
from .children import Made, Seen

METHODS = ("one_parent", "drawn_parent", "partner", "random_partner")
PARTNER_AGE = 35  # years, as the command `partner` has it


@dataclass(frozen=True)
class OneParent:
    """What is made of a father alone. asked: age and gender -> steering; see: latents, caption -> what networks see."""

    father: Inversion
    conception: Conception
    generator: Generator
    seed: int
    asked: Callable[[int, str], Steering]
    see: Callable[[Latents, str], Seen]

    def with_drawn(self, age: int, gender: str) -> dict[str, list[Made]]:
        """Method -> its faces: a child of the father and a drawn mother, and her."""
        people = self.conception.inheritance.people
        mother = draw_parent("mother", self.father, self.generator, self.seed, people).inversion
        recipes = {0: replace(next(iter(self.conception.recipes.values())), seed=self.seed, index=0)}
        conceive = replace(self.conception, steering=self.asked(age, gender), recipes=recipes)
        (child,) = conceive(self.father, mother, self.generator, lambda numbers: numbers).values()
        return {
            "one_parent": [Made(self.see(child.latents, "with a drawn mother"), age, gender)],
            "drawn_parent": [Made(self.see(mother.latents, ""))],
        }

    def guessed(self, child: Latents, stranger: Latents, male: bool) -> dict[str, list[Made]]:
        """Method -> its faces: the mother, guessed from a child and the father; and a stranger. `male`: as she reads."""
        gender, recipe = "male" if male else "female", next(iter(self.conception.recipes.values()))
        ws = partner(child.ws, self.father.ws, self.generator, self.seed, 0, recipe.diversity)
        made = {}
        for method, one in (("partner", Latents(ws)), ("random_partner", stranger)):
            steering = self.asked(PARTNER_AGE, gender)
            (found,) = steering(one, gender, self.conception.directions, self.generator)
            caption = "mother, guessed" if method == "partner" else ""
            made[method] = [Made(self.see(found.latents, caption), None, gender)]
        return made
