"""Model profiles: which weights the diffusion engine loads, and how it draws with them.

In: a profile's name (`sd15-lcm`), a TOML file, or a folder with `profile.toml` in it. Out: a frozen `Profile`.
Refuses: unknown keys (naming the nearest known one), wrong types and values out of range (`ProfileError`).

Profiles of the package lie in `profiles/` beside this file (`configs/models/` in a checkout is the same folder); a
user's own go to `~/.sketchwire/models/` and win over the package's of the same name. A source of weights is a
repository id of a hub (`owner/name`) or a local folder; a folder is written as an absolute path, or with a leading
`./` or `~/`, relative to the profile's file. Importing this imports no torch.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

PACKAGED = Path(__file__).parent / "profiles"
USERS = Path("~/.sketchwire/models")
FILE = "profile.toml"

ROLES = ("edges", "colour", "segmentation", "style", "normal")
FAMILIES = ("sd", "sdxl")
DTYPES = ("auto", "float32", "float16", "bfloat16")
SCHEDULERS = ("lcm", "tcd", "ddim", "ddim-trailing", "euler", "euler-trailing", "euler-ancestral", "dpm", "unipc")
ALIGN_PX = 64  # sides of buckets: the latent's sides are multiples of 8, so that every level of the network halves

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class ProfileError(ValueError):
    """The profile cannot be used; the message says which key of which file, and what to write instead."""


def _about(doc: str, check: Callable[[Any], str | None] | None = None) -> dict[str, Any]:
    return {"doc": doc, "check": check}


def _key(doc: str, default: Any = MISSING, check: Callable[[Any], str | None] | None = None) -> Any:
    """A documented field. `check` returns what is wrong with a value, or None."""
    return (
        field(metadata=_about(doc, check))
        if default is MISSING
        else field(default=default, metadata=_about(doc, check))
    )


def _between(low: float, high: float) -> Callable[[Any], str | None]:
    return lambda v: None if low <= v <= high else f"must be {low:g} to {high:g}"


def _one_of(*allowed: str) -> Callable[[Any], str | None]:
    return lambda v: None if v in allowed else f"must be one of {', '.join(allowed)}"


def _some(v: str) -> str | None:
    return None if v.strip() else "must not be empty"


def _side(v: int) -> str | None:
    return None if 64 <= v <= 4096 and v % ALIGN_PX == 0 else f"must be a multiple of {ALIGN_PX}, 64 to 4096"


def _buckets(v: tuple[tuple[int, int], ...]) -> str | None:
    wrong = [side for bucket in v for side in bucket if _side(side)]
    return f"has the side {wrong[0]}, which {_side(wrong[0])}" if wrong else None


@dataclass(frozen=True, slots=True)
class Weights:
    """Where one component's files are. `repo` is a repository id, or an absolute path once the profile is loaded."""

    repo: str = _key("Repository id (owner/name), or a local folder.", check=_some)
    revision: str = _key("Commit of the repository; a branch's name is allowed and changes under you.", "main", _some)
    variant: str = _key("Variant in the files' names (fp16); empty for none.", "")
    subfolder: str = _key("Folder inside the repository; empty for its root.", "")
    weight: float = _key("How strongly it acts.", 1.0, _between(0, 10))
    file: str = _key("The file, where a repository holds many (LoRA).", "")

    @property
    def local(self) -> Path | None:
        """The folder, or None when it comes from a hub."""
        return Path(self.repo) if Path(self.repo).is_absolute() else None


@dataclass(frozen=True, slots=True)
class Licence:
    """Under what terms the weights may be used; shown before anything is downloaded."""

    spdx: str = _key("SPDX identifier, or LicenseRef-… where there is none.", check=_some)
    name: str = _key("The licence's own name.", check=_some)
    url: str = _key("Where it can be read.", check=_some)
    note: str = _key("What a user must know beyond that.", "")


