"""Finds the commands and the Python examples that README.md and the other pages show."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "synth_heads/README.md",
         *sorted(ROOT.glob("synth_heads/docs/*.md")), ROOT / "environment/README.md",
         ROOT / "pretrained_models/README.md", *sorted(ROOT.glob("data/*/*/README.md"))]
_SCRIPT = re.compile(r"(synth_heads/)?scripts/[\w/]+\.(py|sbatch)")
_BATCH_SCRIPT = "scripts/slurm/train.sbatch"  # hands what follows its folder on to train3d.py


@dataclass(frozen=True)
class Command:
    """A call of one of the project's scripts, e.g. by `python`, `torchrun` or `sbatch`."""

    page: str                   # relative to the repository
    script: str                 # file name in scripts/ or synth_heads/scripts/
    arguments: tuple[str, ...]

    @property
    def module(self) -> str:
        room = "scripts" if (ROOT / "scripts" / self.script).is_file() else "synth_heads.scripts"
        return f"{room}.{Path(self.script).with_suffix('').as_posix().replace('/', '.')}"

    def __str__(self) -> str:
        return f"{Path(self.page).stem}: {self.script} {' '.join(self.arguments)}"


def commands_of(page: Path) -> list[Command]:
    """All calls on a page in their order: in fenced or indented blocks, and in the text between backticks."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"^ {4}((?:python|torchrun|sbatch) .*)$", outside, re.MULTILINE)
    quoted = re.findall(r"`((?:python|torchrun|sbatch) [^`]*)`", re.sub(r"\s*\n\s*", " ", outside))
    variables = dict(re.findall(r'^(\w+)="([^"]*)"', blocks, re.MULTILINE))
    lines = [*blocks.replace("\\\n", " ").splitlines(), *indented, *quoted]
    calls = []
    for part in (part for line in lines for part in line.split("&&")):
        part = re.sub(r"\$\{?(\w+)\}?", lambda match: variables.get(match[1], match[0]), part)
        try:
            words = shlex.split(part, comments=True)
        except ValueError:  # a line inside quotation marks that span several
            continue
        at = next((i for i, word in enumerate(words) if _SCRIPT.fullmatch(word)), None)
        if not at or words[0] not in ("python", "torchrun", "sbatch"):
            continue
        script, arguments = words[at], [word for word in words[at + 1:] if word != "..."]
        if script == _BATCH_SCRIPT:
            script, arguments = "scripts/train3d.py", [f"--exp_dir={arguments[0]}", *arguments[1:]]
        name = script.removeprefix("synth_heads/").removeprefix("scripts/")
        calls.append(Command(str(page.relative_to(ROOT)), name, tuple(arguments)))
    return calls


def all_commands() -> list[Command]:
    """The calls of all pages, each once; those for help, which every parser gives by itself, are left out."""
    calls = {}
    for page in PAGES:
        for call in commands_of(page):
            if "--help" not in call.arguments:
                calls.setdefault((call.script, call.arguments), call)
    return list(calls.values())


def python_examples(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
