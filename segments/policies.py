"""Row-level security of PostgreSQL: the rule a second time, inside the database.

Every table of restricted content gets one policy, which shows and accepts the rows that the viewer
of the transaction may see (`row_security.see_as` says who that is). A query that forgot
`visible_to` finds nothing hidden, whoever wrote it. The policies are written from the models'
`audience_…` attributes and share no code with `visible_to`; where a model has a rule of its own, a
provider says it again in SQL. Tables that join others to restricted models follow them.

As with triggers, each name holds a digest of its text: an outdated policy counts as missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from .models import InheritsAudience, Token
from .querysets import has_audience, parent_in_itself

PREFIX = "segments_rls_"
# Settings of the transaction. NULL or empty, as after the transaction that set them: nobody.
WALL, AUDIENCES, GRANTS, PERSON = (
    f"segments.{name}" for name in ("wall", "audiences", "grants", "person")
)
LIFTED = "off"


def setting_of_transaction(name: str, kind: str) -> str:
    """The SQL of a setting. Empty is NULL: an empty text is no number."""
    return f"nullif(current_setting('{name}', true), '')::{kind}"


# Not = ANY: PostgreSQL would compare with one element after the other, here it asks a hash table.
IN_AUDIENCES = f"IN (SELECT unnest({setting_of_transaction(AUDIENCES, 'bigint[]')}))"
IN_GRANTS = f"IN (SELECT unnest({setting_of_transaction(GRANTS, 'bigint[]')}))"
IS_LIFTED = f"(SELECT {setting_of_transaction(WALL, 'text')} = '{LIFTED}')"


def _digest(*texts: str) -> str:
    return PREFIX + hashlib.sha256("|".join(texts).encode()).hexdigest()[:16]


class Policy(NamedTuple):
    """The only policy of a table: which rows are shown, and may be written."""

    table: str
    condition: str

    @property
    def name(self) -> str:
        """Differs as soon as anything about the policy does."""
        return _digest(*self)

    def create(self) -> str:
        """The statement that creates it. Of parallel policies any one opens, so there is one."""
        return (
            f'CREATE POLICY {self.name} ON "{self.table}" USING ({IS_LIFTED} OR {self.condition})'
        )


class Found(NamedTuple):
    """Ids that a function of the database looks up, once in a read-only transaction."""

    kind: str
    # Selects one array; runs with the wall lifted.
    select: str

    @property
    def name(self) -> str:
        """Differs as soon as anything about the function does."""
        return _digest(*self)

    @property
    def ids(self) -> str:
        """The SQL to compare with: `id IN …`."""
        return f"IN (SELECT unnest({self.name}()))"

    def create(self) -> str:
        """The statement that creates the function.

        What was found is kept, together with what it depends on, in a setting of the transaction.
        An error ends the transaction or goes back to a savepoint, and the wall with it.
        """
        return f"""
CREATE OR REPLACE FUNCTION {self.name}() RETURNS {self.kind}[] LANGUAGE plpgsql AS $$
DECLARE
    viewer text := md5(concat_ws('|', current_setting('{AUDIENCES}', true),
                                 current_setting('{GRANTS}', true)));
    known text := current_setting('segments.{self.name}', true);
    outside text := coalesce(current_setting('{WALL}', true), '');
    found {self.kind}[];
BEGIN
    IF starts_with(known, viewer) THEN
        RETURN substr(known, 33)::{self.kind}[];
    END IF;
    PERFORM set_config('{WALL}', '{LIFTED}', true);
    found := coalesce(({self.select}), '{{}}');
    PERFORM set_config('{WALL}', outside, true);
    IF current_setting('transaction_read_only') = 'on' THEN
        PERFORM set_config('segments.{self.name}', viewer || found::text, true);
    END IF;
    RETURN found;
