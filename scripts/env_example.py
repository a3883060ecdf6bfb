"""Write the services' part of .env.example from their settings, so that every one is there, explained.

python scripts/env_example.py            write it
python scripts/env_example.py --check    fail if it is not what the settings give
"""

import ast
import inspect
import math
import os
import sys
import textwrap
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from panolink.rpc.server.settings import ObservingSettings
from panolink.services.channel.settings import ChannelSettings
from panolink.services.receiver.settings import ReceiverSettings
from panolink.services.transmitter.settings import TransmitterSettings
from panolink.services.viewer.settings import ViewerSettings

FILE = Path(__file__).parents[1] / ".env.example"
MARKER = "scripts/env_example.py"
KINDS: tuple[type[BaseSettings], ...] = (
    *(ObservingSettings, TransmitterSettings, ChannelSettings, ReceiverSettings, ViewerSettings),
)

FIXED = {
    *("listen", "metrics_listen", "target", "save_folder", "insecure", "credentials"),
    "cores_share",
    *("transmitter", "channel", "receiver", "supervised"),
}
"""Set by the compose files, where a container is asked for nothing else."""

DEFAULTS = {"workers": ("", "unset: one for each core")}
"""Of settings whose default is another one on another machine."""

INTRODUCTION = """\
Each is for the service in its name. LISTEN, METRICS_LISTEN, TARGET and SAVE_FOLDER are set by the compose files, and
TLS and the token by compose.tls.yaml and compose.token.yaml. Files are files inside the container.
"""


def explanations(kind: type) -> dict[str, str]:
    """What stands below each field of a class and of its bases."""
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        if cls.__module__.partition(".")[0] not in ("panolink", "services"):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(field.target, ast.Name):
                assert isinstance(below.value, ast.Constant)
                found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def allowed(field: FieldInfo) -> str:
    """The values that a field takes, where its type tells."""
    annotation: Any = field.annotation
    bounds = {name: value for item in field.metadata for name, value in vars_of(item).items()}
    while get_origin(annotation) in (Annotated, Union, UnionType):
        if get_origin(annotation) is Annotated:
            bounds |= {name: value for item in annotation.__metadata__ for name, value in vars_of(item).items()}
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return "one of " + ", ".join(annotation)
    if annotation is bool:
        return "0 or 1"
    ends = [
        next((word + number(bounds[name]) for name, word in sides if name in bounds), "")
        for sides in ((("ge", ""), ("gt", "above ")), (("le", ""), ("lt", "below ")))
    ]
    return " … ".join(end for end in ends if end)


def vars_of(metadata: Any) -> dict[str, Any]:
    """Bounds in an annotation: `Field(ge=1)` holds some, and each is an object by itself elsewhere."""
    inner = getattr(metadata, "metadata", [metadata])
    return {n: getattr(item, n) for item in inner for n in ("ge", "gt", "le", "lt") if hasattr(item, n)}


def number(value: float) -> str:
    if isinstance(value, int) and value >= 1 << 20 and math.log2(value).is_integer():
        return f"2^{int(math.log2(value))}"
    return f"{value:g}"


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(value) if isinstance(value, tuple) else str(value)


def services_part() -> str:
    """One paragraph a setting; those of several services that mean the same are one paragraph."""
    paragraphs: dict[str, list[str]] = {}
    for kind in KINDS:
        told, prefix = explanations(kind), kind.model_config.get("env_prefix", "")
        for name, field in kind.model_fields.items():
            if name in FIXED:
                continue
            default, note = DEFAULTS.get(name, (text_of(field.default), ""))
            notes = "; ".join(part for part in (allowed(field), note) if part)
            explained = told[name] + (f" ({notes})" if notes else "")
            paragraphs.setdefault(explained, []).append(f"#{(prefix + name).upper()}={default}")
    blocks = [INTRODUCTION.strip(), *paragraphs]
    lines = ["\n".join(f"# {line}" for line in textwrap.wrap(block, 118)) for block in blocks]
    values = [[], *paragraphs.values()]
    return "\n\n".join("\n".join([line, *mine]) for line, mine in zip(lines, values, strict=True)) + "\n"


def whole() -> str:
    """The file as it should be: what people wrote, up to the marker's line, and what follows from the settings."""
    head, marker, rest = FILE.read_text().partition(MARKER)
    return head + marker + rest.partition("\n")[0] + "\n\n" + services_part()


def main() -> int:
    wanted = whole()
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text() != wanted:
            print(f"{FILE.name} is not what the settings give: run {MARKER}", file=sys.stderr)
            return 1
        return 0
    FILE.write_text(wanted)
    return 0


if __name__ == "__main__":
    for variable in [name for name in os.environ if name.startswith("PANOLINK_")]:
        del os.environ[variable]
    raise SystemExit(main())