@dataclass(frozen=True, slots=True)
class Part:
    """One download: its role in the profile, where it is, and glob patterns of the files in it that are needed."""

    role: str
    weights: Weights
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A set of weights and how to draw with it. Sizes in MiB are what a user needs to know before downloading."""

    id: str = _key("Name of the profile; the file's name without .toml.", check=lambda v: _bad_id(v))
    title: str = _key("One line about it.", check=_some)
    base: str = _key("Repository id or local folder of the base model, in diffusers' layout.", check=_some)
    licence: Licence = field(metadata=_about("Licence of the weights."))
    revision: str = _key("Commit of the base's repository.", "main", _some)
    variant: str = _key("Variant in the base's file names (fp16); empty for none.", "")
    family: str = _key("sd (one text encoder: 1.x, 2.x, Turbo) or sdxl.", "sd", _one_of(*FAMILIES))
    dtype: str = _key("auto takes what the device is fast in.", "auto", _one_of(*DTYPES))
    steps: int = _key(
        "Denoising steps that are really taken, with or without an initial picture.", 20, _between(1, 150)
    )
    guidance: float = _key("Classifier-free guidance; 1 and less switch it off.", 7.5, _between(0, 30))
    scheduler: str = _key("The sampler.", "unipc", _one_of(*SCHEDULERS))
    negative_prompt: str = _key("What should not be seen; used only with guidance over 1.", "")
    strength_palette: float = _key("How far a palette is noised before drawing.", 0.9, _between(0.05, 1))
    strength_thumbnail: float = _key("How far a thumbnail is noised before drawing.", 0.6, _between(0.05, 1))
    colour_guidance: float = _key("Pull of each step towards the sent colours, 0 to 1.", 0.5, _between(0, 1))
    tile_over: float = _key("Redraw in windows what is enlarged more than this; 0 never does.", 0.0, _between(0, 64))
    strength_tiles: float = _key("How far a window is noised before it is redrawn.", 0.3, _between(0.05, 1))
    native_px: int = _key("Side of the square that the model was trained on.", 512, _side)
    buckets: tuple[tuple[int, int], ...] = _key(
        "(width, height) it draws at; empty for five about native_px.", (), _buckets
    )
    memory_mib: int = _key("Memory the loaded weights take on the device.", 0, _between(0, 1 << 20))
    download_mib: int = _key("Size of the download, about.", 0, _between(0, 1 << 20))
    lora: Weights | None = field(default=None, metadata=_about("LoRA fused into the base."))
    tiny_vae: Weights | None = field(default=None, metadata=_about("Tiny autoencoder in place of the base's (TAESD)."))
    controlnets: Mapping[str, Weights] = field(
        default_factory=dict, metadata=_about(f"ControlNets by role: {', '.join(ROLES)}.")
    )
    file: Path | None = field(default=None, metadata=_about("Where the profile was read from."), compare=False)

    def __post_init__(self) -> None:
        if not self.buckets:
            object.__setattr__(self, "buckets", _default_buckets(self.native_px))

    @property
    def base_weights(self) -> Weights:
        """The base as a source like the others."""
        return Weights(self.base, self.revision, self.variant)

    @property
    def guides(self) -> bool:
        """Whether classifier-free guidance is on, and so the negative prompt is of use."""
        return self.guidance > 1

    def parts(self) -> tuple[Part, ...]:
        """Everything that must be there before the engine can draw, each once."""
        parts = [Part("base", self.base_weights, self._base_patterns())]
        if self.lora is not None:
            parts.append(Part("lora", self.lora, (self.lora.file or "*.safetensors",)))
        if self.tiny_vae is not None:
            parts.append(Part("tiny_vae", self.tiny_vae, _model_patterns(self.tiny_vae)))
        for role, weights in self.controlnets.items():
            parts.append(Part(f"controlnets.{role}", weights, _model_patterns(weights)))
        return tuple(parts)

    def _base_patterns(self) -> tuple[str, ...]:
        encoders = ("text_encoder", "text_encoder_2") if self.family == "sdxl" else ("text_encoder",)
        tokenizers = tuple(name.replace("text_encoder", "tokenizer") for name in encoders)
        models = ("unet", *encoders, *(() if self.tiny_vae is not None else ("vae",)))
        patterns = ["model_index.json", "scheduler/scheduler_config.json", *(f"{name}/*" for name in tokenizers)]
        for name in models:
            stem = "model" if name in encoders else "diffusion_pytorch_model"
            variant = f".{self.variant}" if self.variant else ""
            patterns += [f"{name}/config.json", f"{name}/{stem}{variant}.safetensors"]
        return tuple(patterns)


def load_profile(name_or_path: str | Path) -> Profile:
    """The profile of that name, file or folder. Raises ProfileError, which names the profiles there are."""
    text = str(name_or_path)
    path = Path(text).expanduser()
    if path.is_dir() and (path / FILE).is_file():
        return _read(path / FILE)
    if text.endswith(".toml") or "/" in text:
        if not path.is_file():
            raise ProfileError(f"{path}: no such profile; give a .toml file, or a folder with {FILE} in it")
        return _read(path)
    files = _files()
    if text not in files:
        near = difflib.get_close_matches(text, files, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ProfileError(f"unknown profile {text!r}; known: {', '.join(files)}{hint}")
    return _read(files[text])


def profiles() -> list[Profile]:
    """All profiles that have a name here, by name. Raises ProfileError when one of them is wrong."""
    return [_read(path) for _, path in sorted(_files().items())]


def parse(values: Mapping[str, Any], source: str, folder: Path, file: Path | None = None) -> Profile:
    """A profile from a parsed TOML file; local folders are taken from `folder`. Raises ProfileError."""
    known = _fill(Profile, values, source, skip=("file",))
    profile = Profile(**known, file=file)
    for role in profile.controlnets:
        _known(role, ROLES, f"{source}: [controlnets]", "role")
    return _resolved(profile, source, folder)


def _files() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in (PACKAGED, USERS.expanduser()):
        if folder.is_dir():
            found.update({path.stem: path for path in sorted(folder.glob("*.toml"))})
    return dict(sorted(found.items()))


def _read(path: Path) -> Profile:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{path}: {error}") from error
    profile = parse(values, str(path), path.resolve().parent, path)
    if path.name != FILE and profile.id != path.stem:
        raise ProfileError(f"{path}: id = {profile.id!r}: must be {path.stem!r}, the file's name")
    return profile


def _resolved(profile: Profile, source: str, folder: Path) -> Profile:
    def place(repo: str, key: str) -> str:
        if repo.startswith(("/", "./", "../", "~")):
            return str((folder / Path(repo).expanduser()).resolve())
        if not _REPOSITORY.fullmatch(repo):
            raise ProfileError(
                f"{source}: {key} = {repo!r}: must be a repository id (owner/name), or a folder with a leading ./ or /"
            )
        return repo

    def one(weights: Weights, key: str) -> Weights:
        return replace(weights, repo=place(weights.repo, f"{key}.repo"))

    nets = {role: one(weights, f"controlnets.{role}") for role, weights in profile.controlnets.items()}
    return replace(
        profile,
        base=place(profile.base, "base"),
        lora=profile.lora and one(profile.lora, "lora"),
        tiny_vae=profile.tiny_vae and one(profile.tiny_vae, "tiny_vae"),
        controlnets=nets,
    )


def _fill(cls: type[Any], values: Mapping[str, Any], where: str, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    known = {f.name: f for f in fields(cls) if f.name not in skip}
    hints = get_type_hints(cls)
    filled: dict[str, Any] = {}
    for key, raw in values.items():
        _known(key, tuple(known), where, "key")
        value = _coerce(raw, hints[key], f"{where}: {key}")
        check = known[key].metadata["check"]
        problem = check(value) if check else None
        if problem:
            raise ProfileError(f"{where}: {key} = {raw!r}: {problem}")
        filled[key] = value
    missing = [name for name, f in known.items() if _required(f) and name not in filled]
    if missing:
        raise ProfileError(f"{where}: {missing[0]} is missing; {known[missing[0]].metadata['doc']}")
    return filled


def _coerce(raw: Any, wanted: Any, where: str) -> Any:
    if get_origin(wanted) is not None and type(None) in get_args(wanted):
        wanted = next(arg for arg in get_args(wanted) if arg is not type(None))
    if wanted in (Weights, Licence):
        if not isinstance(raw, Mapping):
            raise ProfileError(f"{where} = {raw!r}: must be a table")
        return wanted(**_fill(wanted, raw, where))
    if wanted == Mapping[str, Weights]:
        if not isinstance(raw, Mapping):
            raise ProfileError(f"{where} = {raw!r}: must be a table of tables, one per role")
        return {role: _coerce(table, Weights, f"{where}.{role}") for role, table in raw.items()}
    if wanted == tuple[tuple[int, int], ...]:
        if isinstance(raw, list) and all(_is_pair(item) for item in raw):
            return tuple((item[0], item[1]) for item in raw)
        raise ProfileError(f"{where} = {raw!r}: must be a list of [width, height] pairs")
    if wanted is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, wanted) or (wanted is int and isinstance(raw, bool)):
        raise ProfileError(f"{where} = {raw!r}: must be of type {wanted.__name__}")
    return raw


def _required(f: Field[Any]) -> bool:
    return f.default is MISSING and f.default_factory is MISSING


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(type(side) is int for side in item)


def _known(name: str, names: tuple[str, ...], where: str, what: str) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(names)}"
        raise ProfileError(f"{where}: unknown {what} {name!r}{hint}")


def _bad_id(v: str) -> str | None:
    return None if _ID.fullmatch(v) else "must be lower-case letters, digits, dots, hyphens and underscores"


def _model_patterns(weights: Weights) -> tuple[str, ...]:
    folder = f"{weights.subfolder}/" if weights.subfolder else ""
    variant = f".{weights.variant}" if weights.variant else ""
    return (f"{folder}config.json", f"{folder}diffusion_pytorch_model{variant}.safetensors")


def _default_buckets(native_px: int) -> tuple[tuple[int, int], ...]:
    """Five shapes of about native_px², from 1:2 to 2:1."""

    def up(value: float) -> int:
        return max(ALIGN_PX, round(value / ALIGN_PX) * ALIGN_PX)

    sides = [(up(native_px * a**0.5), up(native_px / a**0.5)) for a in (1.0, 4 / 3, 3 / 4, 2.0, 0.5)]
    return tuple(dict.fromkeys(sides))