END$$"""


class Policies:
    """All policies of a project, and the functions that they call."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.functions: dict[str, Found] = {}
        self.conditions: dict[str, str] = {}
        tables = set(connection.introspection.table_names())
        for model in protected_models():
            self.conditions[model._meta.db_table] = self.admitted(model)
        for provider in providers:
            self.conditions |= {m._meta.db_table: said for m, said in provider(self)}
        self.conditions |= self._links()
        self.conditions = {t: said for t, said in self.conditions.items() if t in tables}

    @property
    def policies(self) -> dict[str, Policy]:
        """Table -> its policy, for every table that exists."""
        return {table: Policy(table, said) for table, said in self.conditions.items()}

    def find(self, kind: str, select: str) -> str:
        """The SQL to compare with, of ids that are to be found once: `id IN …`."""
        found = Found(kind, select)
        self.functions[found.name] = found
        return found.ids

    def admitted(self, model: Any, inside: bool = False) -> str:
        """The condition for one row: audiences, publication, and the right to edit.

        `inside` a function the wall is lifted, so a parent's own condition has to be said too.
        """
        parts = [self._audiences(model, inside), *self._published(model)]
        lookups = [lookup.split("__") for lookup in model.audience_editors]
        return _any([_all(parts), *([self._edited(model, lookups)] if lookups else [])])

    def _audiences(self, model: Any, inside: bool) -> str:
        """The own audience and every ancestor's admit the viewer."""
        parts = [*self._around(model, inside)]
        if nested_by := parent_in_itself(model):
            above = self.level(model, model.audience_depth - 1)
            up = column(model, nested_by)
            parts.append(f"({up} IS NULL OR {up} {above})")
        return _all(parts)

    def _around(self, model: Any, inside: bool) -> Iterator[str]:
        """The own audience, and the parents that are of other models."""
        if has_audience(model):
            yield f"{column(model, 'audience')} {IN_AUDIENCES}"
        for name in model.audience_parents:
            field = model._meta.get_field(name)
            parent, link = field.related_model, column(model, name)
            if parent is model:
                continue
            if parent.audience_passes_ids:
                seen = f"{link} {self.level(parent, parent.audience_depth)}"
            else:
                seen = self.exists(parent, link, self.admitted(parent, inside) if inside else "")
            yield f"({link} IS NULL OR {seen})" if field.null else seen

    def exists(self, model: Any, link: str, condition: str = "") -> str:
        """There is the row that a foreign key leads to, and it is shown."""
        table, pk = _quoted(model._meta.db_table), column(model, model._meta.pk.name)
        more = f" AND {condition}" if condition else ""
        return f"EXISTS (SELECT 1 FROM {table} WHERE {pk} = {link}{more})"

    def level(self, model: Any, depth: int) -> str:
        """The ids of what a model has, at most so deep in itself, that audiences let pass."""
        table, pk = _quoted(model._meta.db_table), column(model, model._meta.pk.name)
        kind, around = key_type(model, self.connection), _all([*self._around(model, inside=True)])
        nested_by = parent_in_itself(model)
        if nested_by is None:
            return self.find(kind, f"SELECT array_agg({pk}) FROM {table} WHERE {around}")
        up = column(model, nested_by)
        return self.find(
            kind,
            f"WITH RECURSIVE reached (id, depth) AS ("
            f"SELECT {pk}, 1 FROM {table} WHERE {up} IS NULL AND {around} UNION ALL "
            f"SELECT {pk}, reached.depth + 1 FROM {table} JOIN reached ON {up} = reached.id "
            f"WHERE reached.depth < {depth} AND {around}) "
            f"SELECT array_agg(id) FROM reached WHERE depth <= {depth}",
        )

    def _published(self, model: Any) -> Iterator[str]:
        with self.connection.schema_editor(collect_sql=True, atomic=False) as editor:
            for name, value in model.audience_published.items():
                field = model._meta.get_field(name)
                stored = field.get_db_prep_value(value, self.connection)
                is_it = "IS NULL" if stored is None else f"= {editor.quote_value(stored)}"
                yield f"{column(model, name)} {is_it}"

    def _edited(self, model: Any, lookups: list[list[str]]) -> str:
        """An audience at the end of a lookup names the viewer, who is staff."""
        onward: dict[str, list[list[str]]] = {}
        for name, *rest in lookups:
            onward.setdefault(name, []).append(rest)
        parts = []
        for name, rests in onward.items():
            link, related = column(model, name), model._meta.get_field(name).related_model
            if rests == [[]]:
                parts.append(f"{link} {IN_GRANTS}")
            else:
                parts.append(self.exists(related, link, self._edited(related, rests)))
        return _any(parts)

    def _links(self) -> dict[str, str]:
        """A row of a many-to-many table is shown where what it links is."""
        found = {}
        for model in apps.get_models():
            for field in model._meta.local_many_to_many:
                remote: Any = field.remote_field
                through = remote.through._meta
                ends = [(model, field.m2m_column_name())]
                ends += [(field.related_model, field.m2m_reverse_name())]
                shown = [
                    self.exists(end, f"{_quoted(through.db_table)}.{_quoted(name)}")
                    for end, name in ends
                    if issubclass(end, InheritsAudience)
                ]
                if shown and through.auto_created:
                    found[through.db_table] = _all(shown)
        return found


# What other apps know better: (model, condition) for each model with a rule of its own.
providers: list[Callable[[Policies], Iterable[tuple[Any, str]]]] = []


