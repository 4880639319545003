"""What a promised API has and ours has not, or has otherwise."""

from collections.abc import Iterator

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    is_introspection_type,
    is_specified_scalar_type,
    print_ast,
)


def differences(promised: GraphQLSchema, ours: GraphQLSchema) -> list[str]:
    """Return one line for everything promised that ours lacks, or has with another meaning.

    Both are made of SDL. Ours may have more: types, fields, and what a client may leave out.
    """
    wanted = dict(_parts(promised))
    found = dict(_parts(ours))
    lacking = [
        f"{name}: {found.get(name, 'nothing')} instead of {what}"
        for name, what in wanted.items()
        if found.get(name) != what
    ]
    unexpected = [
        f"{name}: {what}, which was not promised"
        for name, what in found.items()
        if name not in wanted and _owner(name) in wanted and _must_be_known(what)
    ]
    return sorted(lacking + unexpected)


def _parts(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Yield the names of all parts and what they are: ("Task.logs(page)", "argument Int! = 1")."""
    for type_ in schema.type_map.values():
        if not is_introspection_type(type_) and not is_specified_scalar_type(type_):
            yield type_.name, type(type_).__name__
            yield from _parts_of(type_)


def _parts_of(type_: GraphQLNamedType) -> Iterator[tuple[str, str]]:
    match type_:
        case GraphQLObjectType():
            for name, field in type_.fields.items():
                yield f"{type_.name}.{name}", f"field {field.type}"
                for argument, value in field.args.items():
                    yield f"{type_.name}.{name}({argument})", f"argument {_value(value)}"
        case GraphQLInputObjectType():
            for name, input_field in type_.fields.items():
                yield f"{type_.name}.{name}", f"input {_value(input_field)}"
        case GraphQLEnumType():
            for name in type_.values:
                yield f"{type_.name}.{name}", "value"


def _value(value: GraphQLArgument | GraphQLInputField) -> str:
    literal = value.default.literal if value.default else None
    return f"{value.type} = {print_ast(literal)}" if literal else str(value.type)


def _must_be_known(what: str) -> bool:
    """Return whether a client would be wrong without this: a value, or what has to be given."""
    return what == "value" or (what.startswith(("argument", "input")) and what.endswith("!"))


def _owner(name: str) -> str:
    """Return the field of an argument, or the type of a field."""
    field, is_argument, _ = name.partition("(")
    return field if is_argument else name.partition(".")[0]
