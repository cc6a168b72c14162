"""What a kernel family defines is known in its folder, in the list of families and in the engine's
list of includes, and nowhere else; what all families share is small, and each part of it is read by
several.

Comments and docstrings may name whatever they explain. `_plan/tuning.py` is data: the names of its
fields say what was measured.
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "gconv"
FAMILIES = PACKAGE / "_families"
LISTS = (FAMILIES / "__init__.py", PACKAGE / "_engine" / "engine.pxi")
DATA = PACKAGE / "_plan" / "tuning.py"
FOLDERS = sorted(path.parent for path in FAMILIES.glob("*/family.py"))
# Names of families that are ordinary words of convolution as well. Alone, as identifiers, they
# mean these; strings that hold nothing else name the family.
ORDINARY = {"channel", "channels_last", "plain", "short", "transposed", "width"}

WORD = re.compile(r"[A-Za-z_]\w*")


def family_of(path):
    """The family whose folder a file is in; None for shared code."""
    return path.relative_to(FAMILIES).parts[0] if FAMILIES in path.parents else None


def files(*endings):
    """The package's sources, the lists and the tuning records left out."""
    return [
        path for path in sorted(PACKAGE.rglob("*"))
        if path.suffix in endings and path not in (*LISTS, DATA)
        and "_bench" not in path.relative_to(PACKAGE).parts
    ]


# ---- Python ------------------------------------------------------------------------------------


def docstrings(tree):
    """The constants that are docstrings."""
    found = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            found |= {
                id(line.value) for line in body
                if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
            }
    return found


def members(tree):
    """What others could know of a module: its classes, functions and constants, and the methods
    and attributes of its classes."""
    found = set()
    for outer in (tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))):
        for node in outer.body:
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    found.add(name)
                case ast.Assign(targets=targets):
                    found |= {name.id for one in targets for name in ast.walk(one)
                              if isinstance(name, ast.Name)}
                case ast.AnnAssign(target=ast.Name(id=name)):
                    found.add(name)
    return found | {
        node.attr for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


def python_names(tree):
    """(identifiers that a module binds, attributes that it sets included; attributes that it uses,
    and names that it does not bind; its strings), docstrings left out."""
    bound, free, used, strings = set(), set(), set(), set()
    skipped = docstrings(tree)
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                bound.add(node.name)
            case ast.arg():
                bound.add(node.arg)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                bound.add(name)
            case ast.Name(id=name):
                free.add(name)
            case ast.Attribute(attr=name):
                used.add(name)
            case ast.ImportFrom():
                used |= {alias.name for alias in node.names}
                used |= set((node.module or "").split("."))
            case ast.Import():
                used |= {part for alias in node.names for part in alias.name.split(".")}
            case ast.keyword():
                used.add(node.arg)
            case ast.Constant(value=str(text)) if id(node) not in skipped:
                strings.add(text)
    return bound, (used | (free - bound)) - {None}, strings


# ---- Cython ------------------------------------------------------------------------------------

DEFINITION = re.compile(
    r"^\s*(?:cdef|cpdef|ctypedef|cimport|DEF)\b(?P<rest>.*)$"
    r"|^def (?P<function>\w+)|^(?P<variable>\w+) =", re.MULTILINE)


def cython_code(text):
    """Source without comments and docstrings, each statement that goes on in one line."""
    text = re.sub(r'"""(?:[^"\\]|\\.|"(?!""))*"""', "", text)
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"#[^\n]*", "", text)
    return re.sub(r",\s*\n\s*|\(\s*\n\s*", lambda m: m.group()[0] + " ", text)