def protected_models() -> list[Any]:
    """The models whose rows are hidden from some people."""
    found = [
        model
        for model in apps.get_models()
        if issubclass(model, InheritsAudience) and not model._meta.proxy and model._meta.managed
    ]
    for model in found:
        if model._meta.parents:
            words = f"{model.__name__} inherits a table: row-level security cannot follow it."
            raise ImproperlyConfigured(words)
    return found


def key_type(model: Any, connection: Any) -> str:
    """The column type of a model's primary key, as in other tables."""
    return str(model._meta.pk.rel_db_type(connection))


def column(model: Any, name: str) -> str:
    """A column with its table."""
    return f"{_quoted(model._meta.db_table)}.{_quoted(model._meta.get_field(name).column)}"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _all(parts: list[str]) -> str:
    return " AND ".join(parts) or "true"


def _any(parts: list[str]) -> str:
    return f"({' OR '.join(f'({part})' for part in parts)})"


# In the database ----------------------------------------------------------------------------------


def install(connection: Any) -> None:
    """Create what is missing, drop what is outdated, and let no role but the exempt ones around."""
    wanted = Policies(connection)
    policies, present = wanted.policies, installed(connection)
    with connection.cursor() as cursor:
        # First closed, then opened a little: between the two nothing is shown.
        for table in policies:
            cursor.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
            cursor.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
        _drop(cursor, {n: t for n, t in present.items() if n not in _names(policies)})
        for function in wanted.functions.values():
            cursor.execute(function.create())
        for policy in policies.values():
            if policy.name not in present:
                cursor.execute(policy.create())
        for name in functions(connection) - wanted.functions.keys():
            cursor.execute(f"DROP FUNCTION {name}()")


def uninstall(connection: Any) -> None:
    """Take the wall down."""
    present, called = installed(connection), functions(connection)
    with connection.cursor() as cursor:
        _drop(cursor, present)
        for table in set(present.values()) | (Policies(connection).conditions.keys()):
            cursor.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY')
            cursor.execute(f'ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY')
        for name in called:
            cursor.execute(f"DROP FUNCTION {name}()")


def make_way(connection: Any) -> None:
    """Exempt the owner, who migrates, until `install`: a migration must find every row."""
    with connection.cursor() as cursor:
        for table in set(installed(connection).values()):
            cursor.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY')


def _drop(cursor: Any, policies: dict[str, str]) -> None:
    for name, table in policies.items():
        cursor.execute(f'DROP POLICY {name} ON "{table}"')


def _names(policies: dict[str, Policy]) -> set[str]:
    return {policy.name for policy in policies.values()}


def is_installed(connection: Any) -> bool:
    """True while the database has any of the policies."""
    return connection.vendor == "postgresql" and bool(installed(connection))


def installed(connection: Any) -> dict[str, str]:
    """Name -> table of the policies of ours that exist."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT polname, relname FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid "
            "WHERE starts_with(polname, %s) AND pg_table_is_visible(polrelid)",
            [PREFIX],
        )
        return dict(cursor.fetchall())


def functions(connection: Any) -> set[str]:
    """The names of the functions of ours that exist."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname FROM pg_proc "
            "WHERE starts_with(proname, %s) AND pg_function_is_visible(oid)",
            [PREFIX],
        )
        return {name for (name,) in cursor.fetchall()}


# The role of the web processes --------------------------------------------------------------------

# What is only added to, or only read.
RIGHTS = {"segments_change": "SELECT, INSERT", "django_migrations": "SELECT"}
ALL_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"


def grant(connection: Any, role: str) -> None:
    """Let a role read and write the rows of every table of the project, and nothing else."""
    quoted = connection.ops.quote_name(role)
    existing = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = connection.ops.quote_name(cursor.fetchone()[0])
        cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {quoted}")
        for table in sorted(existing & _project_tables()):
            cursor.execute(f'REVOKE ALL ON "{table}" FROM {quoted}')
            cursor.execute(f'GRANT {RIGHTS.get(table, ALL_RIGHTS)} ON "{table}" TO {quoted}')
            for sequence in connection.introspection.get_sequences(cursor, table):
                cursor.execute(f'GRANT USAGE ON SEQUENCE "{sequence["name"]}" TO {quoted}')


def web_roles(connection: Any) -> list[str]:
    """The roles that `grant` was called for: whoever writes has to be able to renew the token."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT grantee::regrole::text FROM pg_class, aclexplode(relacl) "
            "WHERE oid = %s::regclass AND privilege_type = 'UPDATE' "
            "AND grantee <> relowner AND grantee <> 0",
            [Token._meta.db_table],
        )
        return [role.strip('"') for (role,) in cursor.fetchall()]


def _project_tables() -> set[str]:
    models = apps.get_models(include_auto_created=True)
    return {model._meta.db_table for model in models if model._meta.managed} | RIGHTS.keys()
