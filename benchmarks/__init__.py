"""Measurements of wasup that anyone can repeat: each benchmark prints its figures, the command and the machine."""

from __future__ import annotations
