"""Section: what every part of the training configuration is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration: constants, and no key that is not listed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
