"""What networks add to a prompt: trigger words, and embeddings in ComfyUI's spelling."""

import re
from collections.abc import Callable, Sequence

from imagemill.domain.images import ImageSpec, Network

MODEL_EXTENSIONS = (".safetensors", ".pt", ".bin", ".ckpt")


def prompts(spec: ImageSpec, embedding: Callable[[str], str]) -> tuple[str, str]:
    """The positive and the negative prompt of the request with what its networks add.

    ``embedding`` gives the name under which the node has an embedding's file. An embedding goes where its
    trigger word or name stands, in either prompt, and else to the end of the positive one.
    """
    positive, negative = spec.prompt, spec.negative_prompt
    for network in spec.networks:
        if network.type == "embedding":
            positive, negative = _with_embedding(positive, negative, network, embedding)
        elif network.trigger_word and network.trigger_word.lower() not in positive.lower():
            positive = appended(positive, network.trigger_word)
    return positive, negative


def appended(prompt: str, words: str) -> str:
    kept = prompt.rstrip().rstrip(",")
    return f"{kept}, {words}" if kept else words


def _with_embedding(
    positive: str, negative: str, network: Network, embedding: Callable[[str], str]
) -> tuple[str, str]:
    name = _without_extension(embedding(network.path or network.air))
    token = f"embedding:{name}" if network.strength == 1 else f"(embedding:{name}:{network.strength:g})"
    base = name.rsplit("/", 1)[-1]
    if any(_stands(word, prompt) for prompt in (positive, negative) for word in _spelled((name, base))):
        return positive, negative
    for word in filter(None, (network.trigger_word, name, base)):
        for_word = re.compile(rf"(?<![\w:]){re.escape(word)}(?!\w)", re.IGNORECASE)
        if for_word.search(positive):
            return for_word.sub(lambda _: token, positive, count=1), negative
        if for_word.search(negative):
            return positive, for_word.sub(lambda _: token, negative, count=1)
    return appended(positive, token), negative


def _spelled(names: Sequence[str]) -> list[str]:
    return [f"embedding:{name}" for name in names]


def _stands(word: str, prompt: str) -> bool:
    return re.search(rf"{re.escape(word)}(?![\w/])", prompt, re.IGNORECASE) is not None


def _without_extension(file: str) -> str:
    """With slashes only: a prompt takes a backslash as the escape of what follows it."""
    name = file.replace("\\", "/")
    extension = next((end for end in MODEL_EXTENSIONS if name.lower().endswith(end)), "")
    return name[: len(name) - len(extension)]
