"""A network of torch that takes its inputs by position, as exporters pass them."""

from __future__ import annotations

from typing import Any

import torch


class ByPosition(torch.nn.Module):
    """A model whose inputs have names, called by their position; subclasses choose the outputs."""

    def __init__(self, model: torch.nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def outputs(self, inputs: tuple[torch.Tensor, ...], **options: Any) -> Any:
        """What the model returns for inputs in the order of the names."""
        return self.model(**dict(zip(self.names, inputs, strict=True)), **options)
