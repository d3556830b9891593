"""The base models that Civitai names, such as "SDXL 1.0" or "Flux.1 D": their ecosystem and their family."""

import re

from imagemill.domain.dataclass import dataclass

_SEPARATORS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class BaseModel:
    ecosystem: str
    """The ecosystem in the AIRs of its models."""
    family: str
    """The model family, which selects the pipeline. It may be more exact than the ecosystem."""


def _row(names: str, ecosystem: str, family: str = "") -> dict[str, BaseModel]:
    """Return the rows of base models with these names, in lower case without separators."""
    return dict.fromkeys(names.split(), BaseModel(ecosystem, family or ecosystem))


_TABLE: dict[str, BaseModel] = {
    **_row("sd14 sd15 sd1 sd15lcm sd15hyper stablediffusion15", "sd1"),
    **_row("sd2 sd20 sd20768 sd21 sd21768 sd21unclip", "sd2"),
    **_row("sdxl sdxl09 sdxl10 sdxl1 sdxl10lcm sdxllightning sdxlhyper sdxlturbo", "sdxl"),
    **_row("sdxldistilled", "sdxldistilled", "sdxl"),
    **_row("pony illustrious noobai", "sdxl"),
    **_row("sd3 sd30 sd35 sd35large sd35largeturbo", "sd3"),
    **_row("sd35medium", "sd3_5m", "sd3"),
    **_row("stablecascade", "scascade"),
    **_row("flux1d flux1s flux1dev flux1schnell flux1", "flux1"),
    **_row("flux1krea fluxkrea", "fluxkrea", "flux1"),
    **_row("flux1kontext fluxkontext", "flux1kontext"),
    **_row("flux2d flux2dev flux2", "flux2"),
    **_row(
        "flux2klein flux2klein4b flux2klein4bbase flux2klein9b flux2klein9bbase flux2klein9bkv",
        "flux2",
        "flux2-klein",
    ),
    **_row("zimageturbo zimage", "zimageturbo"),
    **_row("zimagebase", "zimagebase"),
    **_row("qwen qwenimage", "qwen"),
    **_row("qwen2", "qwen2"),
    **_row("hidream hidreami1", "hidream"),
    **_row("hidreamo1", "hidream-o1"),
    **_row("chroma chroma1hd", "chroma"),
    **_row("lumina lumina2", "lumina"),
    **_row("anima", "anima"),
    **_row("ernie ernieimage", "ernie"),
    **_row("krea2", "krea2"),
    **_row("lens", "lens"),
    **_row("boogu booguimage", "boogu"),
    **_row("mageflow", "mageflow"),
    **_row("ideogram ideogram4", "ideogram"),
    **_row("auraflow ponyv7", "auraflow"),
    **_row("hunyuan1", "hydit1"),
    **_row("kolors", "kolors"),
    **_row("pixarta", "pixarta"),
    **_row("pixarte", "pixarte"),
    **_row("playgroundv2", "playgroundv2"),
    **_row("mochi", "mochi"),
    **_row("svd svdxt", "svd"),
    **_row("hunyuanvideo", "hyv1"),
    **_row("cogvideox", "cogvideox"),
    **_row("ltxv", "ltxv"),
    **_row("ltxv2 ltx2", "ltxv2"),
    **_row("ltxv23 ltx23", "ltxv23"),
    **_row("wanvideo", "wanvideo"),
    **_row("wanvideo13bt2v", "wanvideo1_3b_t2v"),
    **_row("wanvideo14bt2v", "wanvideo14b_t2v"),
    **_row("wanvideo14bi2v480p", "wanvideo14b_i2v_480p"),
    **_row("wanvideo14bi2v720p", "wanvideo14b_i2v_720p"),
    **_row("wanvideo22ti2v5b", "wanvideo22-ti2v-5b"),
    **_row("wanvideo22t2va14b", "wanvideo22-t2v-a14b"),
    **_row("wanvideo22i2va14b", "wanvideo22-i2v-a14b"),
    **_row("other upscaler", "other", "other"),
}
"""Name of a base model in lower case without separators -> ecosystem and family."""


def find_base_model(text: str) -> BaseModel | None:
    """Return the base model of a name, in any case and with any separators; None for an unknown one."""
    return _TABLE.get(_SEPARATORS.sub("", text.lower()))


def family_of_base_model(text: str) -> str | None:
    """Return the model family of a base model; None for an unknown one, and for one that has no family."""
    found = find_base_model(text)
    return found.family if found and found.family != "other" else None
