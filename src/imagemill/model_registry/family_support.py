"""The support of model families by the nodes: those that they can run, and what they lack for others."""

from collections.abc import Mapping, Sequence

from imagemill.domain.images import ImageSpec, RenderSpec
from imagemill.graphs.families.availability import form_on, missing
from imagemill.graphs.families.rows import Form
from imagemill.graphs.node_models import NodeModels
from imagemill.model_registry.names import InstalledModel, InstalledModels

_MOST_NAMED = 40
"""Families named in one message."""


class FamilySupport:
    """Looks at the nodes once, when it is made; for the time of one request."""

    def __init__(self, installed: InstalledModels) -> None:
        self._installed = installed
        self._nodes: Mapping[str, NodeModels] = {each.node: each for each in installed.nodes()}
        self._known: dict[tuple[str, str, str, Form], tuple[str, ...]] = {}

    def lacking(self, model: InstalledModel) -> tuple[str, ...]:
        """Return what the node that lacks least is missing to render with a checkpoint; nothing if it can.

        Models of other kinds need nothing of their own.
        """
        if model.file.kind != "checkpoint":
            return ()
        if model.family.match is None:
            named = f"a graph for the family {model.family.name}" if model.family.name else "a known family"
            return (named,)
        return min((self._lacking_on(node, model) for node in model.nodes), key=len, default=())

    def _lacking_on(self, node: str, model: InstalledModel) -> tuple[str, ...]:
        match, models = model.family.match, self._nodes.get(node)
        if match is None or models is None or models.catalogue is None:
            return ("a node whose models have been read",)
        form = form_on(models.catalogue, model.file.name) or "checkpoint"
        key = (node, match.family.name, match.variant_name, form)
        if key not in self._known:
            self._known[key] = missing(match.variant, models.catalogue, form)
        return self._known[key]

    def runnable(self) -> Sequence[str]:
        """Return the families of which a node has a model and all that it needs, sorted."""
        return sorted(
            {
                model.family.name
                for model in self._installed.all()
                if model.file.kind == "checkpoint" and not self.lacking(model)
            }
        )


def family_refusal(installed: InstalledModels, work: RenderSpec) -> str | None:
    """Return why no graph can be built for a render's model, with the families that the nodes can run.

    None for a family of the table, whatever else may be missing.
    """
    if not isinstance(work, ImageSpec) or work.remote is not None:
        return None
    if installed.families.find(work.family, work.model_path) is not None:
        return None
    if work.family:
        why = f"models of the family {work.family} cannot be rendered, as no graph is known for them"
        remedy = "add ComfyUI's own template for the model as a workflow: imagemill workflows add"
    else:
        why = (
            f"the family of {work.model_path} is not known: neither its AIR nor the registry, the metadata "
            "of its file nor its name tells it"
        )
        remedy = f"state it: imagemill models import NODE {work.model_path!r} --family sdxl"
    runnable = FamilySupport(installed).runnable()
    families = ", ".join(runnable[:_MOST_NAMED]) or "no family, as they have no whole model"
    return f"{why}; {remedy}; the nodes can run {families}"
