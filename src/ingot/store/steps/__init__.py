"""The steps of the schema, one module each: what a step creates, spelled out once.

`schema` builds today's tables from the same definitions. When a later step changes a table, its columns are appended in
that step and in `schema`; a step that was released is never edited.
"""
