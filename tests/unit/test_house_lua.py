"""The house rules of the Lua files, as code."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources.abc import Traversable

import pytest

from celery_inbox.store.scripts import LUA, SLOT, USES, script

MOVES = sorted(path.name.removesuffix(".lua") for path in LUA.iterdir() if path.name.endswith(".lua"))
INCLUDES = sorted(path.name.removesuffix(".lua") for path in (LUA / "include").iterdir())
FILES = [*MOVES, *(f"include/{name}" for name in INCLUDES)]

TOKEN = re.compile(r"--[^\n]*|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[A-Za-z_]\w*|\d+(?:\.\d+)?|\.\.\.|\.\.|[=~<>]=|\S")
WORD = re.compile(r"[A-Za-z_]\w*")
KEYWORDS = {
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
}  # fmt: skip
PROVIDED = {
    "KEYS", "ARGV", "redis", "string", "table", "math", "tonumber", "tostring", "type", "ipairs", "pairs", "error",
}  # fmt: skip

CUTS = {"':dead-info:'"}
"""Where a key is cut apart, not built."""

every_file = pytest.mark.parametrize("name", FILES)
every_move = pytest.mark.parametrize("name", MOVES)


@cache
def source(name: str) -> str:
    path: Traversable = LUA / f"{name}.lua"
    return path.read_text()


def tokens(text: str) -> list[str]:
    """Words and signs, without comments; a text literal is one token."""
    return [token for token in TOKEN.findall(text) if not token.startswith("--")]


def names(text: str) -> tuple[list[tuple[int, str]], dict[str, int]]:
    """Variables that a text uses, with their place, and the place where each is first defined.

    Scopes are flattened: a name is defined from its first ``local``, parameter or loop variable on.
    """
    words = tokens(text)
    used: list[tuple[int, str]] = []
    defined: dict[str, int] = {}
    braces, place = 0, 0
    while place < len(words):
        word, before, after = words[place], words[place - 1] if place else "", (words[place + 1 : place + 2] or [""])[0]
        braces += (word == "{") - (word == "}")
        if word in ("local", "for"):
            start = place
            place += 2 if after == "function" else 1
            while WORD.fullmatch(words[place]) and words[place] not in KEYWORDS:
                # A local function is known in its own body, a local variable after its statement; good enough.
                defined.setdefault(words[place], place)
                if words[place + 1] != "," or words[start + 1] == "function":
                    break
                place += 2
            place += 1
            if words[start + 1] == "function":
                continue
        elif word == "(" and (before == "function" or (place > 1 and words[place - 2] == "function")):
            place += 1
            while words[place] != ")":
                if WORD.fullmatch(words[place]):
                    defined.setdefault(words[place], place)
                place += 1
        elif WORD.fullmatch(word) and word not in KEYWORDS and before not in (".", ":", "function"):
            if not (braces and after == "=" and before in ("{", ",", ";")):
                used.append((place, word))
            place += 1
        else:
            place += 1
    return used, defined


def undefined(text: str) -> set[str]:
    """Names that are used before they are defined."""
    used, defined = names(text)
    return {word for place, word in used if word not in PROVIDED and defined.get(word, place + 1) > place}


def uses(name: str) -> list[str]:
    found = USES.search(source(name))
    return found[1].split(", ") if found else []


@every_file
def test_a_file_begins_with_one_sentence(name: str) -> None:
    """What it does, from the capital letter to the full stop."""
    head = []
    for line in source(name).splitlines():
        if not line.startswith("-- ") or line.startswith(("-- Reply:", "-- Uses:")):
            break
        head.append(line[3:])
    sentence = " ".join(head)
    assert re.fullmatch(r"[A-Z].*\.", sentence), sentence
    assert not re.search(r"\.\s+[A-Z]", sentence), f"more than one sentence: {sentence}"


@every_move
def test_a_move_states_its_reply(name: str) -> None:
    """A script has no types."""
    assert re.search(r"^-- Reply: \S.*", source(name), re.MULTILINE)


@every_move
def test_the_slots_of_a_move_are_named_and_counted(name: str) -> None:
    """KEYS[1], then ARGV[1] to ARGV[n], each on a line of its own, in order, and used after it."""
    text = source(name)
    slots = [(match[1], match[2], int(match[3]), line) for line in text.splitlines() if (match := SLOT.match(line))]
    assert [number for _, array, number, _ in slots if array == "KEYS"][:1] == [1]
    numbers = list(dict.fromkeys(number for _, array, number, _ in slots if array == "ARGV"))
    assert numbers == list(range(1, len(numbers) + 1))
    assert script(name).names == tuple(slot for slot, array, _, _ in slots if array == "ARGV")
    for slot, _, _, line in slots:
        rest = text[text.index(line) + len(line) :]
        assert re.search(rf"\b{slot}\b", rest), f"{slot} is never used"


@every_move
def test_the_slots_stand_on_top(name: str) -> None:
    """KEYS and numbered ARGV appear in the signature only; more than one key, nowhere."""
    lines = [line for line in source(name).splitlines() if not line.lstrip().startswith("--")]
    signature = [i for i, line in enumerate(lines) if SLOT.match(line) and (i == 0 or "ARGV" in line)]
    assert signature == list(range(len(signature)))
    body = "".join(tokens("\n".join(lines[len(signature) :])))
    assert not re.search(r"ARGV\[\d", body)
    assert set(re.findall(r"KEYS\[(\d+)\]", source(name))) == {"1"}


@every_move
def test_a_move_names_what_it_uses_in_an_order_that_loads(name: str) -> None:
    """Nothing is used before its definition, in the script as it is sent."""
    assert undefined(script(name).text) == set()


@every_move
def test_a_move_uses_all_that_it_names(name: str) -> None:
    """Without any one of its includes it would not load."""
    for spare in uses(name):
        rest = "".join(source(f"include/{other}") for other in uses(name) if other != spare) + source(name)
        assert undefined(rest), f"{spare} is not needed"


@every_move
def test_a_move_names_includes_that_exist(name: str) -> None:
    """Each once."""
    assert len(uses(name)) == len(set(uses(name)))
    assert set(uses(name)) <= set(INCLUDES)


def test_every_include_is_used() -> None:
    """By some move."""
    assert {include for name in MOVES for include in uses(name)} == set(INCLUDES)


@pytest.mark.parametrize("name", INCLUDES)
def test_an_include_is_pure(name: str) -> None:
    """It sees what it is given: no KEYS, no ARGV, nothing done at load."""
    found = tokens(source(f"include/{name}"))
    assert not {"KEYS", "ARGV"} & set(found)
    top = [line for line in source(f"include/{name}").splitlines() if line and not line.startswith((" ", "--"))]
    assert all(line.startswith(("local ", "end", "}")) for line in top), top


@every_move
def test_a_script_makes_no_globals(name: str) -> None:
    """Redis would refuse them at run time, on a path that no test may take."""
    text = script(name).text
    words = tokens(text)
    _, defined = names(text)
    braces = 0
    for place, word in enumerate(words):
        braces += (word == "{") - (word == "}")
        assert not (word == "function" and words[place - 1] != "local" and WORD.fullmatch(words[place + 1]))
        if word == "=" and not braces:
            target = words[place - 1]
            assert target == "]" or words[place - 2] == "." or target in defined, f"{target} is a global"


@every_file
def test_no_unpack_no_json_no_redis_newer_than_six(name: str) -> None:
    """Section 10."""
    found = set(tokens(source(name)))
    assert not found & {"unpack", "cjson", "cmsgpack", "loadstring", "pcall", "require", "setmetatable", "_G"}
    assert not re.search(r"'(?i:KEYS|FUNCTION|FCALL|EXPIRETIME|LMPOP|ZMPOP|HEXPIRE|SCAN|HSCAN)'", source(name))


@every_file
def test_only_one_file_builds_keys(name: str) -> None:
    """No other joins text with a colon."""
    if name != "include/keys":
        literals = [token for token in tokens(source(name)) if token[0] in "'\""]
        assert [token for token in literals if re.search(r":(?! )", token) and token not in CUTS] == []


@every_file
def test_every_time_and_size_has_its_unit(name: str) -> None:
    """A slot that is a number of something says of what, or its name does."""
    for line in source(name).splitlines():
        if (match := SLOT.match(line)) and "tonumber" in line and "--" not in line:
            assert re.match(r"max_|min_", match[1]), f"{line}: of what?"


@every_move
def test_wrong_keywords_are_told_the_slots(name: str) -> None:
    """Missing, unknown, none: the error lists what the script has and what was given."""
    move = script(name)
    right = {slot: number for number, slot in enumerate(move.names)}
    assert move.arguments(**right) == list(range(len(move.names)))
    with pytest.raises(TypeError, match=name) as refused:
        move.arguments(**right, nonsense=1)
    assert ", ".join(move.names) in str(refused.value)
    assert "nonsense" in str(refused.value)
    if right:
        right.popitem()
        with pytest.raises(TypeError, match=name):
            move.arguments(**right)


def test_a_script_is_read_once() -> None:
    """A send does not read files."""
    assert script("send") is script("send")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("local a = 1\nreturn a", set()),
        ("return b", {"b"}),
        ("local function f(x) return x end\nreturn f(y)", {"y"}),
        ("f()\nlocal function f() end", {"f"}),
        ("for i, v in ipairs(t) do g(i, v) end", {"t", "g"}),
        ("local t = { key = 1, other = z }\nreturn t.key", {"z"}),
        ("x = 1", {"x"}),
        ("-- nothing here\nreturn 'nor here'", set()),
    ],
)
def test_the_scan_finds_what_is_undefined(text: str, missing: set[str]) -> None:
    """A check that never fails checks nothing."""
    assert undefined(text) == missing