def cython_defines(code):
    """Functions, structs, enums with their members, tables and constants at the top level."""
    found = set()
    for line, inside in statements(code):
        if inside == "enum":
            found |= {part.split("=")[0].strip() for part in line.split(",")} - {""}
        elif not line.startswith(" "):
            match = re.match(r"(?:cdef|ctypedef)\s+(?:inline\s+)?(.*)", line)
            if match:
                rest = re.sub(r"^(?:struct|enum|class)\s+", "", match[1])
                name = re.match(r"(?:[\w\s*]*?\(\*\s*)?(?:.*?[\s*])?(\w+)\s*(?:[\[(:=,].*)?$", rest)
                head = re.split(r"[\[(:=,]", rest)[0].split()
                pointer = re.search(r"\(\*\s*(\w+)\)", rest)
                if pointer:
                    found.add(pointer[1])
                elif head:
                    found.add(head[-1].strip("*"))
                elif name:
                    found.add(name[1])
            elif variable := re.match(r"(\w+) =", line):
                found.add(variable[1])
    return {name for name in found if name.isidentifier()} - {"enum", "struct"}


def statements(code):
    """(line, the kind of block that it stands in), block heads included."""
    inside = None
    for line in code.splitlines():
        if not line.strip():
            continue
        if not line.startswith(" "):
            inside = "enum" if re.match(r"(?:cdef|ctypedef)\s+enum\b", line) else None
            yield line, None
        else:
            yield line, inside


def cython_words(code):
    """All identifiers, strings left out, and all strings."""
    strings = set(re.findall(r'"([^"\n]*)"', code))
    return set(WORD.findall(re.sub(r'"[^"\n]*"', " ", code))), strings


