"""A shop in Django. `connect` configures Django, so only a test may call it."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from psycopg.conninfo import conninfo_to_dict


def connect(conninfo: str) -> ModuleType:
    """Let Django use a database from now on; return the models."""
    import django
    from django.conf import settings
    from django.db import connection, connections

    if not settings.configured:
        settings.configure(
            INSTALLED_APPS=[__name__],
            DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "none"}},
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
            USE_TZ=True,
        )
        django.setup()
    values: dict[str, Any] = conninfo_to_dict(conninfo)
    connection.close()
    connections["default"].settings_dict.update(
        NAME=values["dbname"],
        USER=values["user"],
        PASSWORD=values["password"],
        HOST=values["host"],
        PORT=values["port"],
    )
    from tests.end_to_end.shop_app import models

    return models
