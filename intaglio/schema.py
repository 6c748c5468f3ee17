"""The version of the JSON documents that reports write (docs/json.md)."""

SCHEMA_VERSION = 1
