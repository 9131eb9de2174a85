"""Keywords that are the fields of a configuration."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def takes_options(config: type, *, leave_out: Sequence[str] = ()) -> Callable[[Function], Function]:
    """Returns a decorator that shows the fields of a configuration in the signature, in place of **options.

    So help() and the completion of notebooks know them, and they are written down once.
    """

    def decorate(function: Function) -> Function:
        own = inspect.signature(function)
        parameters = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        taken = {*own.parameters, *leave_out}
        for field in dataclasses.fields(config):
            if field.name not in taken:
                default = field.default_factory() if callable(field.default_factory) else field.default
                kind = inspect.Parameter.KEYWORD_ONLY
                parameters.append(inspect.Parameter(field.name, kind, default=default, annotation=field.type))
        function.__signature__ = own.replace(parameters=parameters)  # pyright: ignore[reportFunctionMemberAccess]
        return function

    return decorate
