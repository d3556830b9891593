"""Build the graph of a request from the row of its model's family, slot by slot.

A slot is a value of the request or a link to another node; rows name slots as ``$width`` or ``$model``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from imagemill.domain.dataclass import dataclass
from imagemill.domain.images import Control, ImageSpec
from imagemill.graphs import builder_parts
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import Unsupported
from imagemill.graphs.families.availability import UNET, VAE
from imagemill.graphs.families.rows import EncodeRow, NodeRow, ReferenceRow, Variant
from imagemill.graphs.families.table import FamilyMatch
from imagemill.graphs.graph import Graph, Link, add, insert_lora
from imagemill.graphs.model_files import (
    CONTROL_LOADERS,
    companion_file,
    encoder_files,
    find_controlnet,
    model_file,
    names_encoders,
    own_vae,
    resolve_file,
)

MODEL, ENCODER, VAE_LOADER, POSITIVE, NEGATIVE, LATENT = "1", "2", "3", "4", "5", "6"
SAMPLER, DECODE, SAVE = "7", "8", "9"
_SOURCE, _MASK, _SIZE, _METHOD = 10, 13, "17", 26
_NOISE, _SAMPLER_CHOICE, _SIGMAS, _GUIDER, _SECOND_MODEL, _SPLIT = "20", "21", "22", "23", "24", "25"
_GUIDANCE = {"positive": "18", "negative": "19"}
_CLIP_SKIP = "31"
_CONDITIONING, _HYPERNETWORKS, _CONTROLS, _PATCHES, _REFERENCES, _LATENT_PATCHES = 70, 200, 300, 400, 500, 80
"""First ids of nodes of which there may be several; LoRAs start at 100."""

LORA_TYPES = ("lora", "lycoris", "dora")


@dataclass(slots=True)
class FamilyGraph:
    """A graph while it is built. The steps of `draw` are in the order of the nodes."""

    spec: ImageSpec
    found: FamilyMatch
    catalogue: Catalogue | None
    images: Mapping[str, str]
    positive_text: str
    negative_text: str
    graph: Graph = field(default_factory=dict[str, Any])
    slots: dict[str, Any] = field(default_factory=dict[str, Any])
    scaled: list[Link] = field(default_factory=list[Link])
    """The reference pictures, as the model sees them."""
    encoded: list[Link] = field(default_factory=list[Link])
    """Their latents, as far as they are needed."""
    sampled: Link | None = None
    """The model that the sampler takes, where it differs from that of the sigmas."""

    @property
    def variant(self) -> Variant:
        return self.found.variant

    @property
    def follows_reference(self) -> bool:
        """Whether the size is that of the first reference picture."""
        return self.spec.size_of_reference and bool(self.spec.references)

    @property
    def has_negative(self) -> bool:
        return self.variant.negative != "none"

    def draw(self) -> Link:
        """Add all nodes from the loaders to the decoded picture; return the link to it."""
        self._fill_request()
        self._load()
        self._add_loras()
        self._add_hypernetworks()
        self._skip_clip_layers()
        self._load_references()
        self._patch()
        self._encode_prompts()
        self._add_references()
        self._guide()
        self._condition()
        self._add_latent()
        self._add_controls()
        self._sample()
        return self._decode()

    # Slots.

    def _fill_request(self) -> None:
        spec, variant = self.spec, self.variant
        guidance, cfg = None, spec.cfg_scale
        if variant.guidance is not None:
            asked = (spec.cfg_scale or None) if variant.guidance.replaces_cfg else None
            chosen = spec.guidance if spec.guidance is not None else asked
            guidance = variant.guidance.value if chosen is None else chosen
            cfg = variant.cfg if variant.guidance.replaces_cfg else cfg
        self.slots |= {
            "width": round_up(spec.width, variant.size.multiple),
            "height": round_up(spec.height, variant.size.multiple),
            "count": spec.count,
            "steps": spec.steps,
            "cfg": cfg,
            "guidance": guidance,
            "sampler": spec.sampler,
            "scheduler": variant.scheduler if self._means_default(spec.scheduler) else spec.scheduler,
            "seed": spec.seed,
            "denoise": spec.denoise,
            "length": spec.video.frames if spec.video is not None else None,
            "fps": spec.video.fps if spec.video is not None else None,
        }

    def _means_default(self, scheduler: str) -> bool:
        # Clients' tables use ``normal`` for "none chosen". It spaces the steps over the timesteps of a
        # discrete model; Flux is a flow model, made to be sampled with ``simple``.
        return scheduler == "normal" and self.variant.normal_means_default

    def inputs(self, row: NodeRow, **more: Any) -> dict[str, Any]:
        """The inputs of a row with its slots filled in; those that the request leaves empty are left out."""
        filled: dict[str, Any] = {}
        for name, value in row.inputs.items():
            is_slot = isinstance(value, str) and value.startswith("$")
            found = self.slots.get(str(value)[1:]) if is_slot else value
            if found is not None:
                filled[name] = found
        return filled | more

    def add(self, id_: str, row: NodeRow, title: str, **more: Any) -> Link:
        return (add(self.graph, id_, row.node, title, **self.inputs(row, **more)), 0)

    # The model and what belongs to it.

    def _load(self) -> None:
        variant = self.variant
        form, file = model_file(self.spec, variant, self.catalogue)
        if form == "checkpoint":
            add(self.graph, MODEL, "CheckpointLoaderSimple", "Checkpoint", ckpt_name=file)
            self.slots |= {"model": (MODEL, 0), "clip": (MODEL, 1), "vae": (MODEL, 2)}
        else:
            inputs = {"unet_name": file, "weight_dtype": "default"}
            add(self.graph, MODEL, "UNETLoader", "Diffusion model", **inputs)
            self.slots["model"] = (MODEL, 0)
        if variant.encoder(form) is not None or names_encoders(self.spec):
            self._load_encoder()
        named_vae = own_vae(self.spec, self.catalogue)
        if variant.vae is not None and form == "separate" and named_vae is None:
            named_vae = companion_file(self.catalogue, VAE, "vae", variant.vae, self.found.title)
        if named_vae is not None:
            add(self.graph, VAE_LOADER, "VAELoader", "VAE", vae_name=named_vae)
            self.slots["vae"] = (VAE_LOADER, 0)
        if variant.second_model is not None:
            second = companion_file(
                self.catalogue, UNET, "checkpoint", variant.second_model, self.found.title
            )
            inputs = {"unet_name": second, "weight_dtype": "default"}
            add(self.graph, _SECOND_MODEL, "UNETLoader", "Model of the negative side", **inputs)
            self.slots["second_model"] = (_SECOND_MODEL, 0)

    def _load_encoder(self) -> None:
        encoder = self.variant.text_encoder
        if encoder is None:
            return
        files = encoder_files(self.spec, self.variant, self.catalogue, self.found.title)
        inputs: dict[str, Any] = dict(zip(encoder.inputs, files, strict=True))
        if encoder.type:
            inputs["type"] = encoder.type
        add(
            self.graph,
            ENCODER,
            encoder.loader,
            "Text encoders" if len(files) > 1 else "Text encoder",
            **inputs,
        )
        self.slots["clip"] = (ENCODER, 0)

    def _add_loras(self) -> None:
        is_model_only = self.variant.lora == "LoraLoaderModelOnly"
        for network in self.spec.networks:
            if network.type in LORA_TYPES:
                place = (self.variant.lora, "lora_name")
                file = resolve_file(self.catalogue, place, "lora", network.path or network.air)
                clip = None if is_model_only else self.slots["clip"]
                strength = network.strength
                model, clip = insert_lora(self.graph, self.slots["model"], clip, file, strength, strength)
                self.slots["model"] = model
                self.slots["clip"] = clip or self.slots["clip"]

    def _add_hypernetworks(self) -> None:
        place = ("HypernetworkLoader", "hypernetwork_name")
        for number, network in enumerate(n for n in self.spec.networks if n.type == "hypernet"):
            file = resolve_file(self.catalogue, place, "hypernet", network.path or network.air)
            inputs = {"hypernetwork_name": file, "strength": network.strength}
            row = NodeRow(node="HypernetworkLoader", inputs=inputs)
            title = f"Hypernetwork {number + 1}"
            self.slots["model"] = self.add(
                str(_HYPERNETWORKS + number), row, title, model=self.slots["model"]
            )

    def _skip_clip_layers(self) -> None:
        if self.spec.clip_skip > 1 and self.variant.clip_skip:
            inputs = {"clip": self.slots["clip"], "stop_at_clip_layer": -self.spec.clip_skip}
            add(self.graph, _CLIP_SKIP, "CLIPSetLastLayer", "Clip skip", **inputs)
            self.slots["clip"] = (_CLIP_SKIP, 0)

    def _patch(self) -> None:
        """Add the nodes between the loader and the sampler, and those of the text encoder."""
        references = self.variant.references
        further = references.patches if references is not None and self.spec.references else ()
        sampled = sigmas = self.slots["model"]
        for number, row in enumerate((*self.variant.patches, *further)):
            id_, title = str(_PATCHES + number), row.node
            if row.only == "sampler":
                sampled = self.add(id_, row, title, model=sampled)
            elif row.only == "sigmas":
                sigmas = self.add(id_, row, title, model=sigmas)
            else:
                self.slots["model"] = sampled = sigmas = self.add(id_, row, title, model=sigmas)
        self.slots["model"], self.sampled = sigmas, sampled
        encoder = self.variant.text_encoder
        for number, row in enumerate(encoder.patches if encoder is not None else ()):
            id_ = str(_PATCHES + 50 + number)
            self.slots["clip"] = self.add(id_, row, row.node, clip=self.slots["clip"])

    # Prompts.

    def _encode_prompts(self) -> None:
        variant = self.variant
        row = (variant.encode_references if self.spec.references else None) or variant.encode
        pictures = dict(zip(row.images, self.scaled, strict=False))
        positive = self._encode(POSITIVE, row, "Positive prompt", self.positive_text, pictures)
        self.slots["positive"] = positive
        if row.negative:
            self.slots["negative"] = (POSITIVE, 1)
        elif variant.negative == "zero" or (variant.negative == "zero_at_cfg_1" and self.slots["cfg"] == 1):
            zero = {"conditioning": positive}
            add(self.graph, NEGATIVE, "ConditioningZeroOut", "No negative prompt", **zero)
            self.slots["negative"] = (NEGATIVE, 0)
        elif self.has_negative:
            self.slots["negative"] = self._encode(
                NEGATIVE, row, "Negative prompt", self.negative_text, pictures
            )
        self.slots["plain_negative"] = self.slots.get("negative")
        if row.gives_latent:
            self.slots["latent"] = (POSITIVE, 2)

    def _encode(self, id_: str, row: EncodeRow, title: str, text: str, pictures: Mapping[str, Link]) -> Link:
        inputs = {row.text: text, "clip": self.slots["clip"], **pictures}
        if row.negative:
            inputs[row.negative] = self.negative_text
        return self.add(id_, NodeRow(node=row.node, inputs=row.inputs), title, **inputs)

    def _sides(self) -> Iterable[str]:
        return ("positive", "negative") if self.has_negative else ("positive",)

    def _guide(self) -> None:
        guidance, references = self.variant.guidance, self.variant.references
        for side in self._sides():
            if guidance is not None and side in guidance.on:
                inputs = {"conditioning": self.slots[side], "guidance": self.slots["guidance"]}
                self.slots[side] = (add(self.graph, _GUIDANCE[side], "FluxGuidance", "Guidance", **inputs), 0)
        method = references.method if references is not None and self.spec.references else ""
        for number, side in enumerate(self._sides() if method else ()):
            inputs = {"conditioning": self.slots[side], "reference_latents_method": method}
            name = "FluxKontextMultiReferenceLatentMethod"
            id_ = add(self.graph, str(_METHOD + number), name, "Method of references", **inputs)
            self.slots[side] = (id_, 0)

    def _condition(self) -> None:
        """Add the nodes that take and give both conditionings."""
        if self.spec.image is not None:
            self._load_source()
        start = self.variant.latent_of_image if self.spec.image is not None else None
        rows = [*([start] if start is not None else ()), *self.variant.conditioning]
        for number, row in enumerate(rows):
            id_ = str(_CONDITIONING + number)
            self._both(id_, row, row.node)
            if row is start:
                self.slots["latent"] = self._batch((id_, 2))

    def _both(self, id_: str, row: NodeRow, title: str, **more: Any) -> None:
        """Add a node that takes and gives both conditionings."""
        positive = self.slots["positive"]
        both = {"positive": positive, "negative": self.slots.get("negative") or positive}
        self.add(id_, row, title, **more, **both)
        self.slots["positive"] = (id_, 0)
        if self.has_negative:
            self.slots["negative"] = (id_, 1)

    # Reference pictures.

    def _load_references(self) -> None:
        row = self.variant.references
        if row is None or not self.spec.references:
            return
        sized: Link | None = None
        for number, name in enumerate(self.spec.references):
            first = _REFERENCES + 10 * number
            title = f"Reference {number + 1}"
            add(self.graph, str(first), "LoadImage", title, image=self.images[name])
            picture: Link = (str(first), 0)
            for_size = self.follows_reference and row.latent == "empty"
            is_scaled = row.scales == "all" or (number == 0 and (row.scales == "first" or for_size))
            if row.scale is not None and is_scaled:
                self.slots["reference"] = picture
                scaled = self.add(str(first + 1), row.scale, f"Scale reference {number + 1}")
                sized = sized or scaled
                picture = picture if row.scales == "size" else scaled
            self.scaled.append(picture)
        if self.follows_reference and row.latent == "empty":
            size = {"image": sized or self.scaled[0]}
            add(self.graph, _SIZE, "GetImageSize", "Size of the reference", **size)
            self.slots |= {"width": (_SIZE, 0), "height": (_SIZE, 1)}
        is_latent = self.follows_reference and row.latent == "first" and self.spec.image is None
        encoded = len(self.scaled) if row.by == "latents" else int(is_latent)
        for number, picture in enumerate(self.scaled[:encoded]):
            id_ = str(_REFERENCES + 10 * number + 2)
            inputs = {"pixels": picture, "vae": self.slots["vae"]}
            add(self.graph, id_, "VAEEncode", f"Encode reference {number + 1}", **inputs)
            self.encoded.append((id_, 0))

    def _add_references(self) -> None:
        row = self.variant.references
        if row is None or not self.scaled:
            return
        if row.by == "node" and row.node is not None:
            pictures = {f"images.image_{number + 1}": link for number, link in enumerate(self.scaled)}
            self._both(str(_REFERENCES + 9), row.node, "Reference pictures", **pictures)
        elif row.by == "latents":
            self._chain_reference_latents(row)

    def _chain_reference_latents(self, row: ReferenceRow) -> None:
        for number, latent in enumerate(self.encoded):
            for offset, side in enumerate(self._sides()):
                if side in row.on:
                    id_ = str(_REFERENCES + 10 * number + 3 + offset)
                    inputs = {"conditioning": self.slots[side], "latent": latent}
                    title = f"Reference {number + 1}: {side}"
                    self.slots[side] = (add(self.graph, id_, "ReferenceLatent", title, **inputs), 0)

    # The source picture and the latent.

    def _load_source(self) -> None:
        spec = self.spec
        if spec.image is not None:
            self.slots["image"] = self._fitted(_SOURCE, "Source image", "Fit source", "lanczos", spec.image)
        if spec.mask is not None:
            fitted = self._fitted(_MASK, "Mask", "Fit mask", "bilinear", spec.mask)
            inputs = {"image": fitted, "channel": "red"}
            id_ = add(self.graph, str(_MASK + 2), "ImageToMask", "Mask from white", **inputs)
            self.slots["mask"] = (id_, 0)

    def _fitted(self, first: int, title: str, fit: str, method: str, name: str) -> Link:
        """Add a picture, scaled and cropped to the size."""
        add(self.graph, str(first), "LoadImage", title, image=self.images[name])
        size = {"width": self.slots["width"], "height": self.slots["height"]}
        scale = {"image": (str(first), 0), "upscale_method": method, "crop": "center"}
        return (add(self.graph, str(first + 1), "ImageScale", fit, **scale, **size), 0)

    def _add_latent(self) -> None:
        spec, variant, references = self.spec, self.variant, self.variant.references
        if spec.image is not None and spec.video is None and variant.latent_of_image is None:
            inputs = {"pixels": self.slots["image"], "vae": self.slots["vae"]}
            encoded = add(self.graph, str(_SOURCE + 2), "VAEEncode", "Encode source", **inputs)
            self.slots["latent"] = self._repeat((encoded, 0))
            if spec.mask is not None:
                masked = {"samples": self.slots["latent"], "mask": self.slots["mask"]}
                id_ = add(self.graph, "16", "SetLatentNoiseMask", "Draw inside the mask", **masked)
                self.slots["latent"] = (id_, 0)
        elif "latent" in self.slots:
            return
        elif self.follows_reference and references is not None and references.latent == "first":
            self.slots["latent"] = self._batch(self.encoded[0])
        else:
            row = variant.latent
            if not row.inputs:
                sizes = {"width": "$width", "height": "$height", "batch_size": "$count"}
                row = NodeRow(node=row.node, inputs=sizes)
            self.slots["latent"] = self.add(LATENT, row, "Empty latent")

    def _batch(self, latent: Link) -> Link:
        return self._repeat(latent) if self.spec.count > 1 else latent

    def _repeat(self, latent: Link) -> Link:
        inputs = {"samples": latent, "amount": self.spec.count}
        return (add(self.graph, LATENT, "RepeatLatentBatch", "Batch", **inputs), 0)

    # ControlNets.

    def _add_controls(self) -> None:
        """Chain the ControlNets on both prompts, or on the model."""
        for number, control in enumerate(self.spec.controls):
            first = _CONTROLS + 10 * number
            row, file = find_controlnet(
                self.catalogue, control, self.found.family.name, self.variant.controls
            )
            loader, input_ = CONTROL_LOADERS[row.loader]
            add(self.graph, str(first), loader, f"ControlNet {number + 1}", **{input_: file})
            self._refuse_interval(control, row.apply)
            size = (self.slots["width"], self.slots["height"])
            picture = builder_parts.add_control_map(
                self.graph, first, control, self.images[control.image], size
            )
            self.slots |= {
                "control": (str(first), 0),
                "map": picture,
                "strength": control.weight,
                "start": control.start,
                "end": control.end,
            }
            id_, title = str(first + 4), f"Apply ControlNet {number + 1}"
            more = {"vae": self.slots["vae"]} if row.vae else {}
            if "model" in row.apply.slots:
                self.sampled = self.add(id_, row.apply, title, **more, model=self.sampled)
            else:
                self._both(id_, row.apply, title, **more)

    def _refuse_interval(self, control: Control, apply: NodeRow) -> None:
        if (control.start, control.end) != (0.0, 1.0) and "start" not in apply.slots:
            raise Unsupported(
                f"a ControlNet of {self.found.title} acts during all steps; leave out its start and end"
            )

    # Sampling.

    def _sample(self) -> None:
        kinds: dict[str, Callable[[], None]] = {
            "ksampler": self._sample_simply,
            "guided": self._sample_guided,
            "custom": self._sample_custom,
        }
        kinds[self.variant.sampling.kind]()

    def _sample_simply(self) -> None:
        slots = self.slots
        inputs = {
            "seed": slots["seed"],
            "steps": slots["steps"],
            "cfg": slots["cfg"],
            "sampler_name": slots["sampler"],
            "scheduler": slots["scheduler"],
            "denoise": slots["denoise"],
            "model": self.sampled,
            "positive": slots["positive"],
            "negative": slots["negative"],
            "latent_image": slots["latent"],
        }
        add(self.graph, SAMPLER, "KSampler", "Sampler", **inputs)

    def _sample_guided(self) -> None:
        guider = self.variant.sampling.guider
        if guider is None:
            raise Unsupported(f"the row of {self.found.title} has no guider")
        add(self.graph, _NOISE, "RandomNoise", "Seed", noise_seed=self.slots["seed"])
        sampler, sigmas = self._sampler_and_sigmas()
        self.slots["model"] = self.sampled
        inputs = {
            "noise": (_NOISE, 0),
            "guider": self.add(_GUIDER, guider, "Guider"),
            "sampler": sampler,
            "sigmas": sigmas,
            "latent_image": self.slots["latent"],
        }
        add(self.graph, SAMPLER, "SamplerCustomAdvanced", "Sampler", **inputs)

    def _sample_custom(self) -> None:
        sampler, sigmas = self._sampler_and_sigmas()
        inputs = {
            "add_noise": True,
            "noise_seed": self.slots["seed"],
            "cfg": self.slots["cfg"],
            "model": self.sampled,
            "positive": self.slots["positive"],
            "negative": self.slots["negative"],
            "sampler": sampler,
            "sigmas": sigmas,
            "latent_image": self.slots["latent"],
        }
        add(self.graph, SAMPLER, "SamplerCustom", "Sampler", **inputs)

    def _sampler_and_sigmas(self) -> tuple[Link, Link]:
        sampling = self.variant.sampling
        sampler = self.add(_SAMPLER_CHOICE, sampling.sampler, "Sampler choice")
        sigmas = self.add(_SIGMAS, sampling.sigmas, "Steps")
        if self.spec.denoise < 1 and "denoise" not in sampling.sigmas.slots:
            inputs = {"sigmas": sigmas, "denoise": self.spec.denoise}
            sigmas = (add(self.graph, _SPLIT, "SplitSigmasDenoise", "Denoise in part", **inputs), 1)
        return sampler, sigmas

    def _decode(self) -> Link:
        samples: Link = (SAMPLER, 0)
        for number, row in enumerate(self.variant.latent_patches):
            samples = self.add(str(_LATENT_PATCHES + number), row, row.node, samples=samples)
        inputs = {"samples": samples, "vae": self.slots["vae"]}
        return (add(self.graph, DECODE, "VAEDecode", "Decode", **inputs), 0)


def round_up(side: int, multiple: int) -> int:
    """The pixels a side is rendered with: rounded up to a multiple."""
    return -(-side // multiple) * multiple
