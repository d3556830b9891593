"""The classes of ComfyUI that hold values, choose, write texts, and save other files than PNG."""

from tests.comfyui.catalogue import (
    LARGEST_SIDE,
    ON_OFF,
    PREFIX,
    SEED,
    TEXT,
    Choice,
    Config,
    extra,
    real,
    whole,
)

ANY: Config = ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "switch", "allowed_types": "*"}}]


def growing(kind: str, names: list[str], least: int) -> Config:
    template = {"input": {"required": {"entry": [kind, {}]}}, "names": names, "min": least}
    return ["COMFY_AUTOGROW_V3", {"template": template}]


def growing_letters(kind: str) -> Config:
    return growing(kind, list("abcdefghijklmnopqrstuvwxyz"), 0)


def spelled(choice: Choice) -> Config:
    return ["COMBO", {"options": list(choice.options)}]


def branching(*keys: str, **inputs: Config) -> Config:
    """A choice with the same further inputs for every key."""
    return [
        "COMFY_DYNAMICCOMBO_V3",
        {"options": [{"key": key, "inputs": {"required": inputs}} for key in keys]},
    ]


CODEC = branching("auto", "h264", "av1")
CONTAINER = branching("auto", "mp4", "mkv", "webm", codec=CODEC)
PICTURE_FORMAT = branching(
    "png", bit_depth=spelled(Choice(("8-bit", "16-bit"))), input_color_space=spelled(Choice(("sRGB",)))
)
GENERATION = branching(
    "on",
    temperature=real(0.7, 0.01, 2.0),
    top_k=whole(64, 0, 1000),
    top_p=real(0.95, 0.0, 1.0),
    min_p=real(0.05, 0.0, 1.0),
    repetition_penalty=real(1.05, 0.0, 5.0),
    seed=SEED,
    presence_penalty=real(0.0, 0.0, 5.0),
)
TOOLS = {
    "ComfyMathExpression": extra(
        "math",
        {"expression": TEXT, "values": growing_letters("FLOAT,INT,BOOLEAN")},
        "FLOAT INT BOOLEAN",
        names="FLOAT INT BOOL",
        since_new=True,
    ),
    "ComfyNumberConvert": extra(
        "number_convert", {"value": "INT,FLOAT,STRING,BOOLEAN"}, "FLOAT INT", since_new=True
    ),
    "ComfySwitchNode": extra(
        "logic",
        {"switch": ON_OFF, "on_false": ANY, "on_true": ANY},
        "COMFY_MATCHTYPE_V3",
        names="output",
        since_new=True,
    ),
    "CreateVideo": extra(
        "video",
        {"images": "IMAGE", "fps": real(30.0, 1, 120, 1.0)},
        "VIDEO",
        optional={"audio": "AUDIO", "bit_depth": whole(8, 8, 10, 2)},
        since_new=True,
    ),
    "CustomCombo": extra("logic", {"choice": Choice(())}, "STRING INT", names="STRING INDEX", since_new=True),
    "FluxKontextImageScale": extra("flux", {"image": "IMAGE"}, "IMAGE"),
    "GetImageSize": extra("images", {"image": "IMAGE"}, "INT INT INT", names="width height batch_size"),
    "ImageCompare": extra(
        "image_compare",
        {"compare_view": "IMAGECOMPARE"},
        "",
        optional={"image_a": "IMAGE", "image_b": "IMAGE"},
        output_node=True,
        since_new=True,
    ),
    "ImageScaleToMaxDimension": extra(
        "images",
        {
            "image": "IMAGE",
            "upscale_method": Choice(("area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic")),
            "largest_size": whole(512, 0, LARGEST_SIDE),
        },
        "IMAGE",
    ),
    "ImageStitch": extra(
        "images",
        {
            "image1": "IMAGE",
            "direction": Choice(("right", "down", "left", "up")),
            "match_image_size": ON_OFF,
            "spacing_width": whole(0, 0, 1024, 2),
            "spacing_color": Choice(("white", "black", "red", "green", "blue")),
        },
        "IMAGE",
        optional={"image2": "IMAGE"},
    ),
    "JsonExtractString": extra(
        "string", {"json_string": TEXT, "key": ["STRING", {"default": ""}]}, "STRING", since_new=True
    ),
    "PrimitiveBoolean": extra("primitive", {"value": ON_OFF}, "BOOLEAN"),
    "PrimitiveFloat": extra("primitive", {"value": real(0.0, -9.22337e18, 9.22337e18, 0.1)}, "FLOAT"),
    "PrimitiveStringMultiline": extra("primitive", {"value": TEXT}, "STRING"),
    "RegexReplace": extra(
        "string",
        {"string": TEXT, "regex_pattern": TEXT, "replace": TEXT},
        "STRING",
        optional={
            "case_insensitive": ON_OFF,
            "multiline": ["BOOLEAN", {"default": False}],
            "dotall": ["BOOLEAN", {"default": False}],
            "count": whole(0, 0, 100),
        },
        since_new=True,
    ),
    "ResolutionSelector": extra(
        "resolution",
        {
            "aspect_ratio": Choice(
                (
                    "1:1 (Square)",
                    "2:3 (Portrait Photo)",
                    "3:2 (Photo)",
                    "3:4 (Portrait Standard)",
                    "4:3 (Standard)",
                    "9:16 (Portrait Widescreen)",
                    "16:9 (Widescreen)",
                    "21:9 (Ultrawide)",
                )
            ),
            "megapixels": real(1.0, 0.1, 16, 0.1),
            "multiple": whole(8, 8, 128, 4),
        },
        "INT INT",
        names="width height",
        since_new=True,
    ),
    "SaveImageAdvanced": extra(
        "images",
        {"images": "IMAGE", "filename_prefix": PREFIX, "format": PICTURE_FORMAT},
        "IMAGE",
        names="images",
        output_node=True,
        since_new=True,
    ),
    "SaveVideo": extra(
        "video",
        {"video": "VIDEO", "filename_prefix": ["STRING", {"default": "video/ComfyUI"}], "format": CONTAINER},
        "VIDEO",
        names="video",
        optional={"codec": CODEC},
        output_node=True,
        since_new=True,
    ),
    "StringConcatenate": extra(
        "string", {"string_a": TEXT, "string_b": TEXT, "delimiter": ["STRING", {"default": ""}]}, "STRING"
    ),
    "StringReplace": extra("string", {"string": TEXT, "find": TEXT, "replace": TEXT}, "STRING"),
    "TextGenerate": extra(
        "textgen",
        {"clip": "CLIP", "prompt": TEXT, "max_length": whole(512, 1, 32768), "sampling_mode": GENERATION},
        "STRING",
        names="generated_text",
        optional={
            "image": "IMAGE",
            "video": "IMAGE",
            "audio": "AUDIO",
            "thinking": ["BOOLEAN", {"default": False}],
            "use_default_template": ON_OFF,
            "system_prompt": TEXT,
        },
        since_new=True,
    ),
}
