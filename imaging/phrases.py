"""Phrases that a picture is compared with, in groups; of each group the best one or two are kept."""

PHRASES: dict[str, tuple[str, ...]] = {
    "medium": (
        "a photograph", "a macro photograph", "a microscope picture", "an X-ray picture", "a thermal picture", "a satellite picture",
        "a scan of a document", "a screenshot", "a video frame", "an oil painting", "a watercolor painting", "an acrylic painting",
        "a pencil drawing", "a charcoal drawing", "an ink drawing", "a line drawing", "a technical drawing", "a blueprint", "a comic",
        "an anime drawing", "a cartoon", "a 3D rendering", "pixel art", "a vector graphic", "a logo", "a collage", "an engraving", "a fresco",
        "a mosaic", "a sculpture", "graffiti", "a poster", "a map", "a diagram", "digital art", "concept art",
    ),
    "kind": (
        "a portrait", "a group of people", "a landscape", "a seascape", "a street scene", "a city skyline", "an interior", "architecture",
        "a still life", "food", "an animal", "a plant", "a flower", "a vehicle", "a machine", "a tool", "an electronic component",
        "a product on a plain background", "clothing", "a toy", "text", "a pattern", "an abstract picture", "a surface seen from near",
    ),
    "surface": (
        "brushed metal", "polished metal", "rusty metal", "painted metal", "cast iron", "wood grain", "concrete", "asphalt", "brick", "ceramic tile",
        "glass", "plastic", "rubber", "leather", "woven fabric", "knitted fabric", "paper", "stone", "marble", "skin", "fur", "foliage", "water",
        "sand", "snow",
    ),
    "condition": (
        "new and flawless", "scratched", "cracked", "dented", "stained", "corroded", "worn", "broken", "bent", "torn", "burnt", "dusty", "wet",
        "with a hole", "with a missing part",
    ),
    "style": (
        "realistic", "photorealistic", "hyperrealistic", "minimalist", "impressionist", "expressionist", "surrealist", "cubist", "baroque",
        "renaissance", "art nouveau", "art deco", "pop art", "abstract", "gothic", "romantic", "ukiyo-e", "cyberpunk", "steampunk", "science fiction",
        "fantasy", "vintage", "retro", "documentary", "fashion photography", "product photography",
    ),
    "light": (
        "soft light", "hard light", "natural light", "studio lighting", "backlight", "side light", "golden hour", "blue hour", "overcast light",
        "bright sunlight", "night", "neon light", "candlelight", "volumetric light", "high contrast", "low contrast", "reflections", "a flash",
    ),
    "color": (
        "black and white", "sepia", "monochrome", "muted colors", "vivid colors", "pastel colors", "warm colors", "cold colors", "dark colors",
        "mostly red", "mostly orange", "mostly yellow", "mostly green", "mostly blue", "mostly purple", "mostly brown", "mostly grey", "mostly white",
    ),
    "view": (
        "a close-up", "a wide shot", "a full-body shot", "a view from above", "a view from below", "an aerial view", "a side view", "a front view",
        "an isometric view", "a symmetrical composition", "a centered subject", "a shallow depth of field", "everything in focus", "motion blur",
        "out of focus", "a long exposure", "a fisheye lens", "a panorama",
    ),
}  # fmt: skip


def read_groups(text: str) -> dict[str, tuple[str, ...]]:
    """Groups from text: a line each, as in ``defect: scratch, dent, crack``; a line without a name is called phrases."""
    groups: dict[str, tuple[str, ...]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, words = line.partition(":")
        name, words = (name.strip(), words) if colon else ("phrases", line)
        found = tuple(word.strip() for word in words.split(",") if word.strip())
        groups[name] = groups.get(name, ()) + found
    return {name: words for name, words in groups.items() if words}
