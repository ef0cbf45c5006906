"""Says whether a document is valid, by tools that this project did not write.

    validate.py FORM FILE [SCHEMA]

FORM is `cyclonedx`, `spdx` or `sarif`. Exit code 0: valid; 1: not, and why on standard output.
"""

import json
import sys


def cyclonedx(path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    with open(path, encoding="utf-8") as file:
        wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
    return [] if wrong is None else [str(wrong)]


def spdx(path):
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    document = parse_file(path)
    return [one.validation_message for one in validate_full_spdx_document(document, "SPDX-2.3")]


def sarif(path, schema):
    from jsonschema import Draft7Validator

    with open(schema, encoding="utf-8") as file:
        validator = Draft7Validator(json.load(file), format_checker=Draft7Validator.FORMAT_CHECKER)
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    return [f"{one.json_path}: {one.message}" for one in validator.iter_errors(document)]


def main():
    form, *args = sys.argv[1:]
    try:
        wrong = {"cyclonedx": cyclonedx, "spdx": spdx, "sarif": sarif}[form](*args)
    except ImportError:
        raise
    except Exception as error:  # What a parser can't take is not valid either.
        wrong = [f"{type(error).__name__}: {error}"]
    for one in wrong[:20]:
        print(one[:1000])
    sys.exit(1 if wrong else 0)


main()
