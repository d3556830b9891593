"""What a client can get wrong in a v1 job, field by field: the change, the path, a word of the message."""

from typing import Any

from tests.conftest import LORA, SD1, SDXL, image_job

FLUX = "urn:air:flux1:checkpoint:civitai:618692@691639"
A_LORA = {LORA: {"strength": 1}}


def network(**fields: Any) -> dict[str, Any]:
    return image_job(additionalNetworks={LORA: fields})


def control(**fields: Any) -> dict[str, Any]:
    whole = {"preprocessor": "Canny", "weight": 1, "startStep": 0, "endStep": 1, **fields}
    return image_job(controlNets=[{name: value for name, value in whole.items() if value is not None}])


def params(**fields: Any) -> dict[str, Any]:
    return image_job(params=fields)


def comfy(graph: Any) -> dict[str, Any]:
    return {"$type": "comfy", "params": {"workflow": graph}}


SEEDED: dict[str, Any] = {"1": {"class_type": "KSampler", "inputs": {"seed": "{seed}"}}}
LORA_PATH = f"additionalNetworks[{LORA!r}]"

FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({**image_job(), "$type": "textToImge"}, "$type", "did you mean 'textToImage'"),
    ({**image_job(), "$type": "TextToImageJobTemplate"}, "$type", "textToImage"),
    ({**image_job(), "$type": 5}, "$type", "comfy"),
    ({"$type": "textToImage"}, "model", "required"),
    ({"$type": "textToImage", "model": 5}, "model", "text"),
    ({"$type": "textToImage", "model": SD1, "params": []}, "params", "object"),
    ({"$type": "comfy"}, "params", "required"),
    ({"$type": "comfy", "params": {}}, "params.workflow", "required"),
    (params(prompt=5), "params.prompt", "text"),
    (params(prompt="x" * 10_001), "params.prompt", "10000"),
    (params(negativePrompt="x" * 10_001), "params.negativePrompt", "10000"),
    (params(negativePrompt=["fog"]), "params.negativePrompt", "text"),
    (params(scheduler="EulerB"), "params.scheduler", "did you mean 'Euler'"),
    (params(scheduler="Dopri5"), "params.scheduler", "EulerA"),
    (params(scheduler=3), "params.scheduler", "EulerA"),
    (params(steps=0), "params.steps", "at least 1"),
    (params(steps=151), "params.steps", "150"),
    (params(steps=1.5), "params.steps", "whole number"),
    (params(steps=True), "params.steps", "number"),
    (params(steps="many"), "params.steps", "whole number"),
    (params(cfgScale=0.5), "params.cfgScale", "1"),
    (params(cfgScale=31), "params.cfgScale", "30"),
    (params(cfgScale=10**400), "params.cfgScale", "number"),
    (params(width=63), "params.width", "64"),
    (params(width=2049), "params.width", "2048"),
    (params(height=[512]), "params.height", "whole number"),
    (params(height=10**30), "params.height", "2048"),
    (params(seed=-2), "params.seed", "-1"),
    (params(seed=2**32), "params.seed", "4294967295"),
    (params(clipSkip=-1), "params.clipSkip", "0"),
    (params(cfgscale=7), "params.cfgscale", "did you mean 'cfgScale'"),
    (params(size="512x512"), "params.size", "width"),
    (image_job(quantity=0), "quantity", "1"),
    (image_job(quantity=101), "quantity", "100"),
    (image_job(quantity="lots"), "quantity", "whole number"),
    (image_job(batchSize=0), "batchSize", "1"),
    (image_job(quantity=100, batchSize=100), "jobs", "at most 500"),
    (image_job(baseModel=5), "baseModel", "text"),
    (image_job(additionalNetworks=[]), "additionalNetworks", "object"),
    (image_job(additionalNetworks={LORA: 0.8}), LORA_PATH, "object"),
    (network(type="Loraa"), f"{LORA_PATH}.type", "did you mean 'Lora'"),
    (network(strength=11), f"{LORA_PATH}.strength", "10"),
    (network(strength="strong"), f"{LORA_PATH}.strength", "number"),
    (network(weight=1), f"{LORA_PATH}.weight", "strength"),
    (network(triggerWord=1), f"{LORA_PATH}.triggerWord", "text"),
    (image_job(additionalNetworks={"": {}}), "additionalNetworks['']", "AIR"),
    (image_job(additionalNetworks={"label": {}}), "additionalNetworks['label']", "urn:air"),
    (image_job(additionalNetworks={str(n): {"id": LORA} for n in range(65)}), "additionalNetworks", "64"),
    (image_job(controlNets={}), "controlNets", "list"),
    (control(preprocessor="Cany"), "controlNets[0].preprocessor", "did you mean 'Canny'"),
    (control(weight=None), "controlNets[0].weight", "required"),
    (control(endStep="x"), "controlNets[0].endStep", "number"),
    (control(start=1), "controlNets[0].start", "startStep"),
    (image_job(name=5), "name", "text"),
    (image_job(name="x" * 201), "name", "200"),
    (image_job(priority="urgent"), "priority", "High"),
    (image_job(priority=True), "priority", "High"),
    (image_job(priority={}), "priority", "High"),
    (image_job(priority=[1]), "priority", "High"),
    (image_job(priority="nan"), "priority", "High"),
    (image_job(providers="Civitai"), "providers", "list"),
    (image_job(providers=["Civitay"]), "providers[0]", "did you mean 'Civitai'"),
    (image_job(providers=["Civitai", 5]), "providers[1]", "text"),
    (image_job(expireAt="tomorrow"), "expireAt", "date"),
    (image_job(expireAt="2020-01-01T00:00:00Z"), "expireAt", "past"),
    (image_job(expireAt="9999-12-31T23:59:59-23:00"), "expireAt", "ten years"),
    (image_job(expireAt=[]), "expireAt", "date"),
    (image_job(properties=[]), "properties", "object"),
    (image_job(properties={"x" * 201: 1}), "properties", "200"),
    (image_job(properties={str(n): n for n in range(51)}), "properties", "50"),
    (image_job(callbackUrl=5), "callbackUrl", "text"),
    (image_job(timeout="10 minutes"), "timeout", "00:10:00"),
    (image_job(timeout="00:61:00"), "timeout", "00:10:00"),
    (image_job(timeout="2.00:00:00"), "timeout", "86400"),
    (image_job(timeout=0), "timeout", "above 0"),
    (image_job(timeout=-5), "timeout", "above 0"),
    (image_job(timeout=10**400), "timeout", "86400"),
    (image_job(timeout=True), "timeout", "00:10:00"),
    (image_job(timeout={"minutes": 10}), "timeout", "00:10:00"),
    (image_job(retries=-1), "retries", "0"),
    (image_job(retries=51), "retries", "50"),
    (image_job(dependencies="a"), "dependencies", "list"),
    (image_job(dependencies=[5]), "dependencies[0]", "text"),
    (image_job(dependencies=["absent"]), "dependencies", "name"),
    (image_job(dependencies=["me"], name="me"), "dependencies", "circle"),
    (comfy({}), "params.workflow", "class_type"),
    (comfy([]), "params.workflow", "object"),
    (comfy({"1": 5}), "params.workflow['1']", "class_type"),
    (comfy({"1": {}}), "params.workflow['1']", "class"),
    (comfy({"1": {"class_type": 5}}), "params.workflow['1']", "class"),
    (comfy({"1": {"class_type": "X", "inputs": []}}), "params.workflow['1']", "object"),
    (
        comfy({"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "@civitai/1"}}}),
        "params.workflow['1'].inputs.ckpt_name",
        "register",
    ),
    (comfy({str(n): {"class_type": "X"} for n in range(2001)}), "params.workflow", "2000"),
    ({"$type": "comfy", "params": {"workflow": SEEDED, "seed": 2**64}}, "params.seed", str(2**64 - 1)),
    (
        comfy({"1": {"class_type": "X", "inputs": {"seed": 2**64}}}),
        "params.workflow['1'].inputs.seed",
        "larg",
    ),
    (image_job(model=FLUX, params={"negativePrompt": "fog"}), "params.negativePrompt", "no effect"),
    (image_job(model=FLUX, params={"clipSkip": 2}), "params.clipSkip", "no effect"),
    (image_job(model=SDXL, additionalNetworks={LORA: {}}), LORA_PATH, "family sd1"),
]

AIRS: list[tuple[str, str]] = [
    ("", "urn:air:"),
    ("sdxl", "urn:air:"),
    ("@civitai/", "urn:air:"),
    ("@civitai/abc", "urn:air:"),
    ("@civitai/128078 ", "urn:air:"),
    ("@huggingface/1", "urn:air:"),
    ("urn:air:sdxl:checkpoint:civitai:101055@", "urn:air:"),
    ("urn:air:sdxl:checkpoint:civitai", "register"),
    ("urn:air:sdxl:checkpoint:civitai:101055", "register"),
    ("urn:air:sdxl:checkpoint:civitai:1@2", "register"),
    ("urn:air:sdxl:checkpoint:civitai:101055@128078@1", "urn:air:"),
    ("urn:air:sd xl:checkpoint:civitai:101055@128078", "urn:air:"),
    ("urn:air:sdxl:checkpoint:civitai:101055@128078\n", "urn:air:"),
    ("urn:air:größe:checkpoint:civitai:1@2", "urn:air:"),
    ("urn:air:a:b:c:d:e:f@1", "urn:air:"),
    ("../../etc/passwd", "urn:air:"),
    ("' OR 1=1 --", "urn:air:"),
    ("https://civitai.example/models/101055", "register"),
    ("@civitai/9999999999999999999", "register"),
    (LORA, "not a checkpoint"),
    ("x" * 600, "512"),
    ("a:" * 300 + "b", "512"),
    ("灯台", "urn:air:"),
    ("🗼", "urn:air:"),
]