class Sources:
    """What every file defines and uses."""

    def __init__(self):
        self.defines, self.uses, self.strings = {}, {}, {}
        for path in files(".py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            bound, self.uses[path], self.strings[path] = python_names(tree)
            shared = family_of(path) is None
            self.defines[path] = bound | {path.stem} if shared else members(tree)
        for path in files(".pxi", ".pyx", ".pxd", ".h"):
            code = cython_code(path.read_text(encoding="utf-8"))
            self.defines[path] = cython_defines(code)
            self.uses[path], self.strings[path] = cython_words(code)

    def of(self, folder, what, *endings):
        """All that a family's files define or use; of None, all that shared files do."""
        return set().union(*(
            names for path, names in what.items()
            if family_of(path) == folder and path.suffix in endings))


@pytest.fixture(scope="module")
def sources():
    return Sources()


def interface():
    """The names of families, and of the kinds of their tiles."""
    from gconv._families import FAMILIES as families

    return {family.name: set(getattr(family, "words", {})) - {""} for family in families}


def test_the_folders_are_those_of_the_list():
    assert {folder.name for folder in FOLDERS} == set(interface())


PYTHON, CYTHON = (".py",), (".pxi", ".pyx", ".pxd", ".h")


@pytest.mark.parametrize("folder", [folder.name for folder in FOLDERS])
@pytest.mark.parametrize("endings", [PYTHON, CYTHON], ids=["python", "cython"])
def test_what_a_family_defines_is_used_in_its_folder_alone(folder, endings, sources):
    """A name that shared code, or the other folder, defines for itself is its own."""
    shared = sources.of(None, sources.defines, *endings)
    own = sources.of(folder, sources.defines, *endings) - shared
    assert own or endings == CYTHON  # the search finds something to look for
    found = {}
    for path, used in sources.uses.items():
        other = family_of(path)
        if other == folder or path.suffix not in endings:
            continue
        theirs = set() if other is None else sources.of(other, sources.defines, *endings)
        known = {name for name in used & own - theirs if not is_local(path, name)}
        if known:
            found[str(path.relative_to(PACKAGE))] = sorted(known)
    assert found == {}


def is_local(path, name):
    """Whether a Cython file has a variable, a parameter or a field of this name, which then is not
    the family's function, struct or constant."""
    if path.suffix == ".py":
        return False
    code = cython_code(path.read_text(encoding="utf-8"))
    declared = rf"(?:[\w\]*>]\s*[\s*]|,\s*){name}\s*(?:[,=):\[]|$)"
    return bool(re.search(declared, code, re.MULTILINE)) and not re.search(
        rf"\b{name}\s*\(", code)


@pytest.mark.parametrize("folder", sorted({folder.name for folder in FOLDERS} - ORDINARY))
def test_no_identifier_elsewhere_speaks_of_a_family(folder, sources):
    """So a flag that stands for a family would have to be called something else."""
    found = {}
    for path in sources.uses:
        if family_of(path) is None:
            names = sources.uses[path] | sources.defines[path]
            speaking = {name for name in names if folder in name.lower()}
            if speaking:
                found[str(path.relative_to(PACKAGE))] = sorted(speaking)
    assert found == {}


@pytest.mark.parametrize("folder", [folder.name for folder in FOLDERS])
def test_no_string_elsewhere_names_a_family_or_a_kind_of_its_tiles(folder, sources):
    from gconv._plan.problem import Problem
    from gconv._plan.record import EPILOGUE, PROBLEM, SCRATCH, SOURCE, WORK

    fields = set(Problem.__annotations__).union(
        *(record.names for record in (PROBLEM, WORK, SOURCE, EPILOGUE, SCRATCH)))
    names = ({folder} | interface()[folder]) - fields
    found = {}
    for path, strings in sources.strings.items():
        if family_of(path) != folder and strings & names:
            found[str(path.relative_to(PACKAGE))] = sorted(strings & names)
    assert found == {}


# ---- the shared part of the plan ---------------------------------------------------------------


def plan_structs():
    """{struct: its fields} of plan.pxd, in order."""
    code = cython_code((PACKAGE / "_engine" / "plan.pxd").read_text(encoding="utf-8"))
    structs, fields = {}, None
    for line, _ in statements(code):
        if not line.startswith(" "):
            head = re.match(r"cdef struct (\w+):", line)
            fields = structs.setdefault(head[1], {}) if head else None
        elif fields is not None:
            kind, *names = re.split(r",\s*|(?<=[\w*])\s+(?=\w+(?:\[\d\])*(?:,|$))", line.strip())
            for name in names:
                fields[re.sub(r"\[.*", "", name)] = kind
    return structs


PARTS = {"problem": "ProblemPlan", "work": "WorkPlan", "source": "SourcePlan",
         "epilogue": "EpiloguePlan", "scratch": "ScratchPlan"}


def test_the_shared_part_of_a_plan_is_small():
    """A field is a leaf; three numbers, one for each axis, are one."""
    structs = plan_structs()
    assert set(PARTS) <= set(structs["ConvPlan"])
    leaves = [field for field in structs["ConvPlan"] if field not in PARTS]
    for part, struct in PARTS.items():
        leaves += structs[struct] if part != "source" else []
    assert 40 < len(leaves) <= 50
    assert 10 < len(structs["SourcePlan"]) <= 16


def test_each_shared_field_is_read_by_two_families_or_by_the_engine(sources):
    structs = plan_structs()
    readers = defaultdict(set)
    for path in (*files(*CYTHON), PACKAGE / "_engine" / "engine.pxi"):
        if path.name == "plan.pxd":
            continue
        code = cython_code(path.read_text(encoding="utf-8"))
        for part, struct in PARTS.items():
            through = "|".join([rf"\b{part}", *pointers(code, struct)])
            for field in re.findall(rf"(?:{through})(?:\[0\])?\.(\w+)", code):
                readers[part, field].add(family_of(path))
        for field in re.findall(r"\b(?:p|plan|inner|part)\.(\w+)", code):
            readers[None, field].add(family_of(path))
    assert readers
    few = []
    for part, struct in (*PARTS.items(), (None, "ConvPlan")):
        for field in structs[struct]:
            known = readers[part, field]
            if field not in PARTS and None not in known and len(known) < 2:
                few.append(f"{struct}.{field}")
    assert few == []


def pointers(code, struct):
    """The variables of a file that point to a part of a plan."""
    return {rf"\b{name}" for name in re.findall(rf"\b{struct}\s*\*\s*(\w+)", code)}
