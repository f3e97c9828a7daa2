"""Declarative configuration: YAML documents in, the difference to what stands, and applying it in one transaction."""

from api.declare.applying import apply
from api.declare.differences import Difference, FieldChange, plan
from api.declare.documents import left_out, load
from api.declare.shapes import Declared

__all__ = ["Declared", "Difference", "FieldChange", "apply", "left_out", "load", "plan"]
