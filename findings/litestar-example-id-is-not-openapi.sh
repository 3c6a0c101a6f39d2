#!/usr/bin/env bash
# Guess:   the fields of litestar.openapi.spec.Example are those of OpenAPI's Example Object, so what they make is a valid document.
# Happens: Example has a field `id` that OpenAPI does not know. It is needed (it becomes the example's name) and is written into the
#          document as well, which makes every example invalid.
# Matters: validators (Spectral, Redocly, openapi-spec-validator) report an error for each example, hundreds in a real API, and strict
#          generators refuse the document.
. "$(dirname "$0")/lib/setup"
pip_install litestar==2.25.0 openapi-spec-validator==0.7.2
cat > run.py <<'PY'
from typing import Annotated

from litestar import Litestar, get
from litestar.openapi.spec import Example
from litestar.params import Parameter
from openapi_spec_validator import OpenAPIV31SpecValidator


@get("/hello", sync_to_thread=False)
def hello(name: Annotated[str, Parameter(examples=[Example(id="short", summary="A short one", value="Bob")])]) -> str:
    return name


document = Litestar([hello]).openapi_schema.to_schema()
print(document["paths"]["/hello"]["get"]["parameters"][0]["examples"])
print(any("'id' was unexpected" in error.message for error in OpenAPIV31SpecValidator(document).iter_errors()))
PY
"$python" run.py | expect "{'short': {'id': 'short', 'summary': 'A short one', 'value': 'Bob'}}
True"
