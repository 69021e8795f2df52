"""What the OpenAPI document says beyond the views: how to sign in, and the answers every call may give."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension

ERROR = {"$ref": "#/components/schemas/Error"}
SHAPES: dict[str, Any] = {
    "ErrorBody": {
        "type": "object",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {
                "type": "string",
                "description": "For programs: bad_input, not_found, stale_transition, ...",
            },
            "message": {"type": "string", "description": "For people."},
            "details": {"type": "object", "additionalProperties": {}},
        },
    },
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"$ref": "#/components/schemas/ErrorBody"}},
    },
}
MEANINGS = {
    "400": "The request is wrong; `details.where` names the place.",
    "401": "Not signed in.",
    "403": "Your role may not do this.",
    "404": "Unknown, or not yours.",
    "409": "The state does not admit it.",
    "413": "More than we take in one go.",
}
EVERY_CALL, WITH_BODY = ("400", "401", "403", "404"), ("409", "413")


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token from `bin/manage create_token NAME`.",
        }


class TextShape(OpenApiSerializerFieldExtension):
    """Text that may not be blank has a character in it."""

    target_class = "api.serializers.Text"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return {"type": "string", **({} if self.target.allow_blank else {"minLength": 1})}


def document_errors(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Postprocessing hook: every operation may answer 400, 401, 403, 404; those that write also 409 and 413."""
    result.setdefault("components", {}).setdefault("schemas", {}).update(SHAPES)
    for methods in result["paths"].values():
        for method, operation in methods.items():
            for status in EVERY_CALL + (() if method == "get" else WITH_BODY):
                operation["responses"].setdefault(status, _answer(status))
    return result


def _answer(status: str) -> dict[str, Any]:
    return {"description": MEANINGS[status], "content": {"application/json": {"schema": ERROR}}}
