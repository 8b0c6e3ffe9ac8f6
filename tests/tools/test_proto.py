# SPDX-License-Identifier: Apache-2.0
"""proto/sentinel/v1 by the rules it follows (buf's STANDARD and COMMENTS, AIP names), and stable: what stands in
api_v1.txt stays, with its number and type. `buf lint` and `buf breaking` say the same where buf is installed.

    tests/tools/test_proto.py --rewrite     after something was added
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from google.protobuf import descriptor_pb2 as pb

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEPT = pathlib.Path(__file__).with_name("api_v1.txt")
SNAKE, CAMEL, UPPER = r"[a-z][a-z0-9]*(_[a-z0-9]+)*", r"([A-Z][a-z0-9]*)+", r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*"


def load():
    """The files of sentinel.v1, with their comments."""
    names = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto/sentinel/v1").glob("*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", "-I", str(ROOT / "proto"), "--include_source_info", "-o", out.name, *names], check=True)
        return pb.FileDescriptorSet.FromString(out.read()).file


FILES = load() if shutil.which("protoc") else []


def elements(file):
    """(path in the descriptor, kind, name with its parents, the element itself) of everything that has a comment."""
    def of_enum(path, prefix, enum):
        yield path, "enum", prefix + enum.name, enum
        for i, value in enumerate(enum.value):
            yield path + (2, i), "value", f"{prefix}{enum.name}.{value.name}", value

    def of_message(path, prefix, message):
        yield path, "message", prefix + message.name, message
        for i, field in enumerate(message.field):
            yield path + (2, i), "field", f"{prefix}{message.name}.{field.name}", field
        for i, oneof in enumerate(message.oneof_decl):
            yield path + (8, i), "oneof", f"{prefix}{message.name}.{oneof.name}", oneof
        for i, inner in enumerate(message.nested_type):
            yield from of_message(path + (3, i), f"{prefix}{message.name}.", inner)
        for i, enum in enumerate(message.enum_type):
            yield from of_enum(path + (4, i), f"{prefix}{message.name}.", enum)

    for i, message in enumerate(file.message_type):
        yield from of_message((4, i), "", message)
    for i, enum in enumerate(file.enum_type):
        yield from of_enum((5, i), "", enum)
    for i, service in enumerate(file.service):
        yield (6, i), "service", service.name, service
        for k, method in enumerate(service.method):
            yield (6, i, 2, k), "rpc", f"{service.name}.{method.name}", method


def signature(kind, name, element):
    """One line that may never change."""
    if kind == "field":
        repeated = "repeated " if element.label == element.LABEL_REPEATED else ""
        named = element.type_name or pb.FieldDescriptorProto.Type.Name(element.type)[5:].lower()
        return f"field {name} = {element.number}: {repeated}{named}"
    if kind == "value":
        return f"value {name} = {element.number}"
    if kind == "rpc":
        asks, answers = ("stream " * s for s in (element.client_streaming, element.server_streaming))
        return f"rpc {name}({asks}{element.input_type}) returns ({answers}{element.output_type})"
    return None


def signatures():
    return sorted(line for file in FILES for _, *element in elements(file) if (line := signature(*element)))


@unittest.skipUnless(FILES, "protoc reads the files")
class Proto(unittest.TestCase):
    def test_everything_has_a_comment(self):
        for file in FILES:
            commented = {tuple(place.path) for place in file.source_code_info.location if place.leading_comments.strip()}
            for path, kind, name, _ in elements(file):
                self.assertIn(path, commented, f"{kind} {name} of {file.name} has no comment")

    def test_names(self):
        for file in FILES:
            self.assertEqual(file.package, "sentinel.v1")
            for _, kind, name, element in elements(file):
                last = name.rsplit(".", 1)[-1]
                rule = {"field": SNAKE, "oneof": SNAKE, "value": UPPER}.get(kind, CAMEL)
                self.assertRegex(last, f"^{rule}$", f"{kind} {name}")
                if kind == "enum":
                    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).upper() + "_"
                    self.assertEqual((element.value[0].name, element.value[0].number), (prefix + "UNSPECIFIED", 0))
                    for value in element.value:
                        self.assertTrue(value.name.startswith(prefix), f"{value.name} wants the prefix {prefix}")

    def test_services(self):
        used = []
        for file in FILES:
            for service in file.service:
                self.assertTrue(service.name.endswith("Service"), service.name)
                for method in service.method:
                    expected = [f".sentinel.v1.{method.name}{suffix}" for suffix in ("Request", "Response")]
                    self.assertEqual([method.input_type, method.output_type], expected)
                    used += expected
                    if method.name.startswith("List") and method.name not in ("ListNodes", "ListMoves", "ListOffsets"):
                        fields = {message.name: {field.name for field in message.field} for message in file.message_type}
                        self.assertLessEqual({"page_size", "page_token"}, fields[method.name + "Request"], method.name)
                        self.assertIn("next_page_token", fields[method.name + "Response"], method.name)
        self.assertEqual(len(used), len(set(used)), "a request or a response of two calls")

    def test_nothing_is_taken_back(self):
        kept, now = KEPT.read_text().splitlines(), signatures()
        self.assertEqual([line for line in kept if line not in now], [], "clients were promised this")
        self.assertEqual([line for line in now if line not in kept], [], "new: tests/tools/test_proto.py --rewrite")

    @unittest.skipUnless(shutil.which("buf"), "buf is not installed")
    def test_buf(self):
        subprocess.run(["buf", "lint"], cwd=ROOT / "proto", check=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--rewrite"]:
        KEPT.write_text("\n".join(signatures()) + "\n")
    else:
        unittest.main()
