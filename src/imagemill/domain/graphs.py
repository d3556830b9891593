"""ComfyUI graphs in API format, built from a neutral image spec with core nodes only."""

from typing import Any

from imagemill.domain.images import ImageSpec, Network

Graph = dict[str, dict[str, Any]]


def text_to_image(spec: ImageSpec) -> Graph:
    """The text-to-image graph of a checkpoint: load, LoRAs, encode, sample, decode, save."""
    graph: Graph = {"1": _node("CheckpointLoaderSimple", ckpt_name=spec.model_path)}
    model: list[Any] = ["1", 0]
    clip: list[Any] = ["1", 1]
    vae: list[Any] = ["1", 2]
    for number, lora in enumerate(_of_type(spec, "lora", "lycoris", "dora"), start=20):
        graph[str(number)] = _node(
            "LoraLoader",
            model=model,
            clip=clip,
            lora_name=lora.path or lora.air,
            strength_model=lora.strength,
            strength_clip=lora.strength,
        )
        model, clip = [str(number), 0], [str(number), 1]
    if spec.clip_skip > 1:
        graph["2"] = _node("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-spec.clip_skip)
        clip = ["2", 0]
    for own_vae in _of_type(spec, "vae")[:1]:
        graph["3"] = _node("VAELoader", vae_name=own_vae.path or own_vae.air)
        vae = ["3", 0]
    graph["4"] = _node("CLIPTextEncode", clip=clip, text=spec.prompt)
    graph["5"] = _node("CLIPTextEncode", clip=clip, text=spec.negative_prompt)
    graph["6"] = _node("EmptyLatentImage", width=spec.width, height=spec.height, batch_size=spec.count)
    graph["7"] = _node(
        "KSampler",
        model=model,
        positive=["4", 0],
        negative=["5", 0],
        latent_image=["6", 0],
        seed=spec.seed,
        steps=spec.steps,
        cfg=spec.cfg_scale,
        sampler_name=spec.sampler,
        scheduler=spec.scheduler,
        denoise=1.0,
    )
    graph["8"] = _node("VAEDecode", samples=["7", 0], vae=vae)
    graph["9"] = _node("SaveImage", images=["8", 0], filename_prefix="imagemill")
    return graph


def _of_type(spec: ImageSpec, *types: str) -> list[Network]:
    return [network for network in spec.networks if network.type in types]


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}
